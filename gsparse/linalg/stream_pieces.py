"""Find the pieces of a streamed graph that are left without its bridges."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsparse.edges.row_blocks import RowBlocks
from gsparse.kernels.resistance.streamed_pieces import (
    add_strength,
    cut_bridges,
    join_rows,
    mark_covered,
    root_forest,
)

LABELS = np.uint64(0x6A09E667F3BCC909)  # seed of the labels of entries


class Pieces(NamedTuple):
    r"""A graph without its bridges.

    Attributes:
        piece: Top node of the piece of every node ``[N]``.
        inside: The same, or empty if no edge is a bridge.
        strength: Sum of the weights of every node, without bridges ``[N]``, float64.
        num_bridges: Number of bridges.
        rank: Number of nodes minus the number of pieces: the sum of the leverages of
            the edges that are not bridges.
        gap: Lower bound of the nonzero eigenvalues of :math:`D^{-1} L` of all pieces.
    """

    piece: NDArray[Any]
    inside: NDArray[Any]
    strength: NDArray[np.float64]
    num_bridges: int
    rank: int
    gap: float


def find_pieces(graph: RowBlocks) -> Pieces:
    r"""Find bridges, degrees and a bound of the eigenvalues in three passes.

    A spanning forest is found by union-find. Every entry outside of it gets a random
    label of 64 bits, and an edge of the forest is a bridge if no entry leaves the
    subtree below it, that is, if the exclusive or of the labels in the subtree is zero
    (`"Fast Computation of Small Cuts via Cycle Space Sampling"
    <https://arxiv.org/abs/cs/0702113>`_). Another edge is taken for a bridge with a
    probability of :math:`2^{-64}`.

    The nonzero eigenvalues of :math:`D^{-1} L` of a connected graph are at least
    :math:`1 / (r \sum_u d_u)` if every two nodes are joined by a path of resistance at
    most :math:`r`: twice the depth of the spanning tree.

    Needs about 60 bytes per node.

    Args:
        graph: The graph.
    """
    num_nodes = graph.num_nodes
    ids = np.int32 if num_nodes < 2**31 else np.int64
    root = np.arange(num_nodes, dtype=ids)
    forest, length = np.empty((max(num_nodes - 1, 0), 2), ids), np.empty(0)
    count = 0
    for first, ptr, col, weight in graph.passes("components"):
        if weight.size and not length.size:
            length = np.empty(len(forest))
        count = join_rows(first, ptr, col, weight, root, forest, length, count)
    del root
    parent, above = np.empty(num_nodes, ids), np.empty(num_nodes)
    lengths = length[:count]
    order = root_forest(forest[:count], lengths, parent, above)
    del forest, length, lengths
    label = np.zeros(num_nodes, np.uint64)
    for first, ptr, col, weight in graph.passes("bridges"):
        mark_covered(first, ptr, col, weight, LABELS, parent, label)
    piece = np.empty(num_nodes, ids)
    num_bridges, deepest = cut_bridges(order, parent, label, above, piece)
    del order, parent, above, label
    strength = np.zeros(num_nodes)
    inside = piece if num_bridges else np.empty(0, ids)
    for first, ptr, col, weight in graph.passes("degrees"):
        add_strength(first, ptr, col, weight, inside, strength)
    volume = np.bincount(piece, strength, minlength=1).max()
    return Pieces(
        piece=piece,
        inside=inside,
        strength=strength,
        num_bridges=num_bridges,
        rank=count - num_bridges,
        gap=float(1 / (2 * deepest * volume)) if volume > 0 else 1.0,
    )
