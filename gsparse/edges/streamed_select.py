"""Select the most important pairs of a stream, which is read several times."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gsparse.edges.hashing import tie_breaker
from gsparse.edges.pairs import Pairs

HOLD = 1 << 18  # scores that are held to finish a search in memory
_SHIFTS = (44, 24, 4, 0)  # bits below the digits of 20, 20, 20 and 4 bits
_MAX, _MIN = 2**63 - 1, -(2**63)


class ScoredPairs(NamedTuple):
    """A block of pairs and their scores.

    Shapes:
        - **score:** :math:`(n,)`, float64
    """

    pairs: Pairs
    score: Tensor


Stream = Callable[[], Iterator[ScoredPairs]]
"""Begin a new pass over all pairs, in canonical order."""

Scores = Callable[[], Iterator[Tensor]]
"""Begin a new pass over the scores."""


class Ranked(NamedTuple):
    """The score of a rank, and how many scores are larger or equal."""

    value: float
    num_above: int
    num_equal: int


class Cut(NamedTuple):
    """Where the kept pairs end.

    All pairs above ``value`` are kept, and ``room`` of the ``num_equal`` pairs of this
    score: those of largest tie breaker above ``tie``, or the first ones.
    """

    value: float
    room: int
    num_equal: int
    tie: "Cut | None" = None


def find_rank(scores: Scores, rank: int, hold: int = HOLD) -> Ranked:
    """Find the score of a rank exactly, in at most six passes; two are usual.

    A histogram of the leading bits tells in which bin the rank lies; the next passes
    divide this bin, until the scores in it are few or equal.

    Args:
        scores: Begins a pass over the scores, float64.
        rank: Number of scores before it in descending order, below their number.
        hold: Number of scores that may be held in memory.

    Raises:
        ValueError: If a score is NaN.

    Example:
        >>> import torch
        >>> from gsparse.edges.streamed_select import find_rank
        >>> blocks = torch.tensor([[1.0, 3.0], [1.0, 2.0]], dtype=torch.float64)
        >>> find_rank(lambda: iter(blocks), rank=2)
        Ranked(value=1.0, num_above=2, num_equal=2)
    """
    low, high, above = _MIN, _MAX, 0  # keys of the bin, and the number of larger ones
    for shift in _SHIFTS:
        count = _Histogram(low, high, shift)
        for keys in _keys_within(scores, low, high):
            count.add(keys)
        if count.least == count.most:
            return Ranked(_score(count.least), above, int(count.total.sum()))
        low, high, more, inside = count.bin_of(rank - above)
        above += more
        if inside <= hold:
            break
    found = [*_keys_within(scores, low, high)]
    keys = np.sort(np.concatenate(found))[::-1]
    key = keys[rank - above]
    first, last = np.searchsorted(-keys, [-key, -key + 1])  # keys above, and not below
    return Ranked(_score(int(key)), above + int(first), int(last - first))


def find_cut(stream: Stream, k: int, *, hash_ties: bool, hold: int = HOLD) -> Cut:
    """Find where the ``k`` pairs of largest score end.

    The pairs are those that :func:`~gsparse.edges.keep_largest` keeps.

    Args:
        stream: Begins a pass over more than ``k`` pairs.
        k: Number of pairs to keep.
        hash_ties: Whether :func:`~gsparse.edges.tie_breaker` decides between equal
            scores; otherwise the first pairs are kept.
        hold: Number of scores that may be held in memory.
    """
    ranked = find_rank(lambda: (block.score for block in stream()), k, hold)
    value, room, tie = ranked.value, k - ranked.num_above, None
    if hash_ties and 0 < room < ranked.num_equal:

        def ties() -> Iterator[Tensor]:
            return (_ties(block, value) for block in stream())

        found = find_rank(ties, room, hold)
        tie = Cut(found.value, room - found.num_above, found.num_equal)
    return Cut(value, room, ranked.num_equal, tie)


class Keeper:
    """Decide which pairs to keep, block by block in canonical order."""

    def __init__(self, cut: Cut) -> None:
        self._cut, self._taken, self._taken_ties = cut, 0, 0

    def keep(self, block: ScoredPairs) -> Tensor:
        """Return which pairs of the next block are kept.

        Shapes:
            - **output:** :math:`(n,)`, bool
        """
        cut, score = self._cut, block.score
        keep, equal = score > cut.value, score == cut.value
        if cut.room == cut.num_equal:
            return keep | equal
        if cut.room == 0 or not equal.any():
            return keep
        if cut.tie is None:
            chosen, self._taken = _first(equal[equal], cut.room, self._taken)
        else:
            tie = _ties(block, cut.value)
            chosen = tie > cut.tie.value
            last = tie == cut.tie.value
            some, self._taken_ties = _first(last, cut.tie.room, self._taken_ties)
            chosen |= some
        keep[equal] = chosen
        return keep


class _Histogram:
    """Numbers of keys by their leading bits within a range of keys."""

    def __init__(self, low: int, high: int, shift: int) -> None:
        self._low, self._shift = low, shift
        self.total = np.zeros(((high - low) >> shift) + 1, dtype=np.int64)
        self.least, self.most = _MAX, _MIN

    def add(self, keys: NDArray[np.int64]) -> None:
        if not keys.size:
            return
        self.least = min(self.least, int(keys.min()))
        self.most = max(self.most, int(keys.max()))
        digit = (keys >> self._shift) - (self._low >> self._shift)
        least = int(digit.min())
        count = np.bincount(digit - least)
        self.total[least : least + count.size] += count

    def bin_of(self, rank: int) -> tuple[int, int, int, int]:
        """Return the range of the bin of a rank, and how many are above and in it."""
        first, last = (
            (key >> self._shift) - (self._low >> self._shift)
            for key in (self.least, self.most)
        )
        reached = self.total[first : last + 1][::-1].cumsum()
        place = int(np.searchsorted(reached, rank, side="right"))
        digit = last - place
        low = self._low + (digit << self._shift)
        inside = int(self.total[digit])
        above = int(reached[place]) - inside
        return low, low + (1 << self._shift) - 1, above, inside


def _keys_within(scores: Scores, low: int, high: int) -> Iterator[NDArray[np.int64]]:
    for score in scores():
        if score.isnan().any():
            raise ValueError(
                f"'score' must not be NaN (got {int(score.isnan().sum())})"
            )
        keys = _keys(score)
        if (low, high) != (_MIN, _MAX):
            keys = keys[(keys >= low) & (keys <= high)]
        yield keys


def _keys(score: Tensor) -> NDArray[np.int64]:
    """Return integers with the order of the scores; -0 becomes 0."""
    bits = (score.double() + 0.0).numpy().view(np.int64)
    return bits ^ ((bits >> 63) & _MAX)


def _score(key: int) -> float:
    """Return the score of an integer of :func:`_keys`."""
    bits = np.int64(key) ^ ((np.int64(key) >> 63) & np.int64(_MAX))
    return float(bits.view(np.float64))


def _ties(block: ScoredPairs, value: float) -> Tensor:
    """Return the tie breakers of the pairs with this score."""
    pairs, equal = block.pairs, block.score == value
    return tie_breaker(pairs._replace(row=pairs.row[equal], col=pairs.col[equal]))


def _first(among: Tensor, room: int, taken: int) -> tuple[Tensor, int]:
    """Choose the first entries until ``room`` are taken; return them and the count."""
    chosen = among & (among.cumsum(0) <= room - taken)
    return chosen, taken + int(chosen.sum())
