"""Compiled loops for Laplacian systems: rows, products, vectors, random signs.

Every sum runs over a row or over a block of fixed size, so that no result depends on
the number of threads.
"""

import numpy as np

from gsparse.kernels.scalar import mix, stack
from gsparse.kernels.threads import jit, take_block

#: Rows a thread takes at a time; partial sums are kept per block of this size.
ROWS = 1024
#: Columns whose sums stay in registers: blocks of vectors are walked in this width.
WIDTH = 8


@jit()
def count_rows(row: np.ndarray, col: np.ndarray, ptr: np.ndarray) -> int:
    """Compute row pointers of the symmetric structure with upper half ``(row, col)``.

    Returns:
        The first pair that is out of range or out of order, or -1.
    """
    for e in range(row.shape[0]):
        if not 0 <= row[e] < col[e] < ptr.shape[0] - 1:
            return e
        if e and not (
            row[e - 1] < row[e] or (row[e - 1] == row[e] and col[e - 1] < col[e])
        ):
            return e
        ptr[row[e] + 1] += 1
        ptr[col[e] + 1] += 1
    for v in range(ptr.shape[0] - 1):
        ptr[v + 1] += ptr[v]
    return -1


@jit()
def fill_rows(
    row: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    ptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
) -> None:
    """Fill the rows; neighbours ascend because pairs are sorted by ``(row, col)``."""
    place = ptr[:-1].copy()
    weighted = weight.shape[0] > 0
    for e in range(row.shape[0]):  # first the smaller neighbours of every node
        v = col[e]
        indices[place[v]] = row[e]
        if weighted:
            values[place[v]] = weight[e]
        place[v] += 1
    for e in range(row.shape[0]):  # then the larger ones
        u = row[e]
        indices[place[u]] = col[e]
        if weighted:
            values[place[u]] = weight[e]
        place[u] += 1


@jit()
def row_sums(
    row: np.ndarray, col: np.ndarray, weight: np.ndarray, out: np.ndarray
) -> None:
    """Compute weighted degrees in float64, added in the order of the pairs."""
    for e in range(row.shape[0]):
        out[row[e]] += weight[e]
        out[col[e]] += weight[e]


@jit()
def product(
    counter: np.ndarray,
    ptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    diagonal: np.ndarray,
    X: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute ``out = D X - A X``, or ``A X`` if the diagonal is empty."""
    num_nodes, k = X.shape
    weighted, whole = values.shape[0] > 0, diagonal.shape[0] > 0
    full = k // WIDTH * WIDTH
    total = stack(8, X[0, 0])
    block = take_block(counter)
    while block * ROWS < num_nodes:
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            for base in range(0, full, WIDTH):
                for c in range(WIDTH):
                    total[c] = 0
                if weighted:
                    for e in range(ptr[u], ptr[u + 1]):
                        v, w = indices[e], values[e]
                        for c in range(WIDTH):
                            total[c] += w * X[v, base + c]
                else:
                    for e in range(ptr[u], ptr[u + 1]):
                        v = indices[e]
                        for c in range(WIDTH):
                            total[c] += X[v, base + c]
                for c in range(WIDTH):
                    if whole:
                        out[u, base + c] = diagonal[u] * X[u, base + c] - total[c]
                    else:
                        out[u, base + c] = total[c]
            for c in range(full, k):
                single = X[u, c] * 0
                for e in range(ptr[u], ptr[u + 1]):
                    w = values[e] if weighted else X[u, c] * 0 + 1
                    single += w * X[indices[e], c]
                out[u, c] = diagonal[u] * X[u, c] - single if whole else single
        block = take_block(counter)


@jit()
def block_dot(
    counter: np.ndarray, X: np.ndarray, Y: np.ndarray, partial: np.ndarray
) -> None:
    """Compute column-wise inner products of each block of rows in float64."""
    num_nodes, k = X.shape
    block = take_block(counter)
    while block * ROWS < num_nodes:
        for c in range(k):
            partial[block, c] = 0
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            for c in range(k):
                partial[block, c] += np.float64(X[u, c]) * np.float64(Y[u, c])
        block = take_block(counter)


@jit()
def scale_rows(
    counter: np.ndarray, factor: np.ndarray, X: np.ndarray, out: np.ndarray
) -> None:
    """Compute ``out = diag(factor) X``."""
    num_nodes, k = X.shape
    block = take_block(counter)
    while block * ROWS < num_nodes:
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            for c in range(k):
                out[u, c] = factor[u] * X[u, c]
        block = take_block(counter)


@jit()
def descend(
    counter: np.ndarray,
    alpha: np.ndarray,
    P: np.ndarray,
    Q: np.ndarray,
    X: np.ndarray,
    R: np.ndarray,
) -> None:
    """Compute ``X += alpha P`` and ``R -= alpha Q`` in one pass, alpha per column."""
    num_nodes, k = X.shape
    block = take_block(counter)
    while block * ROWS < num_nodes:
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            for c in range(k):
                X[u, c] += alpha[c] * P[u, c]
                R[u, c] -= alpha[c] * Q[u, c]
        block = take_block(counter)


@jit()
def turn(counter: np.ndarray, beta: np.ndarray, Z: np.ndarray, P: np.ndarray) -> None:
    """Compute ``P = Z + beta P``, beta per column."""
    num_nodes, k = P.shape
    block = take_block(counter)
    while block * ROWS < num_nodes:
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            for c in range(k):
                P[u, c] = Z[u, c] + beta[c] * P[u, c]
        block = take_block(counter)


@jit()
def random_start(
    counter: np.ndarray,
    seed: np.uint64,
    scale: np.ndarray,
    uniform: bool,
    out: np.ndarray,
) -> None:
    """Draw random signs, or uniform numbers in [-1, 1), times ``scale[u]``.

    The sign in column c (of at most 64) is bit c of a hash of (seed, u); each uniform
    number has its own hash.
    """
    num_nodes, k = out.shape
    block = take_block(counter)
    while block * ROWS < num_nodes:
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            bits = mix(seed + np.uint64(u))
            for c in range(k):
                if uniform:
                    own = mix(bits + np.uint64(c)) >> np.uint64(11)
                    value = np.float64(own) * 2.0**-52 - 1.0
                else:
                    sign = (bits >> np.uint64(c)) & np.uint64(1)
                    value = np.float64(1 - 2 * np.int64(sign))
                out[u, c] = value * scale[u]
        block = take_block(counter)


@jit()
def block_gram(
    counter: np.ndarray, X: np.ndarray, Y: np.ndarray, partial: np.ndarray
) -> None:
    """Compute ``X^T Y`` of each block of rows ``[blocks, k, m]``."""
    num_nodes = X.shape[0]
    block = take_block(counter)
    while block * ROWS < num_nodes:
        part = partial[block]
        part[:] = 0
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            for a in range(X.shape[1]):
                x = X[u, a]
                for b in range(Y.shape[1]):
                    part[a, b] += x * Y[u, b]
        block = take_block(counter)


@jit()
def add_product(
    counter: np.ndarray, X: np.ndarray, C: np.ndarray, out: np.ndarray
) -> None:
    """Compute ``out += X C`` for a small matrix ``C [k, m]``, row by row."""
    num_nodes = X.shape[0]
    block = take_block(counter)
    while block * ROWS < num_nodes:
        for u in range(block * ROWS, min((block + 1) * ROWS, num_nodes)):
            for a in range(X.shape[1]):
                x = X[u, a]
                for b in range(C.shape[1]):
                    out[u, b] += x * C[a, b]
        block = take_block(counter)
