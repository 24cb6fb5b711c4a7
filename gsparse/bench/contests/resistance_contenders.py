"""Who scores a graph by effective resistance in the benchmark, and on which graphs."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from torch_geometric.data import Data

from gsparse.data import chung_lu, load
from gsparse.edges import undirected_pairs
from gsparse.linalg import (
    exact_resistance,
    jl_resistance,
    pair_resistance,
    tree_resistance,
)

#: Settings from coarse to fine.
TREES = (4, 8, 16, 32, 64, 128, 256)
COLUMNS = (16, 64, 256)
TOLERANCES = (0.05,)
GRAPHS = ("PubMed", "Physics", "tolokers", "chung_lu")


class Problem(NamedTuple):
    """A graph as undirected pairs."""

    name: str
    row: Tensor  # [M]
    col: Tensor  # [M]
    num_nodes: int


class Contender(NamedTuple):
    """A method at one setting; ``run`` gives one resistance per pair."""

    method: str
    setting: float
    run: Callable[[], Tensor]
    is_peer: bool = False  # the program or method of somebody else


def make_graph(name: str, root: Path | None = None, *, quick: bool = False) -> Data:
    """A data set by name, or the Chung-Lu graph.

    Args:
        name: One of :data:`GRAPHS`, or any data set.
        root: Folder of the data sets.
        quick: A Chung-Lu graph of a hundredth of the size: 2,330 nodes.

    Returns:
        The graph.
    """
    if name == "chung_lu":
        shrink = 100 if quick else 1
        return chung_lu(233_000 // shrink, 23_200_000 // shrink, seed=60493)
    return load(name, root=root)


def make_problem(
    name: str, root: Path | None = None, *, quick: bool = False
) -> Problem:
    """The pairs of :func:`make_graph`."""
    data = make_graph(name, root, quick=quick)
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return Problem(name, pairs.row, pairs.col, pairs.num_nodes)


def own_contenders(
    problem: Problem, seed: int, *, exact: bool, quick: bool
) -> list[Contender]:
    """Our methods at several settings.

    Args:
        problem: The graph.
        seed: Seed of the random methods.
        exact: Whether the graph is small enough for ``exact``.
        quick: Only the coarsest two settings of each.

    Returns:
        One contender per setting.
    """
    ends = problem.row, problem.col, None, problem.num_nodes
    most = 2 if quick else None

    def tree(count: int) -> Contender:
        return Contender(
            "tree",
            count,
            lambda: tree_resistance(*ends, num_trees=count, seed=seed).resistance,
        )

    def jl(count: int) -> Contender:
        return Contender(
            "jl",
            count,
            lambda: jl_resistance(*ends, num_columns=count, seed=seed).resistance,
        )

    def auto(tolerance: float) -> Contender:
        return Contender(
            "auto",
            tolerance,
            lambda: pair_resistance(*ends, tolerance=tolerance, seed=seed).resistance,
        )

    found = [tree(count) for count in TREES[:most]]
    found += [jl(count) for count in COLUMNS[:most]]
    found += [auto(tolerance) for tolerance in TOLERANCES]
    if exact:
        found.append(Contender("exact", 0.0, lambda: exact_resistance(*ends)))
    return found
