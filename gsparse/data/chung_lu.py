"""Chung-Lu graphs: random graphs with given expected degrees."""

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
    r"""Compute expected degrees :math:`d_i \propto (i + i_0)^{-1/(\gamma-1)}`.

    The shift :math:`i_0` is chosen so that the largest degree is ``max_degree``. The
    default is :math:`\sqrt{E}`, because the model draws pairs twice above it.

    Args:
        num_nodes: Number of nodes :math:`N`.
        num_edges: Sum of the degrees :math:`E`.
        exponent: Exponent :math:`\gamma > 2` of the degree distribution.
        max_degree: Largest expected degree.

    Returns:
        Degrees in descending order, which sum to ``num_edges``.

    Shapes:
        - **output:** :math:`(N,)`
    """
    if not exponent > 2:
        raise ValueError(f"'exponent' must be larger than 2 (got {exponent})")
    average = num_edges / num_nodes
    largest = np.sqrt(num_edges) if max_degree is None else max_degree
    largest = max(min(largest, num_nodes - 1), average)
    ranks = np.arange(num_nodes, dtype=np.float64)
    power = -1.0 / (exponent - 1.0)

    def share_of_first(shift: float) -> float:
        """Divide the first degree by the sum; after 1000 terms use an integral."""
        exact = ((ranks[:1000] + shift) ** power).sum()
        ends = np.array([min(1000, num_nodes), num_nodes]) - 0.5 + shift
        return float(
            shift**power / (exact + np.diff(ends ** (power + 1))[0] / (power + 1))
        )

    low, high = 1e-3, 1e9 * num_nodes
    for _ in range(60):  # bisection on a log scale: the share falls with the shift
        shift = float(np.sqrt(low * high))
        too_large = share_of_first(shift) * num_edges > largest
        low, high = (shift, high) if too_large else (low, shift)
    degree = (ranks + shift) ** power
    return degree * (num_edges / degree.sum())


def distinct_pairs(
    draw: EndPoints, num_pairs: int, num_nodes: int, seed: int
) -> tuple[Nodes, Nodes]:
    """Draw exactly ``num_pairs`` distinct pairs without self-loops.

    Args:
        draw: Function that draws the end points of a number of pairs from a stream.
        num_pairs: Number of pairs.
        num_nodes: Number of nodes.
        seed: Random seed; every round uses its own stream.

    Returns:
        End points ``row < col``, not sorted.

    Raises:
        RuntimeError: If too few distinct pairs are found.
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
            f"{num_pairs} distinct pairs must be drawn (got {key.size} after "
            f"{_MAX_ROUNDS} rounds); use fewer edges or a larger 'exponent'"
        )
    surplus = key.size - num_pairs
    if surplus:
        # The pairs to drop must not depend on their position.
        word = RandomStream(seed, _DRAWS + 2 * _MAX_ROUNDS).words(key.size)
        key = key[np.argpartition(word, surplus - 1)[surplus:]]
    row, col = np.divmod(key, num_nodes)
    return row, col


def check_num_pairs(num_edges: int, num_nodes: int) -> int:
    """Return ``num_edges / 2`` if a random graph of this size can be drawn."""
    if num_nodes < 1:
        raise ValueError(f"'num_nodes' must be at least 1 (got {num_nodes})")
    if num_edges < 0 or num_edges % 2:
        raise ValueError(
            f"'num_edges' counts both directions and must be even and not negative "
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
    r"""Draw a graph with power-law degrees and no other structure, as in the `"The
    Average Distances in Random Graphs with Given Expected Degrees"
    <https://doi.org/10.1073/pnas.252631999>`_ paper.

    Example:
        >>> chung_lu(num_nodes=1000, num_edges=8000, seed=53881)
        Data(edge_index=[2, 8000], num_nodes=1000)

    Both end points of a pair are drawn with probability proportional to the expected
    degrees of :func:`power_law_degrees`. In contrast to the paper, which decides for
    every pair of nodes, pairs are drawn until their number is reached, so the size is
    exact. A pair drawn twice counts once, so hubs have slightly fewer neighbours than
    expected. Costs :math:`O(N + E)` time and memory; ten million edges take seconds.

    Not suitable for studies of clustering, because there are hardly any triangles.

    Args:
        num_nodes: Number of nodes :math:`N`, numbered in random order.
        num_edges: Number of entries :math:`E` of ``edge_index``. It counts both
            directions, so it is even, and at most half of all :math:`N (N - 1)`.
        exponent: Exponent of the degree distribution, larger than 2.
        seed: Random seed. The same seed gives the same graph on every machine.
        max_degree: Largest expected degree. The default is :math:`\sqrt{E}`.

    Returns:
        An undirected graph, sorted by row, without self-loops and features. Nodes of
        small expected degree may be isolated.
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
