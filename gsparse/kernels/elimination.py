"""Sparse elimination of network nodes, and the way back for effective resistances."""

from typing import NamedTuple

import numpy as np

from gsparse.kernels.threads import jit, take_block

#: Core rows that one thread takes at a time.
ROWS = 32


class Pattern(NamedTuple):
    """Columns of the eliminated nodes; nodes are named by their place in the order."""

    ptr: np.ndarray  # [c + 1] int64
    rows: np.ndarray  # [nnz] int32, ascending in each column, all later than it
    core: np.ndarray  # [c] int64, where the rows >= c of each column begin


@jit()
def find(values: np.ndarray, low: int, high: int, value: int) -> int:
    """Where ``value`` stands in the ascending ``values[low:high]``, else -1."""
    if low >= high:
        return -1
    length = high - low
    while length > 1:  # no branch to mispredict: conditional moves
        half = length >> 1
        low += half if values[low + half] <= value else 0
        length -= half
    return low if values[low] == value else -1


@jit()
def fill_pattern(
    ptr: np.ndarray,
    nbr: np.ndarray,
    order: np.ndarray,
    place: np.ndarray,
    degree: np.ndarray,
) -> Pattern:
    """Rows of every eliminated column: its neighbours and what its children pass on.

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
    r"""Star-mesh transformation of one node after another, column by column.

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
    # Columns whose next row is k hang in the list of k (left-looking).
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


