"""Compiled loops for approximate Cholesky factors of a Laplacian."""

import numpy as np

from gsparse.kernels.resistance.laplacian import WIDTH
from gsparse.kernels.scalar import mix, stack
from gsparse.kernels.threads import jit, take_block

#: 2 ** -53, which maps the upper 53 bits of a hash to [0, 1).
_UNIT = 1.0 / 9007199254740992.0


@jit()
def _draw(state: np.uint64, step: int) -> float:
    """Return a uniform number in [0, 1) from a hash."""
    return (mix(state + np.uint64(step)) >> np.uint64(11)) * _UNIT


@jit()
def _grown(array: np.ndarray, size: int, used: int) -> np.ndarray:
    """Return a copy with room for ``size`` entries that keeps the first ``used``."""
    out = np.empty(size, array.dtype)
    out[:used] = array[:used]
    return out


@jit()
def _later_neighbours(
    ptr: np.ndarray, indices: np.ndarray, values: np.ndarray, order: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Build, for each place in the order, a linked list of its later neighbours."""
    num_nodes, num_pairs = len(ptr) - 1, ptr[-1] // 2
    place = np.empty(num_nodes, np.int32)
    for i in range(num_nodes):
        place[order[i]] = i
    first = np.full(num_nodes, -1, np.int64)
    following = np.empty(num_pairs, np.int64)
    target = np.empty(num_pairs, np.int32)
    weight = np.empty(num_pairs)
    used = 0
    for u in range(num_nodes):
        for e in range(ptr[u], ptr[u + 1]):
            a, b = place[u], place[indices[e]]
            if b > a:
                target[used] = b
                weight[used] = values[e] if len(values) > 0 else 1.0
                following[used] = first[a]
                first[a] = used
                used += 1
    return first, following, target, weight


@jit()
def factorise(
    ptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    order: np.ndarray,
    seed: np.uint64,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Eliminate the nodes of a graph, with a sampled tree for each clique.

    Args:
        ptr: Row pointers ``[N + 1]``.
        indices: Neighbours, both directions ``[2M]``.
        values: Conductances ``[2M]``, or empty for ones.
        order: Nodes in the order of elimination ``[N]``.
        seed: Start of the random stream.

    Returns:
        Column pointers ``[N + 1]``, the place of each entry's row, the entries divided
        by their pivot (conductances over their sum), and the pivots ``[N]``, which are
        0 where there was nothing left to eliminate.
    """
    num_nodes = len(ptr) - 1
    lists = _later_neighbours(ptr, indices, values, order)
    first, following, target, weight = lists
    starts = np.zeros(num_nodes + 1, np.int64)
    rows, entries = np.empty(len(target) + 64, np.int32), np.empty(len(target) + 64)
    pivot, total = np.zeros(num_nodes), np.zeros(num_nodes)
    seen, slot = np.empty(num_nodes, np.int32), np.empty(len(target), np.int64)
    used = 0
    for v in range(num_nodes):
        degree, num_slots, e = 0, 0, first[v]
        while e >= 0:  # merge parallel entries
            b = target[e]
            if total[b] == 0:
                seen[degree] = b
                degree += 1
            total[b] += weight[e]
            slot[num_slots] = e
            num_slots += 1
            e = following[e]
        if used + degree > len(rows):
            size = 2 * len(rows) + degree
            rows, entries = _grown(rows, size, used), _grown(entries, size, used)
        ascending = np.argsort(total[seen[:degree]])
        mass = np.zeros(degree + 1)  # of the lightest neighbours
        for i in range(degree):
            b = seen[ascending[i]]
            rows[used + i] = b
            mass[i + 1] = mass[i] + total[b]
            entries[used + i] = total[b]
            total[b] = 0
        own = mix(seed + np.uint64(v))
        for i in range(degree - 1):
            rest = mass[degree] - mass[i + 1]
            wanted = mass[i + 1] + _draw(own, i) * rest
            low, high = i + 1, degree - 1
            while low < high:  # find the first whose mass exceeds the wanted one
                middle = (low + high) >> 1
                if mass[middle + 1] > wanted:
                    high = middle
                else:
                    low = middle + 1
            a, b = rows[used + i], rows[used + low]
            e = slot[i]  # reuse the memory of an eliminated entry
            target[e] = max(a, b)
            weight[e] = entries[used + i] * (rest / mass[degree])
            following[e] = first[min(a, b)]
            first[min(a, b)] = e
        for i in range(degree):
            entries[used + i] /= mass[degree]
        pivot[v] = mass[degree]
        used += degree
        starts[v + 1] = used
    return starts, rows[:used].copy(), entries[:used].copy(), pivot


@jit()
def solve_factor(
    counter: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    entries: np.ndarray,
    pivot: np.ndarray,
    order: np.ndarray,
    R: np.ndarray,
    out: np.ndarray,
) -> None:
    """Solve with the factor and its transpose; threads take eight columns at a time.

    The last node of each component is set to 0 before the second sweep.
    """
    num_nodes, k = R.shape
    Y = np.empty((num_nodes, WIDTH), R.dtype)
    total = stack(8, R[0, 0])
    base = take_block(counter) * WIDTH
    while base < k:
        width = min(WIDTH, k - base)
        for v in range(num_nodes):
            for c in range(WIDTH):
                Y[v, c] = R[order[v], base + c] if c < width else 0
        for v in range(num_nodes):
            for c in range(WIDTH):
                total[c] = Y[v, c]
            for e in range(starts[v], starts[v + 1]):
                u, entry = rows[e], entries[e]
                for c in range(WIDTH):
                    Y[u, c] += entry * total[c]
        for v in range(num_nodes - 1, -1, -1):
            for c in range(WIDTH):
                total[c] = Y[v, c] / pivot[v] if pivot[v] > 0 else 0
            for e in range(starts[v], starts[v + 1]):
                u, entry = rows[e], entries[e]
                for c in range(WIDTH):
                    total[c] += entry * Y[u, c]
            for c in range(WIDTH):
                Y[v, c] = total[c]
        for v in range(num_nodes):
            for c in range(width):
                out[order[v], base + c] = Y[v, c]
        base = take_block(counter) * WIDTH
