"""Kernels of the approximate inverse: factorise, invert, and measure the pairs.

The rows of the matrix are in the order of elimination. The first two kernels stop at
the end of a chunk of columns or when their store is full, and are called again.
"""

import numpy as np

from gsparse.kernels.threads import jit, take_block

#: Rows of pairs a thread takes at a time.
ROWS = 64


@jit()
def factor_columns(
    first: int,
    last: int,
    ptr: np.ndarray,
    row: np.ndarray,
    value: np.ndarray,
    drop: float,
    l_ptr: np.ndarray,
    l_row: np.ndarray,
    l_value: np.ndarray,
    lists: np.ndarray,
    work: np.ndarray,
) -> int:
    """Compute columns ``first`` to ``last`` of an incomplete Cholesky factor.

    An entry is dropped where it is below ``drop`` times the pivot, both before scaling.

    Args:
        first: First column.
        last: End of the columns.
        ptr: Starts of the columns of the lower triangle ``[N + 1]``.
        row: Their rows, the diagonal first.
        value: Their values.
        drop: Drop tolerance; 0 for a complete factor.
        l_ptr: Starts of the columns of the factor ``[N + 1]``.
        l_row: Their rows, ascending, the diagonal first.
        l_value: Their values.
        lists: Columns whose next row is j, as linked lists: head, next, position and
            the last column that touched a row ``[4, N]``.
        work: The current column ``[N]``.

    Returns:
        The column before which the store was full, or ``last``.
    """
    n = len(ptr) - 1
    head, after, position, mark = lists[0], lists[1], lists[2], lists[3]
    touched = np.empty(n, np.int32)
    for j in range(first, last):
        if l_ptr[j] + n - j > len(l_row):
            return j
        size = 0
        for p in range(ptr[j], ptr[j + 1]):
            i = row[p]
            work[i] = value[p]
            mark[i] = j
            if i > j:
                touched[size] = i
                size += 1
        k = head[j]
        while k >= 0:
            following = after[k]
            start, end = position[k], l_ptr[k + 1]
            l_jk = l_value[start]
            for p in range(start, end):
                i = l_row[p]
                if mark[i] != j:
                    mark[i] = j
                    work[i] = 0.0
                    touched[size] = i
                    size += 1
                work[i] -= l_value[p] * l_jk
            if start + 1 < end:
                i = l_row[start + 1]
                position[k] = start + 1
                after[k] = head[i]
                head[i] = k
            k = following
        pivot = work[j]
        scale = 1.0 / np.sqrt(pivot)
        count = 0
        for t in range(size):
            i = touched[t]
            if abs(work[i]) > drop * pivot:
                touched[count] = i
                count += 1
        rows = np.sort(touched[:count])
        end = l_ptr[j]
        l_row[end] = j
        l_value[end] = pivot * scale
        for i in rows:
            end += 1
            l_row[end] = i
            l_value[end] = work[i] * scale
        l_ptr[j + 1] = end + 1
        if count:
            position[j] = l_ptr[j] + 1
            after[j] = head[rows[0]]
            head[rows[0]] = j
    return last


@jit()
def threshold(value: np.ndarray, budget: float, sums: np.ndarray) -> float:
    """Return the largest of the smallest values whose sum is at most ``budget``.

    Args:
        value: Positive numbers.
        budget: Largest sum to drop.
        sums: Zeros, one for each exponent of a float64 ``[2048]``; left as zeros.

    Returns:
        The largest dropped value; -1 if none is.
    """
    bits = value.view(np.int64)
    low, high = np.int64(2047), np.int64(0)
    for k in range(len(value)):
        exponent = bits[k] >> 52
        sums[exponent] += value[k]
        low, high = min(low, exponent), max(high, exponent)
    total, cut = 0.0, low
    while cut <= high and total + sums[cut] <= budget:
        total += sums[cut]
        cut += 1
    sums[low : high + 1] = 0.0
    edge = value[(bits >> 52) == cut]
    edge.sort()
    found = -1.0
    for x in edge:
        total += x
        if total > budget:
            break
        found = x
    if found < 0 and cut > low:  # all of the lower exponents, none of this one
        for k in range(len(value)):
            if bits[k] >> 52 < cut:
                found = max(found, value[k])
    return found


