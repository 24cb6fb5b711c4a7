"""Merge the rows of an edge table into undirected edges, and refuse what is unclear."""

from typing import TYPE_CHECKING, Any, NamedTuple

from gsparse.distributed.spark.sql import grouped

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

INTEGERS = ("tinyint", "smallint", "int", "bigint")
_NUMBERS = ("float", "double", *INTEGERS)
MAX_WEIGHT = "3.4028234663852886E38D"  # largest float32


class EdgeKinds(NamedTuple):
    """Type of the node ids of an edge table, and whether it has weights."""

    ids: str
    weighted: bool


def check_columns(edges: "DataFrame") -> EdgeKinds:
    """Refuse a table with other columns than ``row``, ``col`` and ``weight``.

    Raises:
        ValueError: If columns are missing, or would be lost.
        TypeError: If a column has the wrong type.
    """
    kinds, names = dict(edges.dtypes), sorted(edges.columns)
    if names not in (["col", "row"], ["col", "row", "weight"]):
        raise ValueError(
            "'edges' must have the columns 'row' and 'col', and 'weight' if it is "
            f"weighted (got {', '.join(map(repr, edges.columns))}); select and rename "
            "them with edges.selectExpr('src AS row', 'dst AS col')"
        )
    for name in ("row", "col"):
        if kinds[name] not in INTEGERS:
            raise TypeError(
                f"{name!r} must hold integer node ids (got {kinds[name]}); number the "
                "nodes first"
            )
    weighted = "weight" in names
    if weighted and kinds["weight"] not in _NUMBERS:
        raise TypeError(
            f"'weight' must hold numbers, float or double (got {kinds['weight']})"
        )
    same = kinds["row"] == kinds["col"]
    return EdgeKinds(kinds["row"] if same else "bigint", weighted)


def merge_edges(edges: "DataFrame", weighted: bool) -> "DataFrame":
    """Group the rows of every undirected edge.

    Weights are rounded to float32 before they are added, as in graph folders. Copies
    are added in ascending order, which makes the sum independent of the partitions.

    Returns:
        A table with the columns ``u`` <= ``v``; ``ahead`` and ``back``, the sums of the
        weights of ``(u, v)`` and ``(v, u)``, or the numbers of rows; ``num_back``, the
        number of rows ``(v, u)``; ``num`` of all rows; ``missing``, the number of rows
        with a missing value, and ``bad``, a weight that is negative or not finite.
    """
    weight = "CAST(weight AS FLOAT)" if weighted else "CAST(1 AS FLOAT)"
    values = "weight" if weighted else "0"
    rows = edges.selectExpr(
        "least(CAST(row AS BIGINT), CAST(col AS BIGINT)) AS u",
        "greatest(CAST(row AS BIGINT), CAST(col AS BIGINT)) AS v",
        "row > col AS is_back",
        f"{weight} AS weight",
        f"row IS NULL OR col IS NULL OR {values} IS NULL AS is_missing",
    )
    add = "aggregate({}, 0D, (a, x) -> a + CAST(x AS DOUBLE))".format
    if weighted:
        ahead, back = (
            f"sort_array(collect_list(weight) FILTER (WHERE {where}))"
            for where in ("NOT is_back", "is_back")
        )
    else:
        ahead, back = "count_if(NOT is_back)", "count_if(is_back)"
        add = "CAST({} AS DOUBLE)".format
    groups = grouped(
        rows,
        ["u", "v"],
        f"{ahead} AS ahead",
        f"{back} AS back",
        "count_if(is_back) AS num_back",
        "count(1) AS num",
        "count_if(is_missing) AS missing",
        # NaN is larger than all numbers
        f"max(IF(weight >= 0 AND weight <= {MAX_WEIGHT}, NULL, weight)) AS bad",
    )
    columns = ("u", "v", "num_back", "num", "missing", "bad")
    return groups.selectExpr(
        *columns, f"{add('ahead')} AS ahead", f"{add('back')} AS back"
    )


class EdgeFacts(NamedTuple):
    """Number of pairs, and whether a weight is not 1."""

    num_pairs: int
    any_weight: bool


def check_merged(merged: "DataFrame", symmetrize: bool) -> EdgeFacts:
    """Refuse a table that is not an undirected graph.

    Raises:
        ValueError: If a value is missing, a weight is negative or not finite, or the
            two directions of an edge differ.
    """
    either = "num_back = 0 OR num_back = num"
    alone = f"u < v AND ({either})"
    differ = f"u < v AND NOT ({either}) AND abs(ahead - back) > 1E-5D * abs(back)"
    edge = "named_struct('u', u, 'v', v, 'num_back', num_back, 'a', ahead, 'b', back)"
    found = merged.selectExpr(
        "count_if(u < v) AS num_pairs",
        f"coalesce(bool_or({_weight(symmetrize)} != 1), false) AS any_weight",
        "sum(missing) AS missing",
        "max(bad) AS bad",
        f"min(IF({alone}, {edge}, NULL)) AS alone",
        f"min(IF({differ}, {edge}, NULL)) AS differ",
        f"max({_weight(symmetrize)}) AS largest",
    ).first()
    assert found is not None  # a table of totals has one row
    _refuse(found, symmetrize)
    return EdgeFacts(found.num_pairs, found.any_weight)


def _refuse(found: Any, symmetrize: bool) -> None:  # noqa: ANN401 (a Row)
    if found.missing:
        raise ValueError(
            f"'edges' must have two ids and a weight in every row ({found.missing:,} "
            "rows have a NULL); remove these rows"
        )
    if found.bad is not None:
        raise ValueError(
            f"'weight' must be finite in float32 and not negative (got {found.bad})"
        )
    if found.alone is not None and not symmetrize:
        u, v = found.alone.u, found.alone.v
        if found.alone.num_back:
            u, v = v, u
        raise ValueError(
            "'edges' must list both directions of every edge of an undirected graph "
            f"(got ({u}, {v}) without ({v}, {u})); use symmetrize=True if it lists "
            "each edge once"
        )
    if found.differ is not None:
        u, v, _, ahead, back = found.differ
        raise ValueError(
            "'edges' must give both directions of an edge the same weight (got "
            f"{ahead:g} for ({u}, {v}) and {back:g} for ({v}, {u})); add or remove "
            "copies first"
        )
    if found.largest is not None and found.largest == float("inf"):
        raise ValueError("the weights of the copies of an edge add up to infinity")


def with_weight(merged: "DataFrame", symmetrize: bool) -> "DataFrame":
    """Return the columns ``u``, ``v`` and the weight ``w``, a double.

    The weight is the mean of both directions, rounded to float32.
    """
    weight = f"CAST({_weight(symmetrize)} AS DOUBLE)"
    return merged.selectExpr("u", "v", f"{weight} AS w")


def _weight(symmetrize: bool) -> str:
    """Return the weight of an edge in float32."""
    mean = "(ahead + back) / 2D"
    if symmetrize:
        mean = f"IF(num_back = 0, ahead, IF(num_back = num, back, {mean}))"
    return f"CAST(IF(u = v, ahead, {mean}) AS FLOAT)"
