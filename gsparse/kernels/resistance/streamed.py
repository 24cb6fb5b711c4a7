"""Compiled loops over a Laplacian that is read in blocks of rows.

A block holds consecutive entries ``u <= v`` of the rows: ``first`` is its first row,
``ptr`` the place of each of its rows in ``col``, and ``weight`` is empty if all weights
are 1. Self-loops and entries of weight 0 are skipped, and so are bridges: entries
between different ``piece`` numbers (no entry is a bridge if ``piece`` is empty).

Every sum is carried from block to block and takes its terms in the order of the
entries, so no result depends on the size of the blocks or the number of threads.
"""

import math

import numpy as np

from gsparse.kernels.resistance.laplacian import WIDTH
from gsparse.kernels.resistance.resistance import grounded
from gsparse.kernels.scalar import at, data, mix, prefetch, stack
from gsparse.kernels.threads import jit, take_block

#: Rows a thread takes at a time.
ROWS = 512
#: Vectors of a node are prefetched this many entries ahead.
AHEAD = 24


@jit()
def add_flow(
    first: int,
    ptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    piece: np.ndarray,
    seed: np.uint64,
    out: np.ndarray,
) -> None:
    """Add the entries of a block to ``WIDTH`` columns of ``B^T W^(1/2) Q``.

    The sign in column c is bit c of a hash of (seed, smaller end, larger end).
    """
    total, rows_of = stack(8, out[0, 0]), data(out)
    for i in range(ptr.shape[0] - 1):
        u = first + i
        own = mix(seed + np.uint64(u))
        for c in range(WIDTH):
            total[c] = out[u, c]
        for e in range(ptr[i], ptr[i + 1]):
            v = col[e]
            if e + AHEAD < col.shape[0]:
                prefetch(at(rows_of, np.int64(col[e + AHEAD]) * WIDTH))
            if v == u or (piece.shape[0] > 0 and piece[u] != piece[v]):
                continue
            root = math.sqrt(np.float64(weight[e])) if weight.shape[0] > 0 else 1.0
            low = np.int32(mix(own + np.uint64(v)) & np.uint64(255))
            for c in range(WIDTH):
                sign = root * np.int32(1 - 2 * ((low >> np.int32(c)) & 1))
                total[c] += sign
                out[v, c] -= sign
        for c in range(WIDTH):
            out[u, c] = total[c]


