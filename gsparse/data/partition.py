"""Divide the nodes of a graph into parts of similar size with few edges between."""

import math

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

BLOCK = 1 << 18  # edges whose labels are counted at a time
NUM_BLOCKS = 32  # at least; nodes of one block do not see each other's new labels
SLACK = 0.1  # by which sizes of parts may differ from their mean


def partition_nodes(
    graph: Graph, num_parts: int, *, num_rounds: int = 6, seed: int | None = None
) -> Tensor:
    """Divide the nodes of a graph into parts of similar size with many edges inside.

    Example:
        >>> from gsparse.data import barbell, partition_nodes
        >>> partition_nodes(barbell(8), 2, seed=7).bincount().tolist()
        [8, 8]

    The method is label propagation with bounded sizes: each node takes the label that
    most of its neighbours have, if there is room. First, clusters of at most the size
    of a part are found. The nodes are sorted by cluster and divided into consecutive
    parts of equal size. Then nodes move between parts in the same way, so long as sizes
    stay within 10 % of their mean. Edges are read in blocks, and weights are not used.

    **When not to use it.** If METIS or another partitioner is at hand: it leaves fewer
    edges between parts. Pass its result to :class:`ClusterSampler`.

    **Cost.** A sort of all edges per round, block by block; memory for 40 bytes per
    node and a block.

    Args:
        graph: A graph in memory, a :class:`GraphFolder`, or its neighbours.
        num_parts: Number of parts.
        num_rounds: Number of rounds of both steps. With 0, parts are consecutive nodes.
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
    seed = draw_seed(seed)
    mean = num_nodes // num_parts
    label = np.arange(num_nodes)
    _propagate(lists, label, (0, max(1, mean)), num_rounds, random_key(seed, 0))
    first = np.full(num_nodes, num_nodes, np.int64)  # smallest node of each cluster
    np.minimum.at(first, label, np.arange(num_nodes))
    order = np.argsort(first[label], kind="stable")
    label[order] = np.arange(num_nodes) * num_parts // max(num_nodes, 1)
    sizes = math.ceil((1 - SLACK) * mean), math.floor((1 + SLACK) * mean)
    _propagate(lists, label, sizes, num_rounds, random_key(seed, 1))
    return torch.from_numpy(label)


def _propagate(
    lists: NeighborLists,
    label: NDArray[np.int64],
    sizes: tuple[int, int],
    num_rounds: int,
    key: Tensor,
) -> None:
    """Let each node take the label of most of its neighbours, as far as sizes allow.

    Args:
        lists: The graph.
        label: Label of each node below their number, changed in place.
        sizes: Smallest and largest number of nodes with a label, for changes.
        num_rounds: Number of rounds.
        key: Random key.

    Shapes:
        - **label:** :math:`(N,)`, **key:** :math:`(1,)`
    """
    size = np.bincount(label, minlength=label.size)
    block = min(BLOCK, max(1, lists.indices.size // NUM_BLOCKS))
    for i in range(num_rounds):
        for first, last in row_ranges(lists.indptr, block):
            found = _wanted(lists, first, last, label, size, sizes[1], key + i)
            _move(label, size, sizes, *found)


def _wanted(
    lists: NeighborLists,
    first: int,
    last: int,
    label: NDArray[np.int64],
    size: NDArray[np.int64],
    most: int,
    key: Tensor,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the nodes of a block that want another label, the label, and how many
    neighbours have it.
    """
    ptr = lists.indptr[first : last + 1]
    node = np.repeat(np.arange(first, last), np.diff(ptr))
    end = lists.indices[ptr[0] : ptr[-1]]
    near = label[end]
    use = (node != end) & ((size[near] < most) | (near == label[node]))
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
    sizes: tuple[int, int],
    node: NDArray[np.int64],
    near: NDArray[np.int64],
    count: NDArray[np.int64],
) -> None:
    """Give nodes the labels that they want, those with the most neighbours first."""
    old = label[node]
    leave = _first(old, size[old] - sizes[0], count)
    node, near, count = node[leave], near[leave], count[leave]
    enter = _first(near, sizes[1] - size[near], count)
    node, near = node[enter], near[enter]
    np.subtract.at(size, label[node], 1)
    np.add.at(size, near, 1)
    label[node] = near


def _first(
    label: NDArray[np.int64], room: NDArray[np.int64], count: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return which nodes may move, for each label those with the largest counts.

    Args:
        label: Label that each node leaves or takes.
        room: Number of nodes that may do so.
        count: Number of neighbours with the new label.

    Shapes:
        - **label**, **room**, **count:** :math:`(n,)`
    """
    order = np.lexsort((-count, label))
    label = label[order]
    begins = np.flatnonzero(np.diff(label, prepend=-1))
    runs = np.diff(begins, append=label.size)
    rank = np.arange(label.size) - np.repeat(begins, runs)
    return np.sort(order[rank < room[order]])
