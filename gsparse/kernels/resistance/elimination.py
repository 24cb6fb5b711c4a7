"""Sparse elimination of the nodes of a network by star-mesh transformations."""

from typing import NamedTuple

import numpy as np

from gsparse.kernels.threads import jit


class Pattern(NamedTuple):
    """Columns of the eliminated nodes; a node's number is its place in the order."""

    ptr: np.ndarray  # [c + 1] int64
    rows: np.ndarray  # [nnz] int32, ascending in each column, all later than it
    core: np.ndarray  # [c] int64, where the rows >= c of each column begin


@jit()
def fill_pattern(
    ptr: np.ndarray,
    nbr: np.ndarray,
    order: np.ndarray,
    place: np.ndarray,
    degree: np.ndarray,
) -> Pattern:
    """Find the rows of every eliminated column: its neighbours and its children's rows.

    Args:
        ptr: Starts of the adjacency lists.
        nbr: Neighbours.
        order: The ``c`` nodes to eliminate, in order.
        place: Position of every node in the order; nodes of the core from ``c`` on.
        degree: An upper bound of the rows of each column.

    Returns:
        The pattern; only rows of eliminated columns are stored.
    """
    c = len(order)
    start = np.zeros(c + 1, np.int64)
    core = np.empty(c, np.int64)
    rows = np.empty(degree.sum(), np.int32)
    mark = np.full(len(place), -1, np.int32)
    first_child = np.full(c, -1, np.int32)
    sibling = np.full(c, -1, np.int32)
    free = 0
    for k in range(c):
        u = order[k]
        mark[k] = k
        for q in range(ptr[u], ptr[u + 1]):
            i = place[nbr[q]]
            if i > k:
                mark[i] = k
                rows[free] = i
                free += 1
        child = first_child[k]
        while child >= 0:
            for q in range(start[child], start[child + 1]):
                i = rows[q]
                if mark[i] != k:
                    mark[i] = k
                    rows[free] = i
                    free += 1
            child = sibling[child]
        start[k + 1] = free
        column = rows[start[k] : free]
        column.sort()
        core[k] = start[k] + np.searchsorted(column, c)
        if free > start[k] and column[0] < c:
            sibling[k] = first_child[column[0]]
            first_child[column[0]] = k
    return Pattern(start, rows, core)


@jit()
def eliminate(
    pattern: Pattern,
    ptr: np.ndarray,
    nbr: np.ndarray,
    pair: np.ndarray,
    weight: np.ndarray,
    order: np.ndarray,
    place: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Eliminate one node after another by star-mesh transformations.

    Eliminating node :math:`j` with conductances :math:`c_a` of sum :math:`s_j` adds
    :math:`c_a c_b / s_j` between its neighbours. Nothing is ever subtracted, so every
    number has full relative accuracy whatever the range of the weights.

    Args:
        pattern: Rows of every column.
        ptr: Starts of the adjacency lists.
        nbr: Neighbours.
        pair: Pair of each adjacency entry.
        weight: Conductance of each pair; empty for ones.
        order: Eliminated nodes.
        place: Position of every node.

    Returns:
        ``share [nnz]``: :math:`f_a = c_a / s_j`; ``total [c]``: :math:`s_j`.
    """
    c = len(order)
    share = np.empty(len(pattern.rows))
    total = np.empty(c)
    work = np.zeros(len(place))
    # Columns whose next row is k are in the list of k (left-looking).
    first = np.full(c, -1, np.int32)
    following = np.full(c, -1, np.int32)
    cursor = pattern.ptr[:-1].copy()
    for k in range(c):
        u = order[k]
        for q in range(ptr[u], ptr[u + 1]):
            if place[nbr[q]] > k:
                work[place[nbr[q]]] += weight[pair[q]] if len(weight) else 1.0
        j = first[k]
        while j >= 0:
            after = following[j]
            q = cursor[j]
            scale = share[q] * total[j]
            for r in range(q + 1, pattern.ptr[j + 1]):
                work[pattern.rows[r]] += scale * share[r]
            cursor[j] = q + 1
            if q + 1 < pattern.core[j]:
                following[j] = first[pattern.rows[q + 1]]
                first[pattern.rows[q + 1]] = j
            j = after
        s = 0.0
        for r in range(pattern.ptr[k], pattern.ptr[k + 1]):
            s += work[pattern.rows[r]]
        total[k] = s
        for r in range(pattern.ptr[k], pattern.ptr[k + 1]):
            share[r] = work[pattern.rows[r]] / s if s > 0 else 0.0
            work[pattern.rows[r]] = 0.0
        if pattern.ptr[k] < pattern.core[k]:
            following[k] = first[pattern.rows[pattern.ptr[k]]]
            first[pattern.rows[pattern.ptr[k]]] = k
    return share, total
