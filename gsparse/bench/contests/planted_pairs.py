"""Graphs as sorted pairs: those with planted cuts, and data sets."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.bench.contests.planted_graphs import clique_ring, joined_random_graphs
from gsparse.data import chung_lu, grid, load, lollipop, random_graph, star
from gsparse.edges import undirected_pairs


class Planted(NamedTuple):
    """A graph as sorted pairs, and the pairs that cross its planted cut, if any."""

    row: Tensor  # [M]
    col: Tensor  # [M]
    weight: Tensor | None  # [M] float64
    num_nodes: int
    cut: Tensor  # [M] bool

    @property
    def graph(self) -> tuple[Tensor, Tensor, Tensor | None, int]:
        """Pairs, weights and number of nodes, as solvers take them."""
        return self[:4]


def joined(half: int, degree: int, num_joins: int, seed: int = 0) -> Planted:
    """Return :func:`joined_random_graphs`; the edges between the halves are the cut."""
    data = joined_random_graphs(half, degree, num_joins, seed)
    return _planted(data, first=half)


def ring_of_cliques(num_cliques: int, size: int) -> Planted:
    """Return :func:`clique_ring`; two opposite edges cut it."""
    data = clique_ring(num_cliques, size)
    return _planted(data, first=num_cliques // 2 * size)


def weak_cliques(weight: float, size: int = 100) -> Planted:
    """Return two cliques and all pairs between them, which have a small weight."""
    row, col = torch.combinations(torch.arange(2 * size)).t()
    cut = (row < size) & (col >= size)
    return Planted(row, col, torch.where(cut, weight, 1.0).double(), 2 * size, cut)


def spread_weights(
    orders: float, zeros: float = 0.0, num_nodes: int = 400, seed: int = 0
) -> Planted:
    """Return a random graph whose weights span orders of magnitude, some being 0."""
    generator = torch.Generator().manual_seed(seed)
    row, col = torch.combinations(torch.arange(num_nodes)).t()
    keep = torch.rand(row.numel(), generator=generator) < 60 / num_nodes
    row, col = row[keep], col[keep]
    draw = torch.rand(row.numel(), generator=generator, dtype=torch.float64)
    weight = 10 ** (orders * (draw - 0.5))
    weight[torch.rand(row.numel(), generator=generator) < zeros] = 0
    return Planted(row, col, weight, num_nodes, torch.zeros_like(row, dtype=torch.bool))


def long_grid(rows: int, columns: int) -> Planted:
    """Return a grid like a map of streets, without a planted cut."""
    return _planted(grid(rows, columns))


def pairs_of(name: str, root: str | None = None) -> Planted:
    """Return a graph of :data:`FAMILIES` or :data:`OTHERS`, or a data set."""
    make = (FAMILIES | OTHERS).get(name)
    return _planted(load(name, root)) if make is None else make()


def _planted(data: Data, first: int = 0) -> Planted:
    """Return the pairs; the cut separates the first nodes from the others."""
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    return Planted(row, col, None, n, (row < first) & (col >= first))


FAMILIES: dict[str, Callable[[], Planted]] = {
    "joined by 1, 1,000 nodes": lambda: joined(500, 40, 1),
    "joined by 2, 1,000 nodes": lambda: joined(500, 40, 2),
    "joined by 8, 1,000 nodes": lambda: joined(500, 40, 8),
    "joined by 64, 1,000 nodes": lambda: joined(500, 40, 64),
    "joined by 1, 6,000 nodes": lambda: joined(3000, 40, 1),
    "joined by 2, 6,000 nodes": lambda: joined(3000, 40, 2),
    "joined by 8, 6,000 nodes": lambda: joined(3000, 40, 8),
    "joined by 64, 6,000 nodes": lambda: joined(3000, 40, 64),
    "joined by 2, 100,000 nodes": lambda: joined(50_000, 40, 2),
    "joined by 64, 100,000 nodes": lambda: joined(50_000, 40, 64),
    "cliques, weak links of 1e-2": lambda: weak_cliques(1e-2),
    "cliques, weak links of 1e-4": lambda: weak_cliques(1e-4),
    "cliques, weak links of 1e-6": lambda: weak_cliques(1e-6),
    "cliques, weak links of 1e-8": lambda: weak_cliques(1e-8),
    "ring of 30 cliques of 30": lambda: ring_of_cliques(30, 30),
    "ring of 200 cliques of 20": lambda: ring_of_cliques(200, 20),
    "ring of 1,000 cliques of 10": lambda: ring_of_cliques(1000, 10),
    "grid of 1,000 x 100": lambda: long_grid(1000, 100),
    "lollipop, 100 + 100": lambda: _planted(lollipop(100, 100), first=100),
    "star of 1,000": lambda: _planted(star(1000)),
    "a fifth of the weights 0": lambda: spread_weights(0, zeros=0.2),
    "weights over 1e4": lambda: spread_weights(4),
    "weights over 1e12": lambda: spread_weights(12),
    "weights over 1e12, a fifth 0": lambda: spread_weights(12, zeros=0.2),
}
"""Graphs on which resistances are hard to estimate."""

OTHERS: dict[str, Callable[[], Planted]] = {
    "ring_of_200_cliques": lambda: ring_of_cliques(200, 20),
    "grid_300x300": lambda: long_grid(300, 300),
    "two_random_graphs": lambda: joined(5000, 20, 2),
    "chung_lu": lambda: _planted(chung_lu(233_000, 23_200_000, seed=60493)),
    "chung_lu_small": lambda: _planted(chung_lu(2_330, 232_000, seed=60493)),
    "toy": lambda: _planted(random_graph(num_nodes=100, p=0.1, seed=23011)),
}
"""Further synthetic graphs."""
