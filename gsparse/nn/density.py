"""Density constraint of learned masks."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.nn import Module

#: Constants of the augmented Lagrangian. The quadratic term brings the density close to
#: its target and the multiplier removes the remaining gap. The target falls over RAMP
#: steps, because a gate that closes too early receives no more gradient.
STIFFNESS, DUAL_RATE, RAMP = 50.0, 0.02, 100

_WARNED: WeakSet[Module] = WeakSet()
_FITTING: ContextVar[bool] = ContextVar("fitting", default=False)


def hold_density(
    density: Tensor,
    sparsity: float,
    multiplier: Tensor,
    num_steps: Tensor,
    ramp: int = RAMP,
) -> Tensor:
    r"""Return the augmented Lagrangian of one step, :math:`\lambda g + 25 g^2`, where
    :math:`g` is the gap between the density and its target.

    Args:
        density: Mean probability of an open gate.
        sparsity: The target falls from 1 to ``1 - sparsity``.
        multiplier: :math:`\lambda`; increased in place by 0.02 times the gap.
        num_steps: Number of steps so far; increased in place.
        ramp: Number of steps in which the target falls.

    Shapes:
        - **all:** :math:`()`
    """
    num_steps += 1
    done = (num_steps / ramp).clamp(max=1)
    gap = density - (1 - sparsity * done)
    value = multiplier.clone() * gap + STIFFNESS * gap.square() / 2
    multiplier += DUAL_RATE * gap.detach()
    return value


def check_ramp(ramp: int) -> None:
    """Raise an error unless ``ramp`` is a positive integer."""
    if isinstance(ramp, bool) or not isinstance(ramp, int):
        raise TypeError(f"'ramp' must be an integer (got {ramp!r})")
    if ramp < 1:
        raise ValueError(f"'ramp' must be at least 1 (got {ramp})")


def warn_on_the_way(mask: Any, density: Callable[[], Tensor]) -> None:  # noqa: ANN401
    """Warn once if a mask is evaluated before its density target is reached.

    There is no warning for a mask that was never trained, nor while
    :func:`gsparse.train.fit` computes validation scores.

    Args:
        mask: A mask with ``sparsity``, ``ramp`` and ``num_steps``.
        density: Computes the mean probability of an open gate.
    """
    if mask in _WARNED or _FITTING.get() or torch.compiler.is_compiling():
        return
    steps = int(mask.num_steps)
    if not 0 < steps < mask.ramp:
        return
    _WARNED.add(mask)
    warnings.warn(
        f"{type(mask).__name__} is evaluated after {steps} of the {mask.ramp} training "
        f"steps in which its density falls to the target: it is {float(density()):.3f} "
        f"and should be {1 - mask.sparsity:.3f}. The kept edges meet the budget, but "
        "were not trained for it; train longer, or use a smaller 'ramp'",
        stacklevel=5,
    )


@contextmanager
def while_fitting() -> Iterator[None]:
    """Suppress the warning of :func:`warn_on_the_way` within this context."""
    token = _FITTING.set(True)
    try:
        yield
    finally:
        _FITTING.reset(token)