@jit()
def invert_columns(
    first: int,
    last: int,
    l_ptr: np.ndarray,
    l_row: np.ndarray,
    l_value: np.ndarray,
    epsilon: float,
    few: int,
    z_span: np.ndarray,
    z_row: np.ndarray,
    z_value: np.ndarray,
    work: np.ndarray,
) -> int:
    """Compute columns ``first`` down to ``last`` of the truncated inverse.

    Args:
        first: First column, the largest.
        last: Column before which to stop.
        l_ptr: Starts of the columns of the factor ``[N + 1]``.
        l_row: Their rows, the diagonal first.
        l_value: Their values.
        epsilon: Fraction of the 1-norm of a column that may be dropped from it.
        few: Number of entries up to which a column is not truncated.
        z_span: Start and end of each column of the inverse ``[N, 2]``.
        z_row: Their rows.
        z_value: Their values.
        work: Zeros ``[N]``; left as zeros.

    Returns:
        The column before which the store was full, or ``last``.
    """
    n = len(l_ptr) - 1
    touched = np.empty(n, np.int32)
    column = np.empty(n)
    sums = np.zeros(2048)
    end = z_span[first + 1, 1] if first + 1 < n else 0
    for j in range(first, last, -1):
        if end + n - j > len(z_row):
            return j
        diagonal = l_value[l_ptr[j]]
        touched[0] = j
        work[j] = 1.0 / diagonal
        size = 1
        for p in range(l_ptr[j] + 1, l_ptr[j + 1]):
            i = l_row[p]
            factor = -l_value[p] / diagonal
            for q in range(z_span[i, 0], z_span[i, 1]):
                r = z_row[q]
                if work[r] == 0.0:
                    touched[size] = r
                    size += 1
                work[r] += factor * z_value[q]
        norm = 0.0
        for t in range(size):
            column[t] = work[touched[t]]  # an M-matrix: all entries are positive
            work[touched[t]] = 0.0
            norm += column[t]
        bound = -1.0
        if size > few and epsilon > 0:
            bound = threshold(column[:size], epsilon * norm, sums)
        z_span[j, 0] = end
        for t in range(size):
            if column[t] > bound:
                z_row[end] = touched[t]
                z_value[end] = column[t]
                end += 1
        z_span[j, 1] = end
    return last


@jit()
def measure_pairs(
    counter: np.ndarray,
    ptr: np.ndarray,
    col: np.ndarray,
    place: np.ndarray,
    z_span: np.ndarray,
    z_row: np.ndarray,
    z_value: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute the squared distance between the columns of both ends of each pair.

    Args:
        counter: Shared among threads.
        ptr: Starts of the pairs of each node ``[N + 1]``.
        col: Other ends ``[M]``.
        place: Column of each node ``[N]``.
        z_span: Start and end of each column ``[N, 2]``.
        z_row: Their rows.
        z_value: Their values.
        out: Gets one distance per pair ``[M]``.
    """
    n = len(place)
    work = np.zeros(n)
    while True:
        block = take_block(counter)
        if block * ROWS >= n:
            return
        for u in range(block * ROWS, min(block * ROWS + ROWS, n)):
            if ptr[u] == ptr[u + 1]:
                continue
            own = 0.0
            for q in range(z_span[place[u], 0], z_span[place[u], 1]):
                work[z_row[q]] = z_value[q]
                own += z_value[q] * z_value[q]
            for e in range(ptr[u], ptr[u + 1]):
                v = place[col[e]]
                more = 0.0  # |z_v|^2 - 2 z_u z_v
                for q in range(z_span[v, 0], z_span[v, 1]):
                    more += z_value[q] * (z_value[q] - 2.0 * work[z_row[q]])
                out[e] = own + more
            for q in range(z_span[place[u], 0], z_span[place[u], 1]):
                work[z_row[q]] = 0.0
