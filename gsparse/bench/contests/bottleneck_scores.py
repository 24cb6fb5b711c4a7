"""Compare resistances with their estimates from degrees, on real graphs.

They should agree: `"Hitting and commute times in large graphs are often misleading"
<https://arxiv.org/abs/1003.1266>`_.
"""

from scipy.stats import pearsonr, spearmanr
from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.edges import undirected_pairs
from gsparse.linalg import exact_resistance
from gsparse.transforms.sampled import degree

SCORED = ("PubMed", "Computers", "tolokers", "CS", "Cora", "CiteSeer", "squirrel")
"""Graphs below 20,000 nodes, whose exact resistances take seconds."""


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


def contenders(problem: Problem) -> list[Contender]:
    """Return the comparison on a data set."""
    data = load(problem.graph, problem.root)
    run = {"seconds": lambda _: compare_scores(data)}
    return [Contender("EffectiveResistance", run, check=lambda found: found)]


CONTEST = Contest(
    name="bottleneck_scores",
    about="effective resistances beside what degrees say of them",
    contenders=contenders,
    graphs=SCORED,
    columns={
        "num_pairs": "edges",
        "pearson": "Pearson",
        "spearman": "Spearman",
        "num_above_twice": "R > twice",
        "median_ratio": "median",
        "largest_ratio": "largest",
    },
    repeats=1,
    warm_up=0,
    table="bottlenecks",
)