@jit()
def add_to_larger(
    counter: np.ndarray,
    ranges: int,
    first: int,
    ptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    piece: np.ndarray,
    X: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add ``w x_u`` to the larger end v of every entry.

    A thread takes one of ``ranges`` ranges of larger ends.
    """
    num_nodes, rows, rows_of = X.shape[0], ptr.shape[0] - 1, data(out)
    weighted, has_pieces = weight.shape[0] > 0, piece.shape[0] > 0
    one, own = X[0, 0] * 0 + 1, stack(8, X[0, 0])
    part = take_block(counter)
    while part < ranges:
        low = max(first, part * num_nodes // ranges)
        high = (part + 1) * num_nodes // ranges
        for i in range(rows if low < high else 0):
            u = first + i
            for c in range(WIDTH):
                own[c] = X[u, c]
            for e in range(ptr[i], ptr[i + 1]):
                v = col[e]
                if e + AHEAD < col.shape[0]:
                    later = np.int64(col[e + AHEAD])
                    if low <= later < high:
                        prefetch(at(rows_of, later * WIDTH))
                if v < low or v >= high or v == u:
                    continue
                if has_pieces and piece[u] != piece[v]:
                    continue
                if weighted:
                    w = one * weight[e]
                    for c in range(WIDTH):
                        out[v, c] += w * own[c]
                else:
                    for c in range(WIDTH):
                        out[v, c] += own[c]
        part = take_block(counter)


@jit()
def add_to_smaller(
    counter: np.ndarray,
    first: int,
    ptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    piece: np.ndarray,
    X: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add ``w x_v`` to the smaller end u of every entry."""
    weighted, has_pieces = weight.shape[0] > 0, piece.shape[0] > 0
    one, total, rows_of = X[0, 0] * 0 + 1, stack(8, X[0, 0]), data(X)
    block = take_block(counter)
    while block * ROWS < ptr.shape[0] - 1:
        for i in range(block * ROWS, min((block + 1) * ROWS, ptr.shape[0] - 1)):
            u = first + i
            for c in range(WIDTH):
                total[c] = out[u, c]
            for e in range(ptr[i], ptr[i + 1]):
                v = col[e]
                if e + AHEAD < col.shape[0]:
                    prefetch(at(rows_of, np.int64(col[e + AHEAD]) * WIDTH))
                if v == u or (has_pieces and piece[u] != piece[v]):
                    continue
                if weighted:
                    w = one * weight[e]
                    for c in range(WIDTH):
                        total[c] += w * X[v, c]
                else:
                    for c in range(WIDTH):
                        total[c] += X[v, c]
            for c in range(WIDTH):
                out[u, c] = total[c]
        block = take_block(counter)


@jit()
def finish_product(
    counter: np.ndarray, strength: np.ndarray, X: np.ndarray, out: np.ndarray
) -> None:
    """Replace the sums ``A X`` by ``D X - A X``."""
    block = take_block(counter)
    while block * ROWS < X.shape[0]:
        for u in range(block * ROWS, min((block + 1) * ROWS, X.shape[0])):
            for c in range(WIDTH):
                out[u, c] = strength[u] * X[u, c] - out[u, c]
        block = take_block(counter)


@jit()
def far_squares(
    counter: np.ndarray,
    first: int,
    ptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    piece: np.ndarray,
    strength: np.ndarray,
    X: np.ndarray,
    B: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute the sum of the squared far parts of ``WIDTH`` columns for every entry.

    See :func:`~gsparse.kernels.resistance.resistance.add_squares`; ``B`` are the
    currents ``L X``. Bridges get 0, and self-loops -1.
    """
    near, square = stack(2, X[0, 0]), stack(8, X[0, 0])
    weighted, has_pieces = weight.shape[0] > 0, piece.shape[0] > 0
    rows_of, flows_of = data(X), data(B)
    block = take_block(counter)
    while block * ROWS < ptr.shape[0] - 1:
        for i in range(block * ROWS, min((block + 1) * ROWS, ptr.shape[0] - 1)):
            u = first + i
            for e in range(ptr[i], ptr[i + 1]):
                v = col[e]
                if e + AHEAD < col.shape[0]:
                    later = np.int64(col[e + AHEAD]) * WIDTH
                    prefetch(at(rows_of, later))
                    prefetch(at(flows_of, later))
                out[e] = -1.0 if v == u else 0.0
                if v == u or (has_pieces and piece[u] != piece[v]):
                    continue
                w = np.float64(weight[e]) if weighted else 1.0
                rest_u, rest_v = strength[u] - w, strength[v] - w
                if rest_u <= 0 or rest_v <= 0:
                    continue
                det = rest_u * rest_v + w * (rest_u + rest_v)
                near[0], near[1] = rest_v / det, rest_u / det
                for c in range(WIDTH):
                    far = X[u, c] - near[0] * B[u, c]
                    far -= X[v, c] - near[1] * B[v, c]
                    square[c] = far * far
                low = (square[0] + square[1]) + (square[2] + square[3])
                high = (square[4] + square[5]) + (square[6] + square[7])
                out[e] = low + high
        block = take_block(counter)


@jit()
def leverages(
    counter: np.ndarray,
    row: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    piece: np.ndarray,
    strength: np.ndarray,
    far: np.ndarray,
    scale: float,
    out: np.ndarray,
) -> None:
    """Compute ``w R`` of pairs, at most 1; 1 for bridges, and 0 for pairs of weight 0.

    Args:
        counter: Next block of pairs.
        row: Smaller ends.
        col: Larger ends.
        weight: Weights, or empty.
        piece: Piece of every node, or empty.
        strength: Sum of the weights of every node without bridges.
        far: Sum of the squared far parts of each pair.
        scale: 1 / number of columns.
        out: Receives the leverages.
    """
    block = take_block(counter)
    while block * ROWS < row.shape[0]:
        for e in range(block * ROWS, min((block + 1) * ROWS, row.shape[0])):
            u, v = row[e], col[e]
            w = weight[e] if weight.shape[0] > 0 else 1.0
            if not w > 0:
                out[e] = 0.0
            elif piece.shape[0] > 0 and piece[u] != piece[v]:
                out[e] = 1.0
            else:
                near = grounded(strength[u] - w, strength[v] - w, w)
                out[e] = min(w * (near + scale * far[e]), 1.0)
        block = take_block(counter)


@jit()
def tally(
    first: int,
    ptr: np.ndarray,
    col: np.ndarray,
    weight: np.ndarray,
    piece: np.ndarray,
    strength: np.ndarray,
    far: np.ndarray,
    scale: float,
    sums: np.ndarray,
) -> None:
    """Add up, over the entries that are neither bridges nor self-loops: the leverages,
    the squares of the sampled fraction of each, and their number.
    """
    place = 0
    for i in range(ptr.shape[0] - 1):
        u = first + i
        for e in range(ptr[i], ptr[i + 1]):
            v = col[e]
            if v == u:
                continue
            value = scale * far[place]
            place += 1
            w = np.float64(weight[e]) if weight.shape[0] > 0 else 1.0
            if not w > 0 or (piece.shape[0] > 0 and piece[u] != piece[v]):
                continue
            total = grounded(strength[u] - w, strength[v] - w, w) + value
            sums[0] += w * total
            sums[1] += (value / total) ** 2
            sums[2] += 1.0
