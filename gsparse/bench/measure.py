"""Seconds of a call: median, warm-up out, device synchronised."""

from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(
    call: Callable[[], object],
    device: torch.device,
    *,
    warm_up: int = 2,
    repeats: int = 10,
) -> float:
    """Median duration of ``call()`` over ``repeats``, after ``warm_up`` calls."""
    durations = []
    for i in range(warm_up + repeats):
        synchronise(device)
        start = perf_counter()
        call()
        synchronise(device)
        if i >= warm_up:
            durations.append(perf_counter() - start)
    return median(durations)


def median_after_warm_up(durations: list[float], *, warm_up: int = 10) -> float:
    """Median without the first ``warm_up`` values, but over a half of them at least.

    Example:
        >>> median_after_warm_up([9.0, 1.0, 2.0, 3.0], warm_up=1)
        2.0
        >>> median_after_warm_up([9.0, 1.0], warm_up=10)
        1.0
    """
    if not durations:
        raise ValueError("a median needs at least one duration (got none)")
    return median(durations[min(warm_up, len(durations) // 2) :])
