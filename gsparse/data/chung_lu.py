"""Chung-Lu graphs: given expected degrees, everything else random."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch_geometric.data import Data

from gsparse.data.erdos_renyi import both_directions
from gsparse.data.random_stream import RandomStream
from gsparse.data.weighted_draw import WeightedNodes

_LABELS, _DRAWS = range(2)
_MAX_ROUNDS = 200

Nodes = NDArray[np.int64]
EndPoints = Callable[[RandomStream, int], tuple[Nodes, Nodes]]


def power_law_degrees(
    num_nodes: int, num_edges: int, exponent: float, max_degree: float | None = None
) -> NDArray[np.float64]:
    r"""Expected degrees :math:`d_i \propto (i + i_0)^{-1/(\gamma-1)}`.

    The shift :math:`i_0` is chosen such that the largest is ``max_degree``; by
    default :math:`\sqrt{E}`, above which the model draws pairs twice.

    Args:
        num_nodes: Number of nodes :math:`N`.
        num_edges: Sum of the degrees :math:`E`.
        exponent: Exponent :math:`\gamma > 2` of the degree distribution.
        max_degree: Largest expected degree.

    Returns:
        Degrees in falling order, which sum to ``num_edges``.
    """
    if not exponent > 2:
        raise ValueError(f"'exponent' must be larger than 2 (got {exponent})")
    average = num_edges / num_nodes
    largest = np.sqrt(num_edges) if max_degree is None else max_degree
    largest = max(min(largest, num_nodes - 1), average)
    ranks = np.arange(num_nodes, dtype=np.float64)
    power = -1.0 / (exponent - 1.0)

    def share_of_first(shift: float) -> float:
        """First degree over their sum, of which all but 1000 terms as an integral."""
        exact = ((ranks[:1000] + shift) ** power).sum()
        ends = np.array([min(1000, num_nodes), num_nodes]) - 0.5 + shift
        return float(
            shift**power / (exact + np.diff(ends ** (power + 1))[0] / (power + 1))
        )

    low, high = 1e-3, 1e9 * num_nodes
    for _ in range(60):  # bisection in log scale; the share falls as i_0 grows
        shift = float(np.sqrt(low * high))
        too_large = share_of_first(shift) * num_edges > largest
        low, high = (shift, high) if too_large else (low, shift)
    degree = (ranks + shift) ** power
    return degree * (num_edges / degree.sum())


def distinct_pairs(
    draw: EndPoints, num_pairs: int, num_nodes: int, seed: int
) -> tuple[Nodes, Nodes]:
    """Draws pairs until ``num_pairs`` distinct ones without loops are there.

    Args:
        draw: Gives end points of any number of pairs from a stream.
        num_pairs: How many pairs to return, exactly.
        num_nodes: Number of nodes.
        seed: Seed of the streams; every round has its own.

    Returns:
        End points ``row < col``, in no useful order.

    Raises:
        RuntimeError: The same pairs come again and again.
    """
    key = np.empty(0, dtype=np.int64)
    for round_ in range(_MAX_ROUNDS):
        missing = num_pairs - key.size
        if missing <= 0:
            break
        u, v = draw(
            RandomStream(seed, _DRAWS + 2 * round_), missing + missing // 8 + 16
        )
        u, v = np.minimum(u, v), np.maximum(u, v)
        key = np.concatenate([key, (u * num_nodes + v)[u != v]])
        key.sort()
        key = key[np.diff(key, prepend=-1) != 0]
    else:
        raise RuntimeError(
            f"only {key.size} of {num_pairs} distinct pairs after {_MAX_ROUNDS} "
            "rounds; ask for fewer edges or more even degrees"
        )
    surplus = key.size - num_pairs
    if surplus:
        # Which pairs are too many must not depend on where they stand.
        word = RandomStream(seed, _DRAWS + 2 * _MAX_ROUNDS).words(key.size)
        key = key[np.argpartition(word, surplus - 1)[surplus:]]
    row, col = np.divmod(key, num_nodes)
    return row, col


def check_num_pairs(num_edges: int, num_nodes: int) -> int:
    """``num_edges / 2``, if a random graph of that size can be drawn."""
    if num_nodes < 1:
        raise ValueError(f"'num_nodes' must be at least 1 (got {num_nodes})")
    if num_edges < 0 or num_edges % 2:
        raise ValueError(
            f"'num_edges' counts both directions, it must be even and not negative "
            f"(got {num_edges})"
        )
    limit = num_nodes * (num_nodes - 1) // 2
    if num_edges > limit:
        raise ValueError(
            f"'num_edges' must be at most half of all N * (N - 1) entries, {limit} "
            f"(got {num_edges})"
        )
    return num_edges // 2


def chung_lu(
    num_nodes: int,
    num_edges: int,
    exponent: float = 2.5,
    seed: int = 0,
    *,
    max_degree: float | None = None,
) -> Data:
    r"""Draws a graph with power-law degrees and no other structure, as in the `"The
    Average Distances in Random Graphs with Given Expected Degrees"
    <https://doi.org/10.1073/pnas.252631999>`_ paper.

    Both end points of a pair are drawn with probability proportional to the expected
    degrees of :func:`power_law_degrees`. The paper tosses a coin for every pair of
    nodes; we draw until the number of pairs is met, so the size is exact, and a pair
    drawn twice counts once, so that hubs end a little below their expected degree.
    Ten million edges take seconds and :math:`O(N + E)` memory.

    Not for a study of clustering: there are hardly any triangles.

    Args:
        num_nodes: Number of nodes :math:`N`, numbered in random order.
        num_edges: Number of entries :math:`E` of ``edge_index``: both directions, so
            an even number, at most half of all :math:`N (N - 1)`.
        exponent: Exponent of the degree distribution, larger than 2.
        seed: Same seed, same graph, on every machine.
        max_degree: Largest expected degree, :math:`\sqrt{E}` by default.

    Returns:
        An undirected graph, sorted by row, without self-loops and features. Nodes of
        small expected degree may be isolated.

    Example:
        >>> chung_lu(num_nodes=1000, num_edges=8000, seed=53881)
        Data(edge_index=[2, 8000], num_nodes=1000)
    """
    num_pairs = check_num_pairs(num_edges, num_nodes)
    degree = power_law_degrees(num_nodes, max(num_edges, 2), exponent, max_degree)
    label = RandomStream(seed, _LABELS).permutation(num_nodes)
    nodes = WeightedNodes(degree[np.argsort(label)])

    def draw(stream: RandomStream, size: int) -> tuple[Nodes, Nodes]:
        node = nodes.at(stream.uniform(2 * size) * nodes.total)
        return node[:size], node[size:]

    row, col = distinct_pairs(draw, num_pairs, num_nodes, seed)
    return Data(edge_index=both_directions(row, col, num_nodes), num_nodes=num_nodes)
