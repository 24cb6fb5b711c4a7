"""Keep replaced layers when ``torch.utils.checkpoint`` recomputes them."""

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

# ruff: noqa: ANN401 (arguments of any layer)

# Code objects of torch's checkpoints, to find them on the call stack.
_CHECKPOINT = inspect.unwrap(checkpoint).__code__
_REENTRANT = CheckpointFunction.forward.__code__


def num_checkpoints() -> int:
    """Return the number of checkpoints in whose forward pass the caller runs."""
    return 0 if torch.compiler.is_compiling() else len(_holders())


def kept_in_checkpoints(layer: Module, forward: Forward, num_outside: int) -> Forward:
    """Return a forward that checkpoints also use in the backward pass.

    A checkpoint stores no intermediate results but computes them again in the backward
    pass. By then the context that replaced the layer's ``forward`` has ended, so the
    layer would run without weights and its gradients would be wrong.

    Args:
        layer: The layer whose ``forward`` is replaced.
        forward: Its replacement.
        num_outside: Number of checkpoints around the context itself, which enter it
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
        with sharing_normalised(share=False):  # layers are recomputed one by one
            return forward(*args, **kwargs)

    return run


def _again(
    recompute: Callable[..., Any], layer: Module, forward: Forward
) -> Callable[..., Any]:
    """Return the function that a checkpoint calls again, with the ``forward``
    replaced.
    """

    def run(*args: Any, **kwargs: Any) -> Any:
        with sharing_normalised(share=False), replaced(layer, "forward", forward):
            return recompute(*args, **kwargs)

    return run


def _holders() -> list[tuple[Any, str]]:
    """Return the objects that hold the functions of running checkpoints, innermost
    first.

    Torch has no public interface for them.
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
