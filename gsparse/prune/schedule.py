"""Schedules: how the sparsity grows with the steps of training."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """A sparsity for every step, which reaches the target at step ``end``."""

    @property
    def end(self) -> int:
        """The first step with the full sparsity."""

    def __call__(self, step: int, sparsity: float) -> float:
        """Return the sparsity after ``step`` steps on the way to ``sparsity``."""


@dataclass(frozen=True)
class _Ramp:
    start: int
    end: int
    every: int = 1
    initial: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(
                f"'start' and 'end' must be 0 <= start < end "
                f"(got {self.start} and {self.end})"
            )
        if self.every < 1:
            raise ValueError(f"'every' must be at least 1 (got {self.every})")
        if not 0 <= self.initial < 1:
            raise ValueError(f"'initial' must be in [0, 1) (got {self.initial})")

    def __call__(self, step: int, sparsity: float) -> float:
        """Return the sparsity after ``step`` steps on the way to ``sparsity``."""
        if step >= self.end:
            return sparsity
        moved = max(step - self.start, 0) // self.every * self.every
        return self._between(moved / (self.end - self.start), sparsity)

    @abstractmethod
    def _between(self, done: float, sparsity: float) -> float:
        """Return the sparsity where a fraction ``done`` of the way is behind."""


class LinearSchedule(_Ramp):
    """Removes the same number of weights in every cut.

    Args:
        start: The last step with the initial sparsity.
        end: The first step with the full sparsity.
        every: Steps between two cuts.
        initial: Sparsity up to ``start``.

    Example:
        >>> from gsparse.prune import LinearSchedule
        >>> [LinearSchedule(start=0, end=4)(step, 0.8) for step in range(6)]
        [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 0.8]
    """

    def _between(self, done: float, sparsity: float) -> float:
        return self.initial + (sparsity - self.initial) * done


class CubicSchedule(_Ramp):
    r"""Removes many weights early and few late,
    :math:`s_t = s_f + (s_i - s_f)(1 - t)^3`, from the `"To prune, or not to prune"
    <https://arxiv.org/abs/1710.01878>`_ paper.

    The arguments are those of :class:`LinearSchedule`.

    Example:
        >>> from gsparse.prune import CubicSchedule
        >>> [round(CubicSchedule(start=0, end=4)(step, 0.8), 3) for step in range(6)]
        [0.0, 0.463, 0.7, 0.788, 0.8, 0.8]
    """

    def _between(self, done: float, sparsity: float) -> float:
        return sparsity + (self.initial - sparsity) * (1 - done) ** 3


class ExponentialSchedule(_Ramp):
    """Removes the same fraction of the remaining weights in every cut.

    The arguments are those of :class:`LinearSchedule`.

    Example:
        >>> from gsparse.prune import ExponentialSchedule
        >>> schedule = ExponentialSchedule(start=0, end=2)
        >>> [round(schedule(step, 0.99), 3) for step in range(4)]
        [0.0, 0.9, 0.99, 0.99]
    """

    def _between(self, done: float, sparsity: float) -> float:
        first = 1 - self.initial
        return 1 - first * ((1 - sparsity) / first) ** done


@dataclass(frozen=True)
class RoundsSchedule:
    r"""Cuts ``num_rounds`` times. After the k-th cut :math:`n(1-p) / (n(1-p) + kp)` of
    the weights remain, as in the `"A Gradient Flow Framework For Analyzing Network
    Pruning" <https://arxiv.org/abs/2009.11839>`_ paper.

    Args:
        num_rounds: Number of cuts :math:`n`.
        every: Steps between two cuts, and before the first one.

    Example:
        >>> from gsparse.prune import RoundsSchedule
        >>> [round(RoundsSchedule(2, every=3)(step, 0.8), 3) for step in (2, 3, 5, 6)]
        [0.0, 0.667, 0.667, 0.8]
    """

    num_rounds: int
    every: int = 1

    def __post_init__(self) -> None:
        for name in ("num_rounds", "every"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name!r} must be at least 1 (got {getattr(self, name)})"
                )

    @property
    def end(self) -> int:
        """The step of the last cut."""
        return self.num_rounds * self.every

    def __call__(self, step: int, sparsity: float) -> float:
        """Return the sparsity after ``step`` steps on the way to ``sparsity``."""
        if step >= self.end:
            return sparsity
        n, k = self.num_rounds, max(step, 0) // self.every
        return 1 - n * (1 - sparsity) / (n * (1 - sparsity) + k * sparsity)


def to_steps(name: str, value: float, num_steps: int | None) -> int:
    """Return a number of steps; a ``float`` in [0, 1] is a fraction of ``num_steps``.

    Example:
        >>> from gsparse.prune.schedule import to_steps
        >>> to_steps("end", 0.5, num_steps=300), to_steps("end", 120, num_steps=None)
        (150, 120)
    """
    if isinstance(value, int):
        return value
    if not 0 <= value <= 1:
        raise ValueError(
            f"{name!r} must be a fraction in [0, 1], or an int: a number of steps "
            f"(got {value})"
        )
    if num_steps is None:
        raise ValueError(
            f"'num_steps' must be given, since {name!r} is a fraction of it "
            f"(got {value}); or give {name!r} in steps, as an int"
        )
    return round(value * num_steps)
