"""Run a model and record what happens to its channels."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from gsparse.compaction.inputs import places_of
from gsparse.compaction.recording import Recording, Step
from gsparse.compaction.tracer import Tracer
from gsparse.compaction.watching import watching
from gsparse.nn.evaluating import evaluating
from gsparse.nn.sparse_linear import SparseLinear
from gsparse.nn.stale_caches import forget

# ruff: noqa: ANN401 (arguments of any model)


class Run(NamedTuple):
    """One traced call of a model."""

    example: tuple[Any, ...]
    steps: list[Step]
    called: set[str]
    """Paths of the modules that ran."""
    outputs: list[Tensor]

    @property
    def path(self) -> tuple[Any, ...]:
        """Signatures of all steps, which do not depend on numbers."""
        return tuple(step.signature for step in self.steps)


def trace(model: Module, example: tuple[Any, ...]) -> Recording:
    """Record one run of a model.

    The features are the floating-point matrices ``[N, F]`` among the arguments.

    Args:
        model: Any module without masks; hooks are set on it and removed again.
        example: Its arguments.

    Raises:
        ValueError: If the model uses an unknown operation on its channels.
    """
    recording = Recording(model)
    run(recording, model, example)
    recording.close()
    return recording


def trace_all(
    model: Module,
    examples: Sequence[tuple[Any, ...]],
    others: Sequence[tuple[Any, ...]],
) -> tuple[Recording, list[Run]]:
    """Record several runs of a model in one recording.

    Runs with equal steps are recorded once; a number of the code that differs between
    them is not a constant. A run that takes another branch is recorded in addition,
    with the same units, so that units that any run needs are kept.

    Args:
        model: See :func:`trace`.
        examples: Tuples of its arguments.
        others: Further tuples; those that the rules do not support are skipped.

    Returns:
        The recording and the traced runs; those of the examples come first.
    """
    recordings = [Recording(model) for _ in examples]
    runs = [run(r, model, it) for r, it in zip(recordings, examples, strict=True)]
    for other in others:
        try:
            runs.append(run(Recording(model), model, other))
        except ValueError:
            continue  # compared by its outputs only
    paths: dict[tuple[Any, ...], list[Run]] = {}
    for it in runs:
        paths.setdefault(it.path, []).append(it)
    varying = [_varying(same) for same in paths.values()]
    if len(paths) == 1 and not varying[0]:
        recording = recordings[0]
    else:
        recording = Recording(model)
        for same, steps in zip(paths.values(), varying, strict=True):
            recording.run += 1
            run(recording, model, same[0].example, steps)
    recording.close()
    return recording, runs


def _varying(runs: list[Run]) -> frozenset[int]:
    """Return the steps whose numbers differ between these runs."""
    together = zip(*(it.steps for it in runs), strict=True)
    return frozenset(
        place
        for place, steps in enumerate(together)
        if len({step.numbers for step in steps}) > 1
    )


def run(
    recording: Recording,
    model: Module,
    example: tuple[Any, ...],
    varying: frozenset[int] = frozenset(),
) -> Run:
    """Run a model and record it; see :class:`Tracer` for the arguments."""
    check_example(model, example)
    tracer = Tracer(recording, model, varying)
    for name, (_, tensor) in places_of(model, example).items():
        first = recording.inputs.get(name)
        width = tensor.size(1)
        units = recording.units.fresh(width) if first is None else first.units
        if units.numel() != width:
            raise ValueError(
                f"{name!r} must have the same features in all examples "
                f"(got {units.numel()} and {width})"
            )
        varies = torch.full([width], torch.nan, dtype=tensor.dtype)
        value = tracer.set(tensor, recording.value(units, varies))
        recording.inputs.setdefault(name, value)
    forget(model)
    with evaluating(model), torch.no_grad(), watching(tracer, model), tracer:
        result = model(*example)
    leaves = _outputs(result)
    with tracer.ended():
        for leaf in leaves:
            value_or_none = tracer.value_of(leaf)
            if value_or_none is not None:
                value_or_none.is_output = True
    outputs = [leaf.clone() for leaf in leaves if isinstance(leaf, Tensor)]
    return Run(example, tracer.steps, tracer.called, outputs)


def check_example(model: Module, example: tuple[Any, ...]) -> None:
    """Refuse arguments that are not a tuple, lazy layers and sparse layers."""
    if not isinstance(example, tuple):
        raise TypeError(
            "'example' must be the tuple of arguments that the model is called with, "
            "and 'more' a list of such tuples "
            f"(got {type(example).__name__}); write (x, edge_index)"
        )
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise ValueError(
                f"{name!r} must have a shape before it is traced (got a lazy layer, "
                "in_channels=-1); run the model once on its data first"
            )
    for name, module in model.named_modules():
        if isinstance(module, SparseLinear):
            raise ValueError(
                f"{name!r} must be a dense layer (got SparseLinear, whose rows and "
                "columns are stored); compact the model first, then call to_sparse()"
            )


def _outputs(result: Any) -> list[Any]:
    leaves = tree_leaves(result)
    for leaf in leaves:
        if not isinstance(leaf, Tensor | int | float | str | None):
            raise ValueError(
                "'model' must return tensors, or lists, tuples and dicts of them "
                f"(got {type(leaf).__name__})"
            )
    return leaves
