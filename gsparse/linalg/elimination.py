"""Eliminate the nodes of low degree of a network exactly."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from gsparse.kernels.resistance.core import core_slots, dense_core, sparse_core
from gsparse.kernels.resistance.elimination import Pattern, eliminate, fill_pattern
from gsparse.kernels.resistance.extension import extend, pair_places
from gsparse.kernels.resistance.pair_csr import pair_csr, peel_leaves, relabel
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.laplacian import check_pairs

_NO_FLOATS, _NO_DENSE = np.empty(0), np.empty((0, 0))


class Network(NamedTuple):
    """Adjacency lists of a network after its hanging trees were removed."""

    peeled: np.ndarray  # [M] bool: pairs of the hanging trees, whose R is 1 / w
    row: np.ndarray  # [m] int32, the other pairs with renumbered nodes
    col: np.ndarray  # [m] int32
    weight: np.ndarray  # [m] float64, or empty for ones
    num_nodes: int
    ptr: np.ndarray  # [n + 1] int64
    nbr: np.ndarray  # [2m] int32
    pair: np.ndarray  # [2m] int32


def peel(row: Tensor, col: Tensor, weight: Tensor | None, num_nodes: int) -> Network:
    """Remove leaves until none is left, and index the remaining network.

    Args:
        row: Smaller end point of each pair, sorted by (row, col).
        col: Larger end points.
        weight: Conductances, or None if all are 1.
        num_nodes: Number of nodes.

    Returns:
        The remaining network.

    Shapes:
        - **row**, **col**, **weight:** :math:`(M,)`

    Raises:
        ValueError: If the pairs are out of order, or a weight is negative or infinite.
    """
    check_pairs(row, col, weight, num_nodes)
    rows, cols = row.cpu().numpy(), col.cpu().numpy()
    peeled = peel_leaves(rows, cols, num_nodes)
    new_row, new_col, nodes = relabel(rows, cols, ~peeled, num_nodes)
    kept = (
        _NO_FLOATS
        if weight is None
        else weight.detach().cpu().double().numpy()[~peeled]
    )
    lists = pair_csr(new_row, new_col, len(nodes))
    return Network(peeled, new_row, new_col, kept, len(nodes), *lists)


class SparseCore(NamedTuple):
    """Pairs of the network that is left after elimination."""

    ptr: np.ndarray  # [k + 1] int64, first pair of each smaller end point
    col: np.ndarray  # [p] int32, larger end points, ascending
    conductance: np.ndarray  # [p] float64

    @property
    def row(self) -> np.ndarray:
        """Smaller end points ``[p]``, int32."""
        size = len(self.ptr) - 1
        return np.repeat(np.arange(size, dtype=np.int32), np.diff(self.ptr))


_NO_CORE = SparseCore(np.zeros(1, np.int64), np.empty(0, np.int32), _NO_FLOATS)


class Elimination:
    """Star-mesh elimination of the nodes of low degree of a network.

    The resistances between the nodes of the remaining core are unchanged. From exact or
    estimated resistances of the core, :meth:`resistance` and :meth:`extend` compute
    those of the other pairs.

    Args:
        network: Network without hanging trees.
        order: Nodes to eliminate, from
            :func:`~gsparse.kernels.resistance.ordering.minimum_degree`.
        degree: Degree of each of these nodes at its elimination.
    """

    def __init__(self, network: Network, order: np.ndarray, degree: np.ndarray) -> None:
        self.network = network
        self.order = order
        in_core = np.ones(network.num_nodes, bool)
        in_core[order] = False
        self.core_nodes = np.flatnonzero(in_core).astype(np.int32)
        self.place = np.empty(network.num_nodes, np.int32)
        self.place[order] = np.arange(len(order))
        self.place[in_core] = np.arange(len(order), network.num_nodes)
        ptr, nbr, pair = network.ptr, network.nbr, network.pair
        self.pattern: Pattern = fill_pattern(ptr, nbr, order, self.place, degree)
        self.share, self.total = eliminate(
            self.pattern, ptr, nbr, pair, network.weight, order, self.place
        )

    def dense_core(self) -> Tensor:
        """Compute the conductances of the core, upper triangle ``[k, k]``."""
        size, first = len(self.core_nodes), len(self.order)
        out = torch.zeros(size, size, dtype=torch.float64)
        net = self.network
        a, b = self.place[net.row] - first, self.place[net.col] - first
        both = (a >= 0) & (b >= 0)
        out.numpy()[a[both], b[both]] = net.weight[both] if net.weight.size else 1.0
        slots = core_slots(self.pattern, size)
        work = int(np.square(np.diff(self.pattern.ptr), dtype=float).sum())
        run_blocks(
            dense_core, work, self.pattern, self.share, self.total, *slots, out.numpy()
        )
        return out

    def sparse_core(self) -> SparseCore:
        """Compute the pairs of the core and their conductances."""
        net = self.network
        slots = core_slots(self.pattern, len(self.core_nodes))
        lists = net.ptr, net.nbr, net.pair, net.weight
        numbers = self.core_nodes, self.place
        return SparseCore(
            *sparse_core(self.pattern, self.share, self.total, *slots, *lists, *numbers)
        )

    def resistance(self, dense: np.ndarray) -> np.ndarray:
        """Compute the resistance of every pair of the network from a dense core.

        Args:
            dense: Resistances between all nodes of the core.

        Returns:
            One value per pair of the network.

        Shapes:
            - **dense:** :math:`(k, k)`
            - **output:** :math:`(m,)`
        """
        column = self.extend(_NO_CORE, _NO_FLOATS, dense)
        places = self.places(_NO_CORE)
        values = np.empty(len(places))
        inside = places < 0
        values[~inside] = column[places[~inside]]
        net, first = self.network, len(self.order)
        a, b = self.place[net.row[inside]], self.place[net.col[inside]]
        values[inside] = dense[a - first, b - first]
        return values

    def extend(
        self, core: SparseCore, value: np.ndarray, dense: np.ndarray = _NO_DENSE
    ) -> np.ndarray:
        """Compute the resistances of the eliminated columns from those of the core.

        The result is linear in ``value``, so unbiased estimates stay unbiased.

        Args:
            core: Pairs of the core.
            value: Resistances of these pairs, or unbiased estimates of them.
            dense: Resistances between all nodes of the core, instead of ``value``.

        Returns:
            One value per entry of the pattern.
        """
        lists = core.ptr, core.col, value, dense
        return extend(self.pattern, self.share, self.total, *lists)

    def places(self, core: SparseCore) -> np.ndarray:
        """Find each pair of the network among the pattern values and the core values.

        Pairs inside the core get -1 if the core has no list of pairs.
        """
        net = self.network
        ends = net.row, net.col, self.place
        return pair_places(self.pattern, core.ptr, core.col, *ends)


def mark_disconnected_(
    resistance: Tensor, row: Tensor, col: Tensor, weight: Tensor, num_nodes: int
) -> None:
    """Set the resistance of pairs in different components to infinity.

    Pairs of weight zero do not connect their end points.
    """
    positive = (weight > 0).cpu().numpy()
    if positive.all():
        return
    rows, cols = row.cpu().numpy(), col.cpu().numpy()
    ends = rows[positive], cols[positive]
    graph = coo_array((np.ones(len(ends[0]), bool), ends), shape=(num_nodes, num_nodes))
    _, label = connected_components(graph, directed=False)
    resistance[torch.from_numpy(label[rows] != label[cols])] = torch.inf
