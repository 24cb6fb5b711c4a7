"""Graphs on which resistances are hard to estimate, with the cuts planted in them."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.bench.contests.planted_graphs import clique_ring, joined_random_graphs
from gsparse.data import grid, lollipop, star
from gsparse.edges import undirected_pairs


class Planted(NamedTuple):
    """A graph as sorted pairs, and which of them cross the planted cut."""

    row: Tensor  # [M]
    col: Tensor  # [M]
    weight: Tensor | None  # [M] float64
    num_nodes: int
    cut: Tensor  # [M] bool

    @property
    def graph(self) -> tuple[Tensor, Tensor, Tensor | None, int]:
        """The first four, as solvers take them."""
        return self[:4]


def joined(half: int, degree: int, num_joins: int, seed: int = 0) -> Planted:
    """:func:`joined_random_graphs` as pairs; the few edges are the cut."""
    data = joined_random_graphs(half, degree, num_joins, seed)
    return _planted(data, first=half)


def ring_of_cliques(num_cliques: int, size: int) -> Planted:
    """:func:`clique_ring` as pairs; two opposite edges cut it."""
    data = clique_ring(num_cliques, size)
    return _planted(data, first=num_cliques // 2 * size)


def weak_cliques(weight: float, size: int = 100) -> Planted:
    """Two cliques, and all pairs between them with one small weight."""
    row, col = torch.combinations(torch.arange(2 * size)).t()
    cut = (row < size) & (col >= size)
    return Planted(row, col, torch.where(cut, weight, 1.0).double(), 2 * size, cut)


def spread_weights(
    orders: float, zeros: float = 0.0, num_nodes: int = 400, seed: int = 0
) -> Planted:
    """A random graph with weights over orders of magnitude, a share of them zero."""
    generator = torch.Generator().manual_seed(seed)
    row, col = torch.combinations(torch.arange(num_nodes)).t()
    keep = torch.rand(row.numel(), generator=generator) < 60 / num_nodes
    row, col = row[keep], col[keep]
    draw = torch.rand(row.numel(), generator=generator, dtype=torch.float64)
    weight = 10 ** (orders * (draw - 0.5))
    weight[torch.rand(row.numel(), generator=generator) < zeros] = 0
    return Planted(row, col, weight, num_nodes, torch.zeros_like(row, dtype=torch.bool))


def long_grid(rows: int, columns: int) -> Planted:
    """A grid like a map of streets, without a planted cut."""
    return _planted(grid(rows, columns), first=0)


def _planted(data: Data, first: int) -> Planted:
    """Its pairs; the cut parts the first nodes from the others."""
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    return Planted(row, col, None, n, (row < first) & (col >= first))


#: By name; made when called.
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
    "star of 1,000": lambda: _planted(star(1000), first=0),
    "a fifth of the weights 0": lambda: spread_weights(0, zeros=0.2),
    "weights over 1e4": lambda: spread_weights(4),
    "weights over 1e12": lambda: spread_weights(12),
    "weights over 1e12, a fifth 0": lambda: spread_weights(12, zeros=0.2),
}
