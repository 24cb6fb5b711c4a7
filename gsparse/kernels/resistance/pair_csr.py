"""Adjacency lists of an undirected graph given by its pairs."""

import numpy as np

from gsparse.kernels.threads import jit


@jit()
def pair_csr(
    row: np.ndarray, col: np.ndarray, num_nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group both directions of every pair by node.

    Two counting passes, no sort: because the pairs are sorted by (row, col), writing
    first the smaller neighbours and then the larger ones leaves each list sorted.

    Args:
        row: Smaller end points ``[M]``, sorted by (row, col).
        col: Larger end points ``[M]``.
        num_nodes: Number of nodes.

    Returns:
        ``ptr [N + 1]`` int64, ``nbr [2M]`` int32 ascending in each list, and
        ``pair [2M]`` int32, the position of each entry among the pairs.
    """
    num_pairs = len(row)
    ptr = np.zeros(num_nodes + 1, np.int64)
    for e in range(num_pairs):
        ptr[row[e] + 1] += 1
        ptr[col[e] + 1] += 1
    for u in range(num_nodes):
        ptr[u + 1] += ptr[u]
    place = ptr[:-1].copy()
    nbr = np.empty(2 * num_pairs, np.int32)
    pair = np.empty(2 * num_pairs, np.int32)
    for e in range(num_pairs):
        k = place[col[e]]
        place[col[e]] += 1
        nbr[k] = row[e]
        pair[k] = e
    for e in range(num_pairs):
        k = place[row[e]]
        place[row[e]] += 1
        nbr[k] = col[e]
        pair[k] = e
    return ptr, nbr, pair


@jit()
def peel_leaves(row: np.ndarray, col: np.ndarray, num_nodes: int) -> np.ndarray:
    """Mark the pairs that are removed when leaves are removed until none is left.

    Every node keeps its degree and the XOR of its pair numbers; at degree one that
    XOR is the pair itself, so no adjacency list is needed.

    Args:
        row: Smaller end points ``[M]``.
        col: Larger end points ``[M]``.
        num_nodes: Number of nodes.

    Returns:
        True ``[M]`` for the pairs of the trees hanging on the core (or of whole tree
        components); the degree of every other node in what remains is at least two.
    """
    num_pairs = len(row)
    degree = np.zeros(num_nodes, np.int32)
    incident = np.zeros(num_nodes, np.int64)
    for e in range(num_pairs):
        degree[row[e]] += 1
        degree[col[e]] += 1
        incident[row[e]] ^= e
        incident[col[e]] ^= e
    peeled = np.zeros(num_pairs, np.bool_)
    for start in range(num_nodes):
        u = start
        while degree[u] == 1:
            e = incident[u]
            v = row[e] + col[e] - u
            peeled[e] = True
            degree[u] = 0
            degree[v] -= 1
            incident[v] ^= e
            u = v
    return peeled


@jit()
def relabel(
    row: np.ndarray, col: np.ndarray, keep: np.ndarray, num_nodes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the kept pairs, with their nodes numbered consecutively.

    Args:
        row: Smaller end points ``[M]``, sorted by (row, col).
        col: Larger end points ``[M]``.
        keep: Pairs to keep ``[M]`` bool.
        num_nodes: Number of nodes.

    Returns:
        New ``row`` and ``col`` (int32, still sorted) and ``nodes``: the old number of
        each new node, ascending.
    """
    label = np.zeros(num_nodes, np.int32)
    kept = 0
    for e in range(len(row)):
        if keep[e]:
            kept += 1
            label[row[e]] = 1
            label[col[e]] = 1
    size = 0
    for u in range(num_nodes):
        if label[u]:
            label[u] = size
            size += 1
        else:
            label[u] = -1
    nodes = np.empty(size, np.int32)
    for u in range(num_nodes):
        if label[u] >= 0:
            nodes[label[u]] = u
    new_row = np.empty(kept, np.int32)
    new_col = np.empty(kept, np.int32)
    k = 0
    for e in range(len(row)):
        if keep[e]:
            new_row[k] = label[row[e]]
            new_col[k] = label[col[e]]
            k += 1
    return new_row, new_col, nodes


@jit()
def find(values: np.ndarray, low: int, high: int, value: int) -> int:
    """Return the position of ``value`` in ascending ``values[low:high]``, or -1."""
    if low >= high:
        return -1
    length = high - low
    while length > 1:  # no branch to mispredict: conditional moves
        half = length >> 1
        low += half if values[low + half] <= value else 0
        length -= half
    return low if values[low] == value else -1
