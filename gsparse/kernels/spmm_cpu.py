"""Compiled loops of sparse times dense: vector registers over columns, no atomics."""

import numpy as np

from gsparse.kernels.scalar import at, data
from gsparse.kernels.spmm_rows import (
    both_derivatives,
    inner_products,
    scattered_row,
    weighted_sum,
)
from gsparse.kernels.threads import jit, take_block


@jit()
def spmm_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    perm: np.ndarray | None,
    values: np.ndarray,
    dense: np.ndarray,
    stride: int,
    out: np.ndarray,
) -> None:
    """Compute ``out[i] = sum_e values[perm[e]] * dense[indices[e]]`` over row i.

    Every row is summed by one thread in the order of its slots, so the result does
    not depend on the number of threads.
    """
    columns = out.shape[1]
    v, x, o, j, p = data(values), data(dense), data(out), data(indices), data(perm)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            low, high = np.intp(indptr[i]), np.intp(indptr[i + 1])
            weighted_sum(v, p, j, low, high, x, stride, at(o, i * columns), columns)
        block = take_block(counter)


@jit()
def spmm_narrow_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    dense: np.ndarray,
    stride: int,
    parts: np.ndarray,
) -> None:
    """Add ``values[e] * dense[i]`` to ``parts[b, indices[e]]`` for rows i of block b.

    This is the product with a transpose that has few rows, without its order: values
    and dense rows are read in place, and a part stays in the cache.
    """
    columns = parts.shape[2]
    size = parts.shape[1] * columns
    v, x, o, j = data(values), data(dense), data(parts), data(indices)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        to = at(o, block * size)
        for k in range(size):
            to[k] = 0
        for i in range(blocks[block], blocks[block + 1]):
            low, high, row = (
                np.intp(indptr[i]),
                np.intp(indptr[i + 1]),
                at(x, i * stride),
            )
            scattered_row(v, None, j, low, high, to, columns, row, columns)
        block = take_block(counter)


@jit()
def sddmm_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    perm: np.ndarray | None,
    left: np.ndarray,
    right: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute ``out[perm[e]] = <left[i], right[indices[e]]>`` over row i."""
    columns = left.shape[1]
    a, b, o, j, p = data(left), data(right), data(out), data(indices), data(perm)
    if columns == 0:
        out[:] = 0
        return
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            low, high = np.intp(indptr[i]), np.intp(indptr[i + 1])
            inner_products(o, p, j, low, high, b, columns, at(a, i * columns), columns)
        block = take_block(counter)


@jit()
def spmm_grads_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    perm: np.ndarray | None,
    values: np.ndarray,
    dense: np.ndarray,
    grad: np.ndarray,
    inner: np.ndarray,
    out: np.ndarray,
) -> None:
    """Compute the derivatives with respect to both factors of a product in one walk.

    These are ``inner[perm[e]] = <dense[i], grad[indices[e]]>`` for every slot e of row
    i, and ``out[i] = sum_e values[perm[e]] * grad[indices[e]]``.
    """
    columns = dense.shape[1]
    v, x, g, j = data(values), data(dense), data(grad), data(indices)
    o, n, p = data(out), data(inner), data(perm)
    if columns == 0:
        inner[:] = 0
        return
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            a, b = np.intp(indptr[i]), np.intp(indptr[i + 1])
            row, to = at(x, i * columns), at(o, i * columns)
            both_derivatives(v, p, j, a, b, g, columns, row, n, to, columns)
        block = take_block(counter)