@jit()
def core_slots(
    pattern: Pattern, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The entries of the pattern in each core row: starts, slots, their columns."""
    c = len(pattern.core)
    ptr = np.zeros(size + 1, np.int64)
    for j in range(c):
        for r in range(pattern.core[j], pattern.ptr[j + 1]):
            ptr[pattern.rows[r] - c + 1] += 1
    for a in range(size):
        ptr[a + 1] += ptr[a]
    place = ptr[:-1].copy()
    slots = np.empty(ptr[size], np.int64)
    columns = np.empty(ptr[size], np.int32)
    for j in range(c):
        for r in range(pattern.core[j], pattern.ptr[j + 1]):
            a = pattern.rows[r] - c
            slots[place[a]] = r
            columns[place[a]] = j
            place[a] += 1
    return ptr, slots, columns


@jit()
def dense_core(
    counter: np.ndarray,
    pattern: Pattern,
    share: np.ndarray,
    total: np.ndarray,
    slot_ptr: np.ndarray,
    slots: np.ndarray,
    columns: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add the meshes of all eliminated nodes to the upper triangle of ``out``.

    Args:
        counter: Block counter of :func:`~gsparse.kernels.threads.run_blocks`.
        pattern: Rows of every column.
        share: Shares of every entry.
        total: Total conductance of every column.
        slot_ptr: Starts of the entries of each core row.
        slots: Entries of each core row.
        columns: Their columns.
        out: Conductances of the core ``[k, k]``.
    """
    c = len(pattern.core)
    size = len(out)
    while True:
        block = take_block(counter)
        if block * ROWS >= size:
            break
        for a in range(block * ROWS, min(size, (block + 1) * ROWS)):
            line = out[a]
            for e in range(slot_ptr[a], slot_ptr[a + 1]):
                q = slots[e]
                j = columns[e]
                scale = share[q] * total[j]
                for r in range(q + 1, pattern.ptr[j + 1]):
                    line[pattern.rows[r] - c] += scale * share[r]


@jit()
def sparse_core(
    pattern: Pattern,
    share: np.ndarray,
    total: np.ndarray,
    slot_ptr: np.ndarray,
    slots: np.ndarray,
    columns: np.ndarray,
    ptr: np.ndarray,
    nbr: np.ndarray,
    pair: np.ndarray,
    weight: np.ndarray,
    core_nodes: np.ndarray,
    place: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of the core with their conductances: what was there and the meshes.

    Args:
        pattern: Rows of every column.
        share: Shares of every entry.
        total: Total conductance of every column.
        slot_ptr: Starts of the entries of each core row.
        slots: Entries of each core row.
        columns: Their columns.
        ptr: Starts of the adjacency lists.
        nbr: Neighbours.
        pair: Pair of each adjacency entry.
        weight: Conductance of each pair; empty for ones.
        core_nodes: The node of each core label, ascending.
        place: Position of every node.

    Returns:
        ``ptr [k + 1]``, ``col`` (int32, ascending, larger than its row) and
        conductance of each core pair.
    """
    c = len(pattern.core)
    size = len(core_nodes)
    most = 0
    for a in range(size):
        for q in range(ptr[core_nodes[a]], ptr[core_nodes[a] + 1]):
            most += place[nbr[q]] - c > a
        for e in range(slot_ptr[a], slot_ptr[a + 1]):
            most += pattern.ptr[columns[e] + 1] - slots[e] - 1
    start = np.zeros(size + 1, np.int64)
    col = np.empty(most, np.int32)
    conductance = np.empty(most)
    work = np.zeros(size)
    mark = np.full(size, -1, np.int32)
    free = 0
    for a in range(size):
        u = core_nodes[a]
        for q in range(ptr[u], ptr[u + 1]):
            b = place[nbr[q]] - c
            if b > a:
                mark[b] = a
                work[b] = weight[pair[q]] if len(weight) else 1.0
                col[free] = b
                free += 1
        for e in range(slot_ptr[a], slot_ptr[a + 1]):
            q = slots[e]
            j = columns[e]
            scale = share[q] * total[j]
            for r in range(q + 1, pattern.ptr[j + 1]):
                b = pattern.rows[r] - c
                if mark[b] != a:
                    mark[b] = a
                    work[b] = 0.0
                    col[free] = b
                    free += 1
                work[b] += scale * share[r]
        if slot_ptr[a + 1] > slot_ptr[a]:
            col[start[a] : free].sort()
        start[a + 1] = free
        for q in range(start[a], free):
            conductance[q] = work[col[q]]
    return start, col[:free].copy(), conductance[:free].copy()


@jit()
def extend(
    pattern: Pattern,
    share: np.ndarray,
    total: np.ndarray,
    core_ptr: np.ndarray,
    core_col: np.ndarray,
    core_value: np.ndarray,
    dense: np.ndarray,
) -> np.ndarray:
    r"""Resistances of the pattern from those of the core, last column first.

    Node :math:`j` is hung back on its neighbours: with shares :math:`f`,

    .. math::
        R_{jx} = \frac{1}{s_j} + \sum_a f_a R_{ax}
                 - \tfrac12 \sum_{a, b} f_a f_b R_{ab}.

    This is Takahashi's recursion for the entries of the inverse on the pattern of the
    factor, written for resistances. It is linear in them (an unbiased estimate of the
    core stays unbiased), and because :math:`R_{jx} \ge 1 / s_j` there is no
    cancellation, which the entries of the inverse itself do suffer.

    Args:
        pattern: Rows of every column.
        share: Shares of every entry.
        total: Total conductance of every column.
        core_ptr: Starts of the sparse core lists; unused with ``dense``.
        core_col: Larger end points of the core pairs.
        core_value: Resistance of each core pair.
        dense: All resistances of the core ``[k, k]``, or an empty array.

    Returns:
        The resistance ``[nnz]`` between each column and each of its rows.
    """
    c = len(pattern.core)
    rows = pattern.rows
    out = np.zeros(len(rows))
    longest = 0
    for j in range(c):
        longest = max(longest, pattern.ptr[j + 1] - pattern.ptr[j])
    y = np.zeros(longest)
    for j in range(c - 1, -1, -1):
        begin, end = pattern.ptr[j], pattern.ptr[j + 1]
        y[: end - begin] = 0.0
        for q in range(begin, end):
            a = rows[q]
            fa = share[q]
            ya = 0.0
            if a >= c and len(dense):
                line = dense[a - c]
                for r in range(q + 1, end):
                    value = line[rows[r] - c]
                    ya += share[r] * value
                    y[r - begin] += fa * value
            elif a >= c:
                low, high = core_ptr[a - c], core_ptr[a - c + 1]
                for r in range(q + 1, end):
                    low = find(core_col, low, high, rows[r] - c)
                    ya += share[r] * core_value[low]
                    y[r - begin] += fa * core_value[low]
            else:
                t = pattern.ptr[a]
                for r in range(q + 1, end):
                    while rows[t] < rows[r]:
                        t += 1
                    ya += share[r] * out[t]
                    y[r - begin] += fa * out[t]
            y[q - begin] += ya
        half = 0.0
        for q in range(begin, end):
            half += 0.5 * share[q] * y[q - begin]
        own = 1.0 / total[j] if total[j] > 0 else 0.0
        for q in range(begin, end):
            out[q] = own - half + y[q - begin]
    return out


@jit()
def pair_places(
    pattern: Pattern,
    core_ptr: np.ndarray,
    core_col: np.ndarray,
    row: np.ndarray,
    col: np.ndarray,
    place: np.ndarray,
) -> np.ndarray:
    """Where each pair stands: in the pattern, or after it among the core pairs.

    Args:
        pattern: Rows of every column.
        core_ptr: Starts of the pairs of each core node; a single zero if the core is
            dense, and pairs inside it get -1.
        core_col: Larger end points of the core pairs.
        row: One end point of each pair.
        col: The other end point.
        place: Position of every node.

    Returns:
        Positions ``[M]`` in the values of the pattern followed by those of the core.
    """
    c = len(pattern.core)
    places = np.full(len(row), -1, np.int64)
    for e in range(len(row)):
        a, b = place[row[e]], place[col[e]]
        if a > b:
            a, b = b, a
        if a < c:
            places[e] = find(pattern.rows, pattern.ptr[a], pattern.ptr[a + 1], b)
        elif len(core_ptr) > 1:
            a, b = a - c, b - c
            k = find(core_col, core_ptr[a], core_ptr[a + 1], b)
            places[e] = len(pattern.rows) + k
    return places
