"""Scores compared seed by seed: the same split, the same first weights."""

import math
from collections.abc import Iterable, Mapping
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t

from gsparse.bench.tables.rows import Row


def scores(rows: Iterable[Row], **wanted: Any) -> dict[int, float]:  # noqa: ANN401
    """Test scores in points by seed, of the rows that have all these values.

    ``sparsity`` is held against the target; keys that a row lacks count as None.

    Raises:
        ValueError: No row has them.
    """
    found = {}
    for row in rows:
        seen = dict(row)
        seen["sparsity"] = row.get("sparsity_target", row["sparsity"])
        if all(seen.get(key) == value for key, value in wanted.items()):
            found[row["seed"]] = 100 * row["test_score"]
    if not found:
        raise ValueError(f"there are no rows with {wanted}")
    return found


def paired_difference(
    first: Mapping[int, float], second: Mapping[int, float], level: float = 0.95
) -> tuple[float, float]:
    """Mean of ``first - second`` over the seeds that both have, and half of its
    confidence interval; the half is infinite where there is one seed.

    Example:
        >>> mean, half = paired_difference({0: 3.0, 1: 5.0}, {0: 1.0, 1: 2.0})
        >>> f"{mean:.1f} {half:.1f}"
        '2.5 6.4'
    """
    gaps = [first[seed] - second[seed] for seed in first.keys() & second.keys()]
    if not gaps:
        raise ValueError("the two have no seed in common")
    if not all(map(math.isfinite, gaps)):
        raise ValueError(f"scores must be finite (got differences {gaps})")
    if len(gaps) == 1:
        return gaps[0], float("inf")
    quantile = float(t.ppf((1 + level) / 2, len(gaps) - 1))
    return fmean(gaps), quantile * stdev(gaps) / len(gaps) ** 0.5
