"""How a learned mask is held at its budget while it is trained."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.nn import Module

#: Of the augmented Lagrangian. The square brings the density near its target, the
#: multiplier removes what is left; the target is reached in so many steps, since a
#: gate that is closed in a rush learns no more.
STIFFNESS, DUAL_RATE, RAMP = 50.0, 0.02, 200

_WARNED: WeakSet[Module] = WeakSet()
_FITTING: ContextVar[bool] = ContextVar("fitting", default=False)


def hold_density(
    density: Tensor,
    sparsity: float,
    multiplier: Tensor,
    num_steps: Tensor,
    ramp: int = RAMP,
) -> Tensor:
    r"""The augmented Lagrangian of one step,
    :math:`\lambda g + 25 g^2`, where :math:`g` is the gap between the density and its
    target.

    Args:
        density: Mean probability of an open gate.
        sparsity: The target falls from 1 to ``1 - sparsity``.
        multiplier: :math:`\lambda`; moved in place, by a fiftieth of the gap.
        num_steps: Steps so far; one more afterwards.
        ramp: Steps in which the target falls.

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
    """Refuse a target that falls in no step."""
    if ramp < 1:
        raise ValueError(f"'ramp' must be at least 1 (got {ramp})")


def warn_on_the_way(mask: Any, density: Callable[[], Tensor]) -> None:  # noqa: ANN401
    """Warn once of a mask that is evaluated before its target has fallen to the end.

    Not of one that was never trained, nor while :func:`gsparse.train.fit` looks at its
    validation scores.

    Args:
        mask: With ``sparsity``, ``ramp`` and ``num_steps``.
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
        f"steps in which its density falls: it is {float(density()):.3f}, and "
        f"{1 - mask.sparsity:.3f} is wanted. What stays meets the budget, but was not "
        "learned for it: train on, or make 'ramp' smaller",
        stacklevel=5,
    )


@contextmanager
def while_fitting() -> Iterator[None]:
    """Within, a mask that is evaluated on its way to the target is as it should be."""
    token = _FITTING.set(True)
    try:
        yield
    finally:
        _FITTING.reset(token)
