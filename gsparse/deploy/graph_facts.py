"""Count what decides how a graph can be sparsified."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import is_undirected

from gsparse.edges import Pairs, budget, undirected_pairs
from gsparse.edges.levels import require_edge_index
from gsparse.linalg import Laplacian
from gsparse.train import SparseFeatures

SPARSITIES = (0.5, 0.8, 0.9, 0.95)


@dataclass(frozen=True)
class Budget:
    """Number of edges left at a sparsity.

    Args:
        sparsity: Fraction of the edges to remove.
        num_left: Number of edges left.
        fits_forest: Whether a spanning forest fits into them. Otherwise every choice of
            edges splits components, and no spectral guarantee is possible.
    """

    sparsity: float
    num_left: int
    fits_forest: bool


@dataclass(frozen=True)
class GraphFacts:
    """Size, degrees, components, labels and features of a graph.

    The degree of a node is its number of neighbours, in either direction of the edges
    and without itself.

    Args:
        num_nodes: Number of nodes.
        undirected: Whether every edge is listed in both directions.
        num_edges: Number of edges without self-loops; the two directions of an edge and
            its parallel copies count as one. In a directed graph both directions count.
        num_self_loops: Number of entries from a node to itself.
        num_isolated: Number of nodes without a neighbour.
        degree_median: Median degree.
        degree_mean: Mean degree.
        degree_99: Smallest degree that is not exceeded by 99 % of the nodes.
        degree_max: Largest degree.
        num_components: Number of connected components, regardless of directions.
        homophily: Fraction of the edges between labelled nodes that join equal labels;
            None without labels or with several labels per node.
        num_features: Number of features per node; None without features.
        zero_share: Fraction of the features that are zero.
        budgets: Edges left at each of ``SPARSITIES``.
    """

    num_nodes: int
    undirected: bool
    num_edges: int
    num_self_loops: int
    num_isolated: int
    degree_median: float
    degree_mean: float
    degree_99: int
    degree_max: int
    num_components: int
    homophily: float | None
    num_features: int | None
    zero_share: float | None
    budgets: tuple[Budget, ...]

    @property
    def forest_size(self) -> int:
        """Number of edges of a spanning forest, the nodes minus the components."""
        return self.num_nodes - self.num_components

    def allows_guarantee(self, sparsity: float) -> bool:
        """Whether a spectral guarantee is possible at one of ``SPARSITIES``."""
        fits = {it.sparsity: it.fits_forest for it in self.budgets}
        return self.undirected and fits[sparsity]


def graph_facts(data: Data) -> GraphFacts:
    """Return the facts of a graph. Costs a sort of the edges and a pass over features.

    Raises:
        ValueError: If the graph has no nodes or no ``edge_index``.

    Example:
        >>> from gsparse.data import barbell
        >>> from gsparse.deploy.graph_facts import graph_facts
        >>> facts = graph_facts(barbell(4))
        >>> facts.num_edges, facts.forest_size
        (13, 7)
        >>> [it.fits_forest for it in facts.budgets]
        [True, False, False, False]
    """
    edge_index = require_edge_index(data._store)
    n = data.num_nodes
    if not n:
        raise ValueError(f"'data' must have at least one node (got {n})")
    pairs = undirected_pairs(edge_index, n)
    undirected = is_undirected(edge_index, num_nodes=n)
    graph = Laplacian(pairs.row, pairs.col, None, n)
    degree = graph.diagonal.numpy()
    forest_size = n - graph.num_components
    x, row, col = data.get("x"), *edge_index
    return GraphFacts(
        num_nodes=n,
        undirected=undirected,
        num_edges=pairs.num_pairs if undirected else _num_directed(edge_index, n),
        num_self_loops=int((row == col).sum()),
        num_isolated=int((degree == 0).sum()),
        degree_median=float(np.median(degree)),
        degree_mean=float(degree.mean()),
        degree_99=int(np.quantile(degree, 0.99, method="inverted_cdf")),
        degree_max=int(degree.max()),
        num_components=graph.num_components,
        homophily=_homophily(pairs, data.get("y")),
        num_features=None if x is None else x.size(-1),
        zero_share=None if x is None else zero_share(x),
        budgets=tuple(_budget(pairs.num_pairs, s, forest_size) for s in SPARSITIES),
    )


def zero_share(x: Tensor) -> float:
    """Return the fraction of zeros in dense, CSR or sparse features.

    Example:
        >>> import torch
        >>> from gsparse.deploy.graph_facts import zero_share
        >>> zero_share(torch.eye(4))
        0.75
    """
    values = x
    if isinstance(x, SparseFeatures):
        values = x.matrix.values
    elif x.layout == torch.sparse_csr:
        values = x.values()
    return 1 - int(torch.count_nonzero(values)) / max(x.numel(), 1)


def _budget(num_pairs: int, sparsity: float, forest_size: int) -> Budget:
    left = budget(num_pairs, sparsity)
    return Budget(sparsity, left, left >= forest_size)


def _num_directed(edge_index: Tensor, num_nodes: int) -> int:
    """Return the number of distinct directed edges without self-loops."""
    row, col = edge_index
    key = (row.long() * num_nodes + col)[row != col]
    return key.unique().numel()


def _homophily(pairs: Pairs, y: Tensor | None) -> float | None:
    """Return the fraction of edges between equal labels; -1 is no label."""
    if y is None or y.dim() != 1 or y.is_floating_point():
        return None
    first, second = y[pairs.row], y[pairs.col]
    known = (first >= 0) & (second >= 0)
    if not known.any():
        return None
    return (first == second)[known].double().mean().item()
