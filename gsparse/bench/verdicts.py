"""Verdicts on claims about differences of paired runs, by their 95 % intervals.

Every claim gets one of four verdicts:

- ``holds``: the whole interval of the mean difference satisfies the claim.
- ``level``: the claim is that one method is above another, and the interval includes 0
  and reaches less than :data:`MARGIN` to both sides.
- ``fails``: no part of the interval satisfies the claim.
- ``too few seeds``: there are fewer than :data:`FEWEST` pairs, or the interval is too
  wide to say, so that more seeds could decide it.

Exact claims, such as the size of a file or a ratio of times, hold or fail by the number
itself: :func:`exact`.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from gsparse.bench.paired import paired_difference

Verdict = Literal["holds", "level", "fails", "too few seeds"]

MARGIN = 1.0
"""Differences below it are small: a point, or a percent of the units."""

FEWEST = 3
"""Minimum number of pairs of a verdict."""


class Gap(NamedTuple):
    """A difference of scores in points, seed by seed.

    Example:
        >>> Gap(mean=1.5, half=0.4, pairs=10).at_most(2.0)
        'holds'
        >>> Gap(mean=1.5, half=0.6, pairs=10).at_most(2.0)
        'too few seeds'
        >>> Gap(mean=0.1, half=0.6, pairs=10).above()
        'level'
    """

    mean: float
    half: float
    """Half of the 95 % interval of the mean; infinite for one seed."""
    pairs: int
    """Number of seeds that both sides have."""

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half

    def at_most(self, most: float) -> Verdict:
        """Return the verdict on a difference of at most so many points."""
        return self._by_interval(self.high <= most, self.low > most)

    def at_least(self, least: float) -> Verdict:
        """Return the verdict on a difference of at least so many points."""
        return self._by_interval(self.low >= least, self.high < least)

    def above(self) -> Verdict:
        """Return the verdict on a first method that is above the second."""
        found = self._by_interval(self.low > 0, self.high < 0)
        is_narrow = self.low > -MARGIN and self.high < MARGIN
        if found == "too few seeds" and self.pairs >= FEWEST and is_narrow:
            return "level"
        return found

    def _by_interval(self, is_inside: bool, is_outside: bool) -> Verdict:
        if self.pairs >= FEWEST and is_inside:
            return "holds"
        return "fails" if self.pairs >= FEWEST and is_outside else "too few seeds"


def gap(first: Mapping[int, float], second: Mapping[int, float] | float) -> Gap:
    """Return ``first - second`` over the seeds that both have.

    Args:
        first: Points by seed.
        second: Points by seed, or one number for all seeds.
    """
    if isinstance(second, int | float):
        second = dict.fromkeys(first, float(second))
    mean, half = paired_difference(first, second)
    return Gap(mean, half, len(first.keys() & second.keys()))


def exact(is_true: bool) -> Verdict:
    """Return the verdict on a claim about exact numbers."""
    return "holds" if is_true else "fails"
