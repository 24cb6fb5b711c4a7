"""Divide the nodes of a graph into parts of equal size with few edges between them."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gsparse.data.folders.neighbor_folder import row_ranges
from gsparse.data.neighbor_lists import (
    Graph,
    NeighborLists,
    neighbor_lists,
    random_key,
)
from gsparse.edges.hashing import draw_seed, mix

BLOCK = 1 << 20  # edges whose labels are counted at a time
SHARE = 4  # clusters are at most a quarter of a part


def partition_nodes(
    graph: Graph, num_parts: int, *, num_rounds: int = 6, seed: int | None = None
) -> Tensor:
    """Divide the nodes of a graph into parts of equal size, give or take one node.

    Example:
        >>> from gsparse.data import barbell, partition_nodes
        >>> partition_nodes(barbell(8), 2, seed=7).bincount().tolist()
        [8, 8]

    Clusters of at most a quarter of a part are found by label propagation with bounded
    sizes: each node takes the label that most of its neighbours have, if there is room.
    The nodes are then sorted by cluster and divided into consecutive parts. Edges are
    read in blocks, each round once. Weights are not used.

    **When not to use it.** If METIS or another partitioner is at hand: it leaves fewer
    edges between parts. Pass its result to :class:`ClusterSampler`.

    **Cost.** A sort of all edges per round, block by block; memory for 40 bytes per
    node and a block.

    Args:
        graph: A graph in memory, a :class:`GraphFolder`, or its neighbours.
        num_parts: Number of parts.
        num_rounds: Number of rounds of label propagation. With 0, parts are consecutive
            nodes.
        seed: Random seed that decides between equally frequent labels; ``None`` draws
            one.

    Returns:
        The part of each node.

    Shapes:
        - **output:** :math:`(N,)`

    Raises:
        ValueError: If there are more parts than nodes, or a number is out of range.
    """
    lists = neighbor_lists(graph)
    num_nodes = lists.num_nodes
    if not 1 <= num_parts <= max(num_nodes, 1):
        raise ValueError(
            f"'num_parts' must be between 1 and the {num_nodes} nodes (got {num_parts})"
        )
    if num_rounds < 0:
        raise ValueError(f"'num_rounds' must not be negative (got {num_rounds})")
    most = max(1, num_nodes // num_parts // SHARE)
    label = _clusters(lists, most, num_rounds, draw_seed(seed))
    first = np.full(num_nodes, num_nodes, np.int64)  # smallest node of each cluster
    np.minimum.at(first, label, np.arange(num_nodes))
    order = np.argsort(first[label], kind="stable")
    parts = np.empty(num_nodes, np.int64)
    parts[order] = np.arange(num_nodes) * num_parts // max(num_nodes, 1)
    return torch.from_numpy(parts)


def _clusters(
    lists: NeighborLists, most: int, num_rounds: int, seed: int
) -> NDArray[np.int64]:
    """Return the label of each node; at most ``most`` nodes share one."""
    label = np.arange(lists.num_nodes)
    size = np.ones(lists.num_nodes, np.int64)
    for i in range(num_rounds):
        key = random_key(seed, i)
        for first, last in row_ranges(lists.indptr, BLOCK):
            found = _wanted(lists, first, last, label, size < most, key)
            _move(label, size, most, *found)
    return label


def _wanted(
    lists: NeighborLists,
    first: int,
    last: int,
    label: NDArray[np.int64],
    has_room: NDArray[np.bool_],
    key: Tensor,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the nodes of a block that want another label, the label, and how many
    neighbours have it.
    """
    ptr = lists.indptr[first : last + 1]
    node = np.repeat(np.arange(first, last), np.diff(ptr))
    end = lists.indices[ptr[0] : ptr[-1]]
    near = label[end]
    use = (node != end) & (has_room[near] | (near == label[node]))
    pair, count = np.unique(
        (node[use] - first) * label.size + near[use], return_counts=True
    )
    node, near = first + pair // max(label.size, 1), pair % max(label.size, 1)
    # Nodes that choose between the same labels should make the same choice.
    tie = mix(key + torch.from_numpy(near)).numpy()
    order = np.lexsort((tie, count, node))
    node, near, count = node[order], near[order], count[order]
    best = np.flatnonzero(np.diff(node, append=-1))
    best = best[near[best] != label[node[best]]]
    return node[best], near[best], count[best]


def _move(
    label: NDArray[np.int64],
    size: NDArray[np.int64],
    most: int,
    node: NDArray[np.int64],
    near: NDArray[np.int64],
    count: NDArray[np.int64],
) -> None:
    """Give nodes the labels that they want, those with the most neighbours first."""
    order = np.lexsort((node, -count, near))
    node, near = node[order], near[order]
    begins = np.flatnonzero(np.diff(near, prepend=-1))
    rank = np.arange(near.size) - np.repeat(begins, np.diff(begins, append=near.size))
    fits = rank < most - size[near]
    node, near = node[fits], near[fits]
    np.subtract.at(size, label[node], 1)
    np.add.at(size, near, 1)
    label[node] = near
