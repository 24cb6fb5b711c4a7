"""Sparsify an edge table of Apache Spark."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gsparse.distributed.spark.edge_list import (
    MAX_WEIGHT,
    check_columns,
    check_merged,
    merge_edges,
    with_weight,
)
from gsparse.distributed.spark.find_cut import SCORE, TIE, find_cut, with_ties
from gsparse.distributed.spark.importances import (
    d_spar_scores,
    k_neighbor_scores,
    local_degree_scores,
    random_scores,
    refuse_close,
)
from gsparse.distributed.spark.sql import literal
from gsparse.edges import budget, draw_seed
from gsparse.transforms import DSpar, KNeighbor, LocalDegree, RandomEdge
from gsparse.transforms.base import EdgeSparsifier

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

MISSING = "edge tables of Spark need an extra: pip install 'gsparse-gnn[spark]'"
METHODS = (RandomEdge, DSpar, KNeighbor, LocalDegree)

Hold = Callable[["DataFrame"], "DataFrame"]
"""Persist a table until the end of the call."""


def sparsify(
    edges: "DataFrame", transform: EdgeSparsifier, *, symmetrize: bool = False
) -> "DataFrame":
    """Sparsify an edge table of Apache Spark.

    Example::

        from gsparse.distributed.spark import sparsify
        from gsparse.transforms import DSpar

        edges = spark.read.parquet("edges")  # columns row, col
        sparsify(edges, DSpar(sparsity=0.9, seed=7)).write.parquet("sparse")

    Keeps exactly the edges, with exactly the weights, that the transform keeps in
    memory with the same seed, and that :func:`~gsparse.deploy.sparsify_folder` keeps of
    a graph folder. The number of kept edges is the exact budget.

    The columns ``row`` and ``col`` hold integer node ids, and ``weight``, if there is
    one, non-negative edge weights. Both directions of every edge must be listed, in any
    order. Parallel edges are added up: the weight of an edge is the sum of its copies
    in one direction, or their number, rounded to float32. Self-loops are kept and not
    counted.

    The plan consists of joins, aggregations and windows; no Python code runs on the
    workers. The budget needs several jobs, which run during the call, and intermediate
    tables are persisted until it ends. The returned table is computed when it is used,
    by reading ``edges`` again: if their rows can change between two readings, write
    them to a file first.

    Args:
        edges: Table with the columns ``row``, ``col`` and, with weights, ``weight``.
        transform: :class:`~gsparse.transforms.RandomEdge`,
            :class:`~gsparse.transforms.KNeighbor`,
            :class:`~gsparse.transforms.LocalDegree`, or
            :class:`~gsparse.transforms.DSpar` with ``sparsity`` and without
            ``connected``. If its ``seed`` is None, one is drawn per call.
        symmetrize: Whether an edge may be listed in one direction only.

    Returns:
        A table with the columns ``row`` and ``col``, both directions of every kept edge
        and each self-loop once, and with the column ``weight`` in float32 if weights of
        edges are not 1 or the transform writes new ones.

    Raises:
        ModuleNotFoundError: If PySpark is not installed.
        TypeError: If ``edges`` is not a table of Spark, ``transform`` is not an edge
            sparsifier, or a column has the wrong type.
        ValueError: If the transform needs the whole graph in memory, columns or values
            are missing, a weight is negative or not finite, or the two directions of an
            edge differ.
    """
    _check_table(edges)
    _check_transform(transform)
    ids, has_weight = check_columns(edges)
    with _holding() as hold:
        merged = hold(merge_edges(edges, has_weight))
        num_pairs, any_weight = check_merged(merged, symmetrize)
        weighted = has_weight or any_weight
        table = with_weight(merged, symmetrize) if weighted else merged.select("u", "v")
        kept = _keep(table.where("u < v"), transform, num_pairs, hold)
    weighted = weighted or (transform.reweights and transform.reweight)
    loops = table.where("u = v").selectExpr("u", "v", f"{_weight(table)} AS w")
    every = loops.union(kept.selectExpr("u", "v", f"{_weight(kept)} AS w"))
    return _both_directions(every, ids, weighted)


def _keep(
    pairs: "DataFrame", transform: EdgeSparsifier, num_pairs: int, hold: Hold
) -> "DataFrame":
    """Return the kept pairs, with the column ``w`` if there are weights."""
    if isinstance(transform, KNeighbor) and transform.k is not None:
        scored = _score(pairs, transform, hold)
        return scored.where(f"score >= {literal(1 / transform.k)}")
    k = budget(num_pairs, transform.sparsity)
    if k in (0, num_pairs):
        return pairs.where("true" if k or not num_pairs else "false")
    scored = _score(pairs, transform, hold)
    cut = find_cut(scored, k, hash_ties=not isinstance(transform, DSpar))
    kept = (with_ties(scored) if TIE in cut.values else scored).where(cut.condition)
    if isinstance(transform, DSpar) and transform.reweight:
        new = _new_weight(_weight(kept), cut.values[SCORE])
        return kept.selectExpr("u", "v", f"{new} AS w")
    return kept


def _score(pairs: "DataFrame", transform: EdgeSparsifier, hold: Hold) -> "DataFrame":
    """Append the column ``score``."""
    if isinstance(transform, LocalDegree):
        return hold(local_degree_scores(pairs))
    assert isinstance(transform, RandomEdge | DSpar | KNeighbor)
    seed = draw_seed(transform.seed)
    if isinstance(transform, RandomEdge):
        return hold(random_scores(pairs, seed))
    if isinstance(transform, DSpar):
        return hold(d_spar_scores(pairs, seed))
    scored = hold(k_neighbor_scores(pairs, seed))
    if "close" in scored.columns:
        refuse_close(scored, seed)
    return scored


def _new_weight(weight: str, threshold: float) -> str:
    """Return the weight of a sampled pair, as :func:`~gsparse.edges.priority_sample`.

    It is multiplied in float64 and rounded to float32.
    """
    factor = f"greatest({literal(threshold)} / importance, 1D)"
    new = f"CAST(IF(importance > 0, {factor}, 1D) * {weight} AS FLOAT)"
    infinite = "raise_error('a new weight is infinite in float32')"
    return f"CAST(IF({new} > {MAX_WEIGHT}, {infinite}, {new}) AS DOUBLE)"


def _weight(table: "DataFrame") -> str:
    return "w" if "w" in table.columns else "1D"


def _both_directions(table: "DataFrame", ids: str, weighted: bool) -> "DataFrame":
    """Return the rows of an edge table, with the reverse of every edge."""
    ahead, back = (
        f"named_struct('row', CAST({row} AS {ids}), 'col', CAST({col} AS {ids}), "
        "'weight', CAST(w AS FLOAT))"
        for row, col in ("uv", "vu")
    )
    rows = table.selectExpr(
        f"inline(IF(u = v, array({ahead}), array({ahead}, {back})))"
    )
    return rows if weighted else rows.drop("weight")


def _check_table(edges: object) -> None:
    try:
        from pyspark.sql import DataFrame  # an optional extra
    except ModuleNotFoundError:
        raise ModuleNotFoundError(MISSING) from None
    if not isinstance(edges, DataFrame):
        raise TypeError(
            f"'edges' must be a Spark DataFrame (got {type(edges).__name__})"
        )
    if edges.isStreaming:
        raise ValueError(
            "'edges' must be a table that can be read twice (got a stream)"
        )


def _check_transform(transform: object) -> None:
    """Refuse what is no transform, and methods that are no joins of tables."""
    if not isinstance(transform, EdgeSparsifier):
        raise TypeError(
            f"'transform' must be an edge sparsifier (got {type(transform).__name__})"
        )
    setting = ""
    if isinstance(transform, DSpar):
        if transform.connected:
            setting = " with connected=True"
        elif transform.epsilon is not None:
            setting = f" with epsilon={transform.epsilon}"
    if type(transform) not in METHODS or setting:
        names = ", ".join(method.__name__ for method in METHODS)
        raise ValueError(
            f"{type(transform).__name__}{setting} needs the whole graph in memory (got "
            f"a Spark table); methods for tables are {names} with 'sparsity'"
        )


@contextmanager
def _holding() -> Iterator[Hold]:
    held: list[DataFrame] = []

    def hold(table: "DataFrame") -> "DataFrame":
        held.append(table.persist())
        return held[-1]

    try:
        yield hold
    finally:
        for table in held:
            table.unpersist()
