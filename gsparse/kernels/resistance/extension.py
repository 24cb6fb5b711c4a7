"""Extend the resistances of a core to those of all pairs."""

import numpy as np

from gsparse.kernels.resistance.elimination import Pattern
from gsparse.kernels.resistance.pair_csr import find
from gsparse.kernels.threads import jit


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
    r"""Compute resistances of the pattern from those of the core, last column first.

    Node :math:`j` is added back to its neighbours: with shares :math:`f`,

    .. math::
        R_{jx} = \frac{1}{s_j} + \sum_a f_a R_{ax}
                 - \tfrac12 \sum_{a, b} f_a f_b R_{ab}.

    This is Takahashi's recursion for the entries of the inverse on the pattern of the
    factor, written for resistances. It is linear in them (an unbiased estimate of the
    core stays unbiased). Because :math:`R_{jx} \ge 1 / s_j`, there is no cancellation,
    unlike with the entries of the inverse.

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
    """Find the position of each pair: in the pattern, or after it among core pairs.

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
