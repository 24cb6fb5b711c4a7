"""Columns of the ends of pairs, and degrees of nodes."""

from typing import TYPE_CHECKING

from gsparse.distributed.spark.sql import grouped

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def each_end(pairs: "DataFrame", **columns: tuple[str, str]) -> "DataFrame":
    """Return two rows for every pair, one for each end.

    The columns ``node``, ``other``, and ``side``, which is 0 at the smaller end, are
    added to those of the pairs.

    Args:
        pairs: Table with the columns ``u`` and ``v``.
        **columns: Expressions of a further column at the smaller and the larger end.
    """
    columns = {"node": ("u", "v"), "other": ("v", "u"), "side": ("0", "1")} | columns
    ends = (
        ", ".join(f"'{name}', {texts[place]}" for name, texts in columns.items())
        for place in (0, 1)
    )
    structs = ", ".join(f"named_struct({end})" for end in ends)
    return pairs.selectExpr("*", f"inline(array({structs}))")


def count_degrees(pairs: "DataFrame") -> "DataFrame":
    """Return the columns ``node`` and ``d``, the number of its pairs."""
    nodes = pairs.selectExpr("explode(array(u, v)) AS node")
    return grouped(nodes, ["node"], "count(1) AS d")


def add_degrees(pairs: "DataFrame") -> "DataFrame":
    """Return the columns ``node`` and ``d``, the sum of the weights ``w`` of its pairs.

    The numbers are added in the order of :func:`gsparse.transforms.sampled.degree`, so
    that the sums are equal in every bit: a running sum adds the rows one by one. It
    never decreases, because no weight is negative, so the total is the maximum.
    """
    running = (
        "sum(w) OVER (PARTITION BY node ORDER BY side, other "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS reached"
    )
    sums = each_end(pairs).selectExpr("node", running)
    return grouped(sums, ["node"], "max(reached) AS d")


def join_ends(pairs: "DataFrame", nodes: "DataFrame", value: str) -> "DataFrame":
    """Append the value of the smaller end as ``at_u``, and of the larger as ``at_v``.

    Args:
        pairs: Table with the columns ``u`` and ``v``.
        nodes: Table with a row for each ``node`` of a pair.
        value: Expression of its columns.
    """
    for end in ("u", "v"):
        values = nodes.selectExpr(f"node AS {end}", f"{value} AS at_{end}")
        pairs = pairs.join(values, end)
    return pairs
