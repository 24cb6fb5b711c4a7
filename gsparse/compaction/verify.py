"""Compare a compacted model with the original, and name the step where they differ."""

import torch
from torch import Tensor

from gsparse.compaction.dead import Verdict
from gsparse.compaction.inputs import InputSelection
from gsparse.compaction.probes import Graph, outputs_of
from gsparse.compaction.recording import Recording, Step
from gsparse.compaction.trace import Run, run


def same_outputs(before: list[Tensor], after: list[Tensor]) -> bool:
    """Return whether outputs are equal up to rounding; entries that were NaN are
    ignored.
    """
    if len(before) != len(after):
        return False
    return all(_same(old, new) for old, new in zip(before, after, strict=True))


def _same(old: Tensor, new: Tensor) -> bool:
    if old.shape != new.shape:
        return False
    if old.numel() == 0 or not (old.is_floating_point() or old.is_complex()):
        return True
    finite = old.isfinite()
    infinite = old.isinf()
    if not bool((new[infinite] == old[infinite]).all()):
        return False
    size = old[finite].abs().max() if bool(finite.any()) else 0.0
    error = (old[finite] - new[finite]).abs()
    return bool((error <= torch.finfo(old.dtype).eps ** 0.5 * (size + 1e-30)).all())


def check_examples(
    selection: InputSelection, runs: list[Run], verdict: Verdict
) -> None:
    """Check that the small model has the outputs of the model on the examples.

    Raises:
        ValueError: If its code depends on the old widths.
        RuntimeError: If the outputs differ.
    """
    for first in runs:
        raised: Exception | None = None
        try:
            found = outputs_of(selection, first.example)
        except Exception as error:  # whatever the model's own code raises
            found, raised = [], error
        if raised is None and same_outputs(first.outputs, found):
            continue
        reason = _reason(selection, first, verdict)
        if raised is not None:
            raise ValueError(
                f"'model' must not have hard-coded widths (got {reason or raised}); "
                "write x.size(-1) instead, or compact the parts of the model around "
                "that step"
            ) from raised
        raise RuntimeError(
            "the compacted model must have the outputs of the model (got others"
            + (f": {reason}" if reason else "")
            + "); check for random numbers in evaluation and for hard-coded widths"
        )


def check_graphs(
    selection: InputSelection, graphs: list[Graph], runs: list[Run]
) -> None:
    """Check that the small model has the outputs of the model on graphs of other sizes.

    Raises:
        RuntimeError: If the outputs differ.
    """
    traced = {id(it.example): it for it in runs}
    for graph in graphs:
        try:
            same = same_outputs(graph.outputs, outputs_of(selection, graph.arguments))
        except Exception:  # whatever the model's own code raises
            same = False
        if not same:
            reason = _reason_on(runs[graph.source], traced.get(id(graph.arguments)))
            raise RuntimeError(
                "the compacted model must have the outputs of the model on any graph "
                f"(got others on one with {graph.size}: {reason}); a value of the "
                "example was taken for a constant: give an example of that kind in "
                "'more', or compact the parts of the model around that step"
            )


def _reason(selection: InputSelection, first: Run, verdict: Verdict) -> str:
    """Return the first step of the small model that differs from the model.

    The number of remaining channels is known for every step, so that hard-coded widths
    are found where they are used.
    """
    recording = Recording(selection.model)
    example, _ = selection.select(first.example, {})
    try:
        steps = run(recording, selection.model, example).steps
    except Exception as error:  # from the model's code or from the rules
        text = str(error).partition("\n")[0]
        _, known, step = text.partition("channels (got ")
        return step.partition("); rewrite")[0] if known else text[:300]
    for old, new in zip(first.steps, steps, strict=False):
        if (old.label, old.path) != (new.label, new.path):
            return f"{_named(new)} in place of {_named(old)}"
        if old.value is not None and new.value is not None:
            kept = int(verdict.kept[verdict.classes[old.value.units]].sum())
            if kept != new.value.size:
                return f"{new.value.size} channels of {kept} in {_named(new)}"
        if old.numbers != new.numbers:
            return f"another number in {_named(new)}"
    return ""


def _reason_on(first: Run, other: Run | None) -> str:
    """Return the step in which the model differs on another graph."""
    if other is None:
        return "there it uses an unknown operation"
    for old, new in zip(first.steps, other.steps, strict=False):
        if old.signature != new.signature:
            return f"there it does {_named(new)} in place of {_named(old)}"
    for old, new in zip(first.steps, other.steps, strict=False):
        if old.numbers != new.numbers:
            return f"there {_named(new)} uses other numbers"
    return "an untraced value depends on the graph"


def _named(step: Step) -> str:
    return f"{step.label!r}" + (f" in {step.path!r}" if step.path else "")
