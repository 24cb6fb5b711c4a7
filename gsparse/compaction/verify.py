"""Compares a compacted model with the model, and names the step where they part."""

import torch
from torch import Tensor

from gsparse.compaction.dead import Verdict
from gsparse.compaction.inputs import InputSelection
from gsparse.compaction.probes import Graph, outputs_of
from gsparse.compaction.recording import Recording, Step
from gsparse.compaction.trace import Run, run


def same_outputs(before: list[Tensor], after: list[Tensor]) -> bool:
    """Equal to rounding; where the model has NaN, anything is."""
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
    """The small model has the outputs that the model had on the examples.

    Raises:
        ValueError: If its code does not fit the widths that are left.
        RuntimeError: If it has others.
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
                f"'model' must not be bound to widths (got {reason or raised}); write "
                "x.size(-1) instead, or compact the parts of the model around that step"
            ) from raised
        raise RuntimeError(
            "the compacted model must have the outputs of the model (got others"
            + (f": {reason}" if reason else "")
            + "); does it draw at random in evaluation, or is its code bound to widths?"
        )


def check_graphs(
    selection: InputSelection, graphs: list[Graph], runs: list[Run]
) -> None:
    """The small model has the outputs of the model on graphs of other sizes.

    Raises:
        RuntimeError: If it has others.
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
                f"(got others on one with {graph.size}: {reason}); what holds for the "
                "example only was taken for a constant: give an example of that kind "
                "in 'more', or compact the parts of the model around that step"
            )


def _reason(selection: InputSelection, first: Run, verdict: Verdict) -> str:
    """The first step of the small model that is not the one of the model.

    How many of its channels are left is known, so that code that is bound to the old
    widths shows where it stands.
    """
    recording = Recording(selection.model)
    example, _ = selection.select(first.example, {})
    try:
        steps = run(recording, selection.model, example).steps
    except Exception as error:  # of the model's own code, or of the rules
        text = str(error).partition("\n")[0]
        _, known, step = text.partition("known (got ")
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
    """Where the model goes another way, or uses another number, on another graph."""
    if other is None:
        return "there it does something that is not known"
    for old, new in zip(first.steps, other.steps, strict=False):
        if old.signature != new.signature:
            return f"there it does {_named(new)} in place of {_named(old)}"
    for old, new in zip(first.steps, other.steps, strict=False):
        if old.numbers != new.numbers:
            return f"there {_named(new)} uses other numbers"
    return "something that is not seen depends on the graph"


def _named(step: Step) -> str:
    return f"{step.label!r}" + (f" in {step.path!r}" if step.path else "")
