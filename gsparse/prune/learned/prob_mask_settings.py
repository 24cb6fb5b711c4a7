"""Settings of ProbMask: annealing, and checks."""

import math
from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from gsparse.prune.schedule import Schedule

Ending = Literal["topk", "sample"]
"""The most probable weights, exactly at the budget, or the best of several draws."""

COLDEST = 0.03  # the last temperature


def temperature(step: int, num_steps: int) -> float:
    """Return a temperature that falls linearly from 1 to 0.03."""
    return COLDEST + (1 - COLDEST) * (1 - min(step / num_steps, 1))


def learning_rate(step: int, num_steps: int, lr: float) -> float:
    """Return a learning rate that falls from ``lr`` to 0 like a cosine."""
    return lr / 2 * (1 + math.cos(math.pi * min(step / num_steps, 1)))


def check_settings(
    num_steps: int,
    loss: Callable[[], Tensor] | None,
    lr: float,
    finalize: str,
    num_draws: int,
    schedule: Schedule | None,
) -> None:
    """Refuse settings of ProbMask that are out of range or do not go together."""
    counts = {"num_steps": (num_steps, 2), "num_draws": (num_draws, 1)}
    for name, (value, least) in counts.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name!r} must be an int (got {value!r})")
        if value < least:
            raise ValueError(f"{name!r} must be at least {least} (got {value})")
    if not 0 < lr < math.inf:
        raise ValueError(f"'lr' must be positive and finite (got {lr})")
    if finalize not in get_args(Ending):
        known = ", ".join(map(repr, get_args(Ending)))
        raise ValueError(f"'finalize' must be one of {known} (got {finalize!r})")
    if loss is not None and not callable(loss):
        raise TypeError(
            f"'loss' must be a function without arguments (got {type(loss).__name__}); "
            "write lambda: ..."
        )
    if finalize == "sample" and loss is None:
        raise ValueError(
            "'loss' must be given for finalize='sample', to tell which draw is best "
            "(got None)"
        )
    if schedule is not None and schedule.end > num_steps:
        raise ValueError(
            f"'schedule' must end within num_steps={num_steps} (got end {schedule.end})"
        )
