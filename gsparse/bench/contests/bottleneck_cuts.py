"""Connectivity and spectrum of graphs with planted bottlenecks after they are cut."""

from functools import partial
from math import log
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigvalsh
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_scipy_sparse_matrix

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.contests.planted_graphs import PLANTED, between_parts
from gsparse.bench.tables.rows import Row
from gsparse.edges import undirected_pairs
from gsparse.linalg import Laplacian
from gsparse.transforms import DSpar, EffectiveResistance, RandomEdge
from gsparse.transforms.base import EdgeSparsifier

METHODS = (
    "EffectiveResistance",
    "DSpar",
    "RandomEdge",
    "EffectiveResistance, connected",
    "DSpar, connected",
)
SPARSITIES = {"road_grid": (0.2, 0.4)}
"""Where 2 N ln N edges are more than there are."""
SPECTRA = 3
"""Eigenvalues are computed in so many turns."""
ROUNDING = 1e-9


class Connection(NamedTuple):
    """Connectivity of a graph after a cut."""

    num_components: int
    planted_connected: bool | None
    """Whether the edges left between the parts connect them; None without parts."""
    planted_edges: int | None
    """Edges left between the parts."""


def default_sparsities(name: str, data: Data) -> tuple[float, ...]:
    """Return the fraction to remove that leaves 2 N ln N edges, or a possible one."""
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    left = 2 * pairs.num_nodes * log(pairs.num_nodes)
    return SPARSITIES.get(name) or (1 - left / pairs.num_pairs,)


def connection(data: Data) -> Connection:
    """Count the components, and check whether the parts are still connected."""
    found = _components(data.edge_index, data.num_nodes)
    if data.get("part") is None:
        return Connection(found, None, None)
    between = data.edge_index[:, between_parts(data)]
    num_parts = int(data.part.max()) + 1
    parts = _components(data.part[between], num_parts)
    return Connection(found, parts == 1, between.size(1) // 2)


def _components(edge_index: Tensor, num_nodes: int) -> int:
    pairs = undirected_pairs(edge_index, num_nodes)
    return Laplacian(pairs.row, pairs.col, None, num_nodes).num_components


def extreme_eigenvalues(cut: Data, data: Data) -> tuple[float, float]:
    r"""Return the smallest and largest :math:`\lambda` with
    :math:`\tilde L x = \lambda L x` for the Laplacians of a cut and of a whole graph.

    On vectors orthogonal to constants :math:`x^T \tilde L x / x^T L x` does not change
    when a constant is added to ``x``, so the last node is held at 0 and its row and
    column are left out. Dense: a few thousand nodes at most.

    Args:
        cut: The graph after the cut, its weights in ``edge_weight``.
        data: The connected graph before.

    Returns:
        Both eigenvalues; the smallest is 0 if the cut graph is disconnected.
    """
    values = eigvalsh(_grounded(cut), _grounded(data), check_finite=False)
    smallest = float(values[0])
    return (smallest if smallest > ROUNDING else 0.0), float(values[-1])


def _grounded(data: Data) -> NDArray[np.float64]:
    weight = data.get("edge_weight")
    weight = None if weight is None else weight.double()
    A = to_scipy_sparse_matrix(data.edge_index, weight, data.num_nodes).toarray()
    A = A.astype(np.float64)
    return (np.diag(A.sum(1)) - A)[:-1, :-1]


def make_method(method: str, sparsity: float, seed: int) -> EdgeSparsifier:
    """Return a sparsifier by one of the names in :data:`METHODS`."""
    if method == "RandomEdge":
        return RandomEdge(sparsity, seed=seed)
    name, *connected = method.split(", ")
    kind = {"EffectiveResistance": EffectiveResistance, "DSpar": DSpar}[name]
    return kind(sparsity, connected=bool(connected), seed=seed)


def contenders(problem: Problem) -> list[Contender]:
    """Return each method on a planted graph; the size is the sparsity, if given."""
    if problem.graph not in PLANTED:
        names = ", ".join(PLANTED)
        raise ValueError(f"'graphs' must be of {names} (got {problem.graph})")
    data = PLANTED[problem.graph]()
    sparsities = default_sparsities(problem.graph, data)
    if problem.size:
        sparsities = (float(problem.size),)
    return cuts(data, sparsities, 0 if problem.quick else SPECTRA)


def cuts(data: Data, sparsities: tuple[float, ...], spectra: int) -> list[Contender]:
    """Return a cut by each method at each sparsity.

    The importances are computed once for each method. Random edges, which keep their
    weights, all get the one weight that keeps the expected Laplacian.

    Args:
        data: The graph.
        sparsities: Fractions of the edges to remove.
        spectra: Number of turns in which eigenvalues are computed.
    """
    before = connection(data)

    def cut(method: str, sparsity: float, score: Tensor, seed: int) -> tuple[Data, int]:
        transform = make_method(method, sparsity, seed)
        if method != "RandomEdge":
            return transform.cut(data, score), seed
        found = transform(data)
        found.edge_weight = torch.full(
            (found.num_edges,), data.num_edges / found.num_edges
        )
        return found, seed

    def check(output: tuple[Data, int]) -> Row:
        after, seed = output
        found: Row = connection(after)._asdict()
        found |= {
            "planted_edges_before": before.planted_edges,
            "sparsity": 1 - after.num_edges / data.num_edges,
            "num_nodes": data.num_nodes,
            "num_pairs_before": data.num_edges // 2,
            "num_pairs_after": after.num_edges // 2,
            "is_connected": found["num_components"] == 1,
        }
        if seed < spectra:
            smallest, largest = extreme_eigenvalues(after, data)
            found |= {"smallest_eigenvalue": smallest, "largest_eigenvalue": largest}
        return found

    found = []
    for method in METHODS:
        score = make_method(method, sparsities[0], 0).importance(data)
        for sparsity in sparsities:
            run = {"seconds": partial(cut, method, sparsity, score)}
            settings = {"sparsity_target": sparsity}
            found.append(Contender(method, run, settings, check=check))
    return found


CONTEST = Contest(
    name="bottleneck_cuts",
    about="planted bottlenecks: connectivity and spectrum after a cut",
    contenders=contenders,
    graphs=tuple(PLANTED),
    quick_graphs=("joined_random_graphs",),
    keys=("sparsity_target",),
    columns={
        "num_components": "pieces",
        "planted_connected": "joined",
        "planted_edges": "between",
        "smallest_eigenvalue": "min eig",
        "largest_eigenvalue": "max eig",
    },
    repeats=100,
    warm_up=0,
    each_turn=True,
    table="bottlenecks",
)
