"""How sparsity grows with the steps of training."""

from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """A sparsity for every step, which reaches the wanted one at ``end``."""

    @property
    def end(self) -> int:
        """The first step with the full sparsity."""

    def __call__(self, step: int, sparsity: float) -> float:
        """The sparsity after ``step`` steps on the way to ``sparsity``."""


@dataclass(frozen=True)
class _Ramp:
    """Between two steps; constant before and after, moved every so many steps.

    Args:
        start: The last step with the first sparsity.
        end: The first step with the full one.
        every: Steps between two changes.
        initial: Sparsity up to ``start``.
    """

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
        """The sparsity after ``step`` steps on the way to ``sparsity``."""
        if step >= self.end:
            return sparsity
        moved = max(step - self.start, 0) // self.every * self.every
        done = moved / (self.end - self.start)
        return self._between(done, sparsity)

    def _between(self, done: float, sparsity: float) -> float:
        raise AssertionError("a ramp has a shape")


class Linear(_Ramp):
    """The same number of weights each time.

    Args:
        start: The last step with the first sparsity.
        end: The first step with the full one.
        every: Steps between two changes.
        initial: Sparsity up to ``start``.

    Example:
        >>> from gsparse.prune import Linear
        >>> [Linear(start=0, end=4)(step, 0.8) for step in range(6)]
        [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 0.8]
    """

    def _between(self, done: float, sparsity: float) -> float:
        return self.initial + (sparsity - self.initial) * done


class Cubic(_Ramp):
    r"""Many weights early, few late: :math:`s_t = s_f + (s_i - s_f)(1 - t)^3`, from the
    `"To prune, or not to prune" <https://arxiv.org/abs/1710.01878>`_ paper.

    Args:
        start: The last step with the first sparsity.
        end: The first step with the full one.
        every: Steps between two changes.
        initial: Sparsity up to ``start``.

    Example:
        >>> from gsparse.prune import Cubic
        >>> [round(Cubic(start=0, end=4)(step, 0.8), 3) for step in range(6)]
        [0.0, 0.463, 0.7, 0.788, 0.8, 0.8]
    """

    def _between(self, done: float, sparsity: float) -> float:
        return sparsity + (self.initial - sparsity) * (1 - done) ** 3


class Exponential(_Ramp):
    r"""The same fraction of what is left each time: the density falls geometrically.

    Args:
        start: The last step with the first sparsity.
        end: The first step with the full one.
        every: Steps between two changes.
        initial: Sparsity up to ``start``.

    Example:
        >>> from gsparse.prune import Exponential
        >>> [round(Exponential(start=0, end=2)(step, 0.99), 3) for step in range(4)]
        [0.0, 0.9, 0.99, 0.99]
    """

    def _between(self, done: float, sparsity: float) -> float:
        first = 1 - self.initial
        return 1 - first * ((1 - sparsity) / first) ** done


@dataclass(frozen=True)
class Rounds:
    r"""A few cuts; the k-th leaves :math:`n(1-p) / (n(1-p) + kp)` of the weights, from
    the `"A Gradient Flow Framework For Analyzing Network Pruning"
    <https://arxiv.org/abs/2009.11839>`_ paper.

    Args:
        num_rounds: How many cuts :math:`n`.
        every: Steps between two of them; the first comes after as many.

    Example:
        >>> from gsparse.prune import Rounds
        >>> [round(Rounds(2, every=3)(step, 0.8), 3) for step in (2, 3, 5, 6)]
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
        """The sparsity after ``step`` steps on the way to ``sparsity``."""
        if step >= self.end:
            return sparsity
        n, k = self.num_rounds, max(step, 0) // self.every
        return 1 - n * (1 - sparsity) / (n * (1 - sparsity) + k * sparsity)


def to_steps(name: str, value: float, num_steps: int | None) -> int:
    """A number of steps; a ``float`` in [0, 1] is a fraction of ``num_steps``.

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
