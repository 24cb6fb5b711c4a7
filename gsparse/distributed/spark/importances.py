"""Importances of the pairs of a table, equal in every bit to those in memory.

Each function takes the pairs, columns ``u`` < ``v`` and the weight ``w`` if there are
weights, and appends the column ``score``; the pairs of largest score are kept.
"""

from typing import TYPE_CHECKING

import torch

from gsparse.distributed.spark.ends import (
    add_degrees,
    count_degrees,
    each_end,
    join_ends,
)
from gsparse.distributed.spark.pair_hash import with_uniform
from gsparse.distributed.spark.sql import grouped

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MOST_LOGARITHMS = 1 << 21  # sent to all workers
# Keys closer than this may be in another order in memory: the logarithms of torch and
# of Java are at most one unit in the last place (2^-52) off, the quotients half a unit.
_CLOSE = 2.0**-48


def random_scores(pairs: "DataFrame", seed: int) -> "DataFrame":
    """Append the random numbers of :class:`~gsparse.transforms.RandomEdge`."""
    return with_uniform(pairs, "score", seed)


def d_spar_scores(pairs: "DataFrame", seed: int) -> "DataFrame":
    """Append the priorities of :class:`~gsparse.transforms.DSpar`.

    The importance is the column ``importance``.
    """
    weighted = "w" in pairs.columns
    nodes = add_degrees(pairs) if weighted else count_degrees(pairs)
    # The value for degree 0 has no influence: the edges there have weight 0.
    inverse = "IF(d > 0, 1D / CAST(d AS DOUBLE), 0D)"
    both = "w * (at_u + at_v)" if weighted else "at_u + at_v"
    table = join_ends(pairs, nodes, inverse).selectExpr(
        *pairs.columns, f"{both} AS importance"
    )
    return with_uniform(table, "uniform", seed).selectExpr(
        *table.columns, "importance / uniform AS score"
    )


def k_neighbor_scores(pairs: "DataFrame", seed: int) -> "DataFrame":
    """Append the importances of :class:`~gsparse.transforms.KNeighbor`.

    With weights, the column ``close`` tells whether two keys of a node are so close
    that rounding may decide about their order.
    """
    table = pairs
    for stream, name in enumerate(("first", "second")):
        table = with_uniform(table, name, seed, stream)
    weighted = "w" in pairs.columns
    # The first arrival of a Poisson process of this rate.
    key = (
        "IF(w > 0, -ln({0}) / w, CAST('Infinity' AS DOUBLE))" if weighted else "{0}"
    ).format
    ends = each_end(table, key=(key("first"), key("second")))
    of_node = "OVER (PARTITION BY node ORDER BY key, side, other)"
    close = f"key - lag(key) {of_node} <= {_CLOSE!r}D * key"
    if weighted:
        ends = ends.selectExpr(
            *pairs.columns,
            f"row_number() {of_node} AS place",
            f"w > 0 AND coalesce({close}, false) AS close",
        )
    else:
        ends = ends.selectExpr("u", "v", f"row_number() {of_node} AS place")
    return grouped(
        ends,
        ["u", "v"],
        *(["max(w) AS w", "bool_or(close) AS close"] if weighted else []),
        "1D / CAST(min(place) AS DOUBLE) AS score",
    )


def refuse_close(table: "DataFrame", seed: int) -> None:
    """Refuse keys whose order may differ from that in memory.

    Raises:
        ValueError: If there are such keys.
    """
    found = table.selectExpr("min(IF(close, struct(u, v), NULL)) AS pair").first()
    if found is not None and found.pair is not None:
        u, v = found.pair
        raise ValueError(
            f"KNeighbor cannot draw the edge ({u}, {v}) as in memory, because the last "
            f"bit of a logarithm decides about it (got seed={seed}); use another seed"
        )


def local_degree_scores(pairs: "DataFrame") -> "DataFrame":
    """Append the importances of :class:`~gsparse.transforms.LocalDegree`.

    Logarithms are computed by torch, because those of Java differ in the last bit.

    Raises:
        ValueError: If there are too many distinct ranks and degrees.
    """
    table = join_ends(pairs, count_degrees(pairs), "d")
    ends = each_end(table, d=("at_u", "at_v"), other_d=("at_v", "at_u"))
    ranks = ends.selectExpr(
        *pairs.columns,
        "d",
        "CAST(rank() OVER (PARTITION BY node ORDER BY other_d DESC) AS BIGINT) AS rank",
    )
    logs = _logarithms(ranks.selectExpr("explode(array(rank, d)) AS n").distinct())
    for name in ("rank", "d"):
        named = logs.selectExpr(f"n AS {name}", f"log AS log_{name}")
        ranks = ranks.join(named.hint("broadcast"), name)
    exponent = ranks.selectExpr(  # 0 / 0 of leaves
        *pairs.columns, "IF(d = 1, 0D, log_rank / log_d) AS exponent"
    )
    weight = ["max(w) AS w"] if "w" in pairs.columns else []
    return grouped(exponent, ["u", "v"], *weight, "1D - min(exponent) AS score")


def _logarithms(numbers: "DataFrame") -> "DataFrame":
    """Return the columns ``n`` and ``log`` with the logarithms of distinct numbers."""
    found = [row.n for row in numbers.limit(MOST_LOGARITHMS + 1).collect()]
    if len(found) > MOST_LOGARITHMS:
        raise ValueError(
            f"LocalDegree can use at most {MOST_LOGARITHMS:,} different ranks and "
            "degrees on a table (got more); use sparsify_folder"
        )
    n = torch.tensor(found, dtype=torch.int64)
    rows = [*zip(found, n.double().log().tolist(), strict=True)]
    return numbers.sparkSession.createDataFrame(rows, "n bigint, log double")
