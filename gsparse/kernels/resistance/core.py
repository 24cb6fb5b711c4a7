"""The core that elimination leaves of a network, as a dense block or as pairs."""

import numpy as np

from gsparse.kernels.resistance.elimination import Pattern
from gsparse.kernels.threads import jit, take_block

#: Core rows that one thread takes at a time.
ROWS = 32


@jit()
def core_slots(
    pattern: Pattern, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the entries of the pattern in each core row: starts, slots, columns."""
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
    block = take_block(counter)
    while block * ROWS < size:
        for a in range(block * ROWS, min(size, (block + 1) * ROWS)):
            line = out[a]
            for e in range(slot_ptr[a], slot_ptr[a + 1]):
                q = slots[e]
                j = columns[e]
                scale = share[q] * total[j]
                for r in range(q + 1, pattern.ptr[j + 1]):
                    line[pattern.rows[r] - c] += scale * share[r]
        block = take_block(counter)


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
    """Return the pairs of the core with conductances: original ones plus meshes.

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
