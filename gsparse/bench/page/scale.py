"""Axes: from numbers to places, with round ticks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDE = 8.0
"""A ratio of the largest to the smallest cost from which an axis is logarithmic."""


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``, drawn from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value.

        Example:
            >>> Scale(0.0, 10.0, 100.0, 200.0)(5.0)
            150.0
        """
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round numbers inside the axis."""
        if self.is_log:
            return _log_ticks(self.low, self.high)
        step = _step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), self.high / step + 1e-9
        return [round(step * i, 12) for i in range(first, math.floor(last) + 1)]


def padded(
    values: Sequence[float],
    start: float,
    end: float,
    *,
    pad: float = 0.06,
    log: bool = False,
) -> Scale:
    """Return an axis around the values.

    Args:
        values: At least one; all positive if ``log``.
        start: Place of the low end.
        end: Place of the high end.
        pad: Part of the axis that is left free at both ends.
        log: Take a logarithmic axis where values differ by more than :data:`WIDE`.
    """
    low, high = min(values), max(values)
    if log and low > 0 and high / low >= WIDE:
        factor = (high / low) ** pad
        return Scale(low / factor, high * factor, start, end, is_log=True)
    more = pad * (high - low) or 0.05 * abs(high) or 1.0
    return Scale(low - more, high + more, start, end)


def _step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * it for it in (1, 2, 5, 10) if power * it >= least * (1 - 1e-9))


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    marks = (1, 2, 5) if high / low < 200 else (1,)
    found = [m * 10.0**power for power in powers for m in marks]
    return [value for value in found if low <= value <= high]
