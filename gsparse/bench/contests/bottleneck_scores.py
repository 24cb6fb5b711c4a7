"""How close resistances are to what degrees say of them, on real graphs."""

from collections.abc import Sequence
from pathlib import Path

from scipy.stats import pearsonr, spearmanr
from torch_geometric.data import Data

from gsparse.bench.tables.measurement import measurement
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.edges import undirected_pairs
from gsparse.linalg import exact_resistance
from gsparse.transforms.sampled import degree

SCORED = ("PubMed", "Computers", "tolokers", "CS", "Cora", "CiteSeer", "squirrel")
"""Below 20,000 nodes, and exact in seconds."""


def compare_scores(data: Data) -> Row:
    r"""Compare :math:`R_{uv}` with :math:`1/d_u + 1/d_v` over the edges.

    All weights are 1, so that these are the scores of
    :class:`~gsparse.transforms.EffectiveResistance` and
    :class:`~gsparse.transforms.DSpar`. Resistances are exact.

    Args:
        data: A graph.

    Returns:
        Both correlations, and the number of edges whose resistance is more than
        twice what the degrees say.
    """
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    inverse = 1 / degree(pairs, None)
    local = inverse[pairs.row] + inverse[pairs.col]
    resistance = exact_resistance(pairs.row, pairs.col, None, pairs.num_nodes)
    ratio = resistance / local
    return {
        "num_nodes": pairs.num_nodes,
        "num_pairs": pairs.num_pairs,
        "pearson": float(pearsonr(resistance, local).statistic),
        "spearman": float(spearmanr(resistance, local).statistic),
        "num_above_twice": int((ratio > 2).sum()),
        "median_ratio": float(ratio.median()),
        "largest_ratio": float(ratio.max()),
    }


def score_row(name: str, root: Path | None = None) -> Row:
    """A row of :func:`compare_scores` on a data set."""
    found = compare_scores(load(name, root))
    return measurement("bottlenecks", name, "EffectiveResistance", {}, **found)


def format_scores(rows: Sequence[Row]) -> str:
    """One line for each data set."""
    lines = [
        f"{'graph':14}{'edges':>9}{'Pearson':>9}{'Spearman':>10}"
        f"{'R > twice':>11}{'median':>8}{'largest':>9}"
    ]
    lines += [
        f"{row['dataset']:14}{row['num_pairs']:>9}{row['pearson']:>9.3f}"
        f"{row['spearman']:>10.3f}{row['num_above_twice']:>11}"
        f"{row['median_ratio']:>8.2f}{row['largest_ratio']:>9.2f}"
        for row in rows
    ]
    return "\n".join(lines)
