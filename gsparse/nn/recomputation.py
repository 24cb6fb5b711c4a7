"""Keep replaced layers where ``torch.utils.checkpoint`` computes them once more."""

import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch.nn import Module
from torch.utils.checkpoint import CheckpointFunction, checkpoint

from gsparse.nn.masked_forward import Forward, replaced
from gsparse.nn.weighted_sum import sharing_normalised

# ruff: noqa: ANN401 (a layer's arguments are its own)

# What a checkpoint calls again, and where torch keeps it.
_CHECKPOINT = inspect.unwrap(checkpoint).__code__
_REENTRANT = CheckpointFunction.forward.__code__


def num_checkpoints() -> int:
    """Number of checkpoints in whose forward pass the caller runs."""
    return 0 if torch.compiler.is_compiling() else len(_holders())


def kept_in_checkpoints(layer: Module, forward: Forward, num_outside: int) -> Forward:
    """A forward that checkpoints of a model call again in the backward pass.

    A checkpoint stores nothing in between but computes it once more in the backward
    pass, when the context that replaced the layer's ``forward`` has ended: then the
    layer would run without weights, and its gradients would be those of another model.

    Args:
        layer: The layer whose ``forward`` is replaced.
        forward: What replaces it.
        num_outside: Number of checkpoints round the context itself, which enter it
            again.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():
            return forward(*args, **kwargs)
        holders = _holders()
        inside = holders[: max(0, len(holders) - num_outside)]
        if not inside:
            return forward(*args, **kwargs)
        for holder, name in inside:
            setattr(holder, name, _again(getattr(holder, name), layer, run))
        with sharing_normalised(share=False):  # each layer is computed again alone
            return forward(*args, **kwargs)

    return run


def _again(
    recompute: Callable[..., Any], layer: Module, forward: Forward
) -> Callable[..., Any]:
    """What a checkpoint calls again, with the layer's ``forward`` replaced."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with sharing_normalised(share=False), replaced(layer, "forward", forward):
            return recompute(*args, **kwargs)

    return run


def _holders() -> list[tuple[Any, str]]:
    """Objects that hold what the running checkpoints call again; the innermost first.

    Torch has no way to ask for them.
    """
    found: list[tuple[Any, str]] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code is _REENTRANT:
            found.append((frame.f_locals["ctx"], "run_function"))
        elif frame.f_code is _CHECKPOINT and "gen" in frame.f_locals:
            state = frame.f_locals["gen"].gi_frame.f_locals
            if "new_frame" in state:  # not where gradients are off
                found.append((state["new_frame"], "recompute_fn"))
        frame = frame.f_back
    return found
