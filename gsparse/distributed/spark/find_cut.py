"""Find the score at which the kept pairs end, by aggregations of bounded size."""

from itertools import pairwise
from math import isfinite, log
from typing import TYPE_CHECKING, NamedTuple

from gsparse.distributed.spark.pair_hash import with_uniform
from gsparse.distributed.spark.sql import grouped, literal
from gsparse.edges.hashing import TIES
from gsparse.edges.streamed_select import Ranked

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

BINS = 1 << 14  # bins of a histogram
HOLD = 1 << 17  # distinct scores that are collected to finish a search

SCORE, TIE, FIRST = "score", "tie", ("~u", "~v")  # ~u is larger for smaller ids


class Cut(NamedTuple):
    """Where the kept pairs end: the value of each of the columns that decide.

    A pair is kept if its first value that is not equal is larger.
    """

    values: dict[str, float | int]

    @property
    def condition(self) -> str:
        """Condition in SQL that is true for the kept pairs."""
        text = "false"
        for key, value in reversed(self.values.items()):
            end = literal(value)
            text = f"{key} > {end} OR ({key} = {end} AND ({text}))"
        return text


def find_cut(scored: "DataFrame", k: int, *, hash_ties: bool) -> Cut:
    """Find where the ``k`` pairs of largest score end, which are fewer than all.

    Args:
        scored: Table with the columns ``u``, ``v`` and ``score``.
        k: Number of pairs to keep.
        hash_ties: Whether :func:`~gsparse.edges.tie_breaker` decides between equal
            scores; otherwise the first pairs in canonical order are kept.
    """
    values: dict[str, float | int] = {}
    room, among = k, scored
    for key in (SCORE, *([TIE] if hash_ties else []), *FIRST):
        if key == TIE:
            among = with_ties(among)
        ranked = find_rank(among.selectExpr(f"{key} AS x"), room)
        values[key] = ranked.value
        room -= ranked.num_above
        if room == 0:
            return Cut(values)
        among = among.where(f"{key} = {literal(ranked.value)}")
    raise AssertionError("a pair is listed twice")


def with_ties(table: "DataFrame") -> "DataFrame":
    """Append the column ``tie``, which decides between equal scores."""
    return with_uniform(table, TIE, TIES)


def find_rank(numbers: "DataFrame", rank: int) -> Ranked:
    """Find the number of a rank exactly.

    A histogram tells in which bin the rank lies, and the next one divides this bin,
    until the numbers in it are few or equal.

    Args:
        numbers: Table with the column ``x``, bigint or non-negative double.
        rank: Count of numbers before it in descending order, below their count.
    """
    found = numbers.selectExpr(
        "count(1) AS num",
        "min(x) AS low",
        "max(x) AS high",
        "min(IF(x > 0, x, NULL)) AS positive",
    ).first()
    assert found is not None  # a table of totals has one row
    num, low, high = found.num, found.low, found.high
    text, above = _bins(low, high, found.positive), 0
    while low < high:
        at_end = num <= HOLD
        bins = grouped(
            numbers.where(f"x BETWEEN {literal(low)} AND {literal(high)}").selectExpr(
                "x", f"{'x' if at_end else text} AS bin"
            ),
            ["bin"],
            "count(1) AS num",
            "min(x) AS low",
            "max(x) AS high",
        ).collect()
        bins.sort(key=lambda it: it.bin, reverse=True)
        for larger, smaller in pairwise(bins):
            assert smaller.high < larger.low  # the bins are in the order of the numbers
        for it in bins:
            if above + it.num > rank:
                break
            above += it.num
        num, low, high = it.num, it.low, it.high
        text = _bins(low, high, low)
    return Ranked(low, above, num)


def _bins(low: float, high: float, positive: float | None) -> str:
    """Divide a range of numbers; the bin of a number never decreases with it.

    Scores of hubs and random priorities are spread over many orders of magnitude, so
    that bins of equal ratio are used first, and a bin of its own for zeros.
    """
    if isinstance(low, int) and isinstance(high, int):
        shift = max((high - low).bit_length() - (BINS.bit_length() - 1), 0)
        return f"shiftright(x, {shift})"
    if positive is not None and positive > 0 and high > 2 * positive:
        first = log(positive)
        scale = (BINS - 1) / (log(high) - first)
        inside = f"(ln(x) - {literal(first)}) * {literal(scale)}"
        return f"IF(x > 0, CAST(floor({inside}) AS BIGINT), CAST(-{BINS} AS BIGINT))"
    scale = (BINS - 1) / (high - low) if high > low else 0.0
    if not isfinite(scale):
        return "x"
    return f"CAST(floor((x - {literal(low)}) * {literal(scale)}) AS BIGINT)"
