"""Compiled bodies of sparse times dense: vector registers over columns, no atomics."""

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from gsparse.kernels.scalar import at, data
from gsparse.kernels.spmm_rows import (
    both_derivatives,
    inner_products,
    overlapped_sum,
    scattered_row,
    weighted_sum,
)
from gsparse.kernels.threads import jit, take_block

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)

_sum64, _sum32, _sum16, _sum8 = (weighted_sum(w) for w in (64, 32, 16, 8))
_sum4, _sum2, _sum1 = (weighted_sum(w) for w in (4, 2, 1))
_two32, _two16, _two8, _two4, _two2 = (overlapped_sum(w) for w in (32, 16, 8, 4, 2))
_add64, _add32, _add16, _add8 = (scattered_row(w) for w in (64, 32, 16, 8))
_add4, _add2, _add1 = (scattered_row(w) for w in (4, 2, 1))
_dot64, _dot32, _dot16, _dot8 = (inner_products(w) for w in (64, 32, 16, 8))
_dot4, _dot2, _dot1 = (inner_products(w) for w in (4, 2, 1))
_both32, _both16, _both8 = (both_derivatives(w) for w in (32, 16, 8))
_both4, _both2, _both1 = (both_derivatives(w) for w in (4, 2, 1))


def places(perm: Any) -> Any:
    """Pointer to the places of the values; None where they stand in order."""


@overload(places)
def _places(perm: Any) -> Any:
    def none(perm: Any) -> Any:
        return None

    def pointer(perm: Any) -> Any:
        return data(perm)

    return none if isinstance(perm, types.NoneType) else pointer


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
    """``out[i] = sum_e values[perm[e]] * dense[indices[e]]`` over the slots of row i.

    Every row is summed by one thread in the order of its slots, so the result does
    not depend on the number of threads.
    """
    columns = out.shape[1]
    v, x, o, j = data(values), data(dense), data(out), data(indices)
    p = places(perm)
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for i in range(blocks[block], blocks[block + 1]):
            low, high = np.intp(indptr[i]), np.intp(indptr[i + 1])
            to = at(o, i * columns)
            c = 0
            while c + 64 <= columns:
                _sum64(v, p, j, low, high, at(x, c), stride, at(to, c))
                c += 64
            rest, row, end = columns - c, at(x, c), at(to, c)
            if rest > 32:
                _two32(v, p, j, low, high, row, stride, end, rest - 32)
            elif rest == 32:
                _sum32(v, p, j, low, high, row, stride, end)
            elif rest > 16:
                _two16(v, p, j, low, high, row, stride, end, rest - 16)
            elif rest == 16:
                _sum16(v, p, j, low, high, row, stride, end)
            elif rest > 8:
                _two8(v, p, j, low, high, row, stride, end, rest - 8)
            elif rest == 8:
                _sum8(v, p, j, low, high, row, stride, end)
            elif rest > 4:
                _two4(v, p, j, low, high, row, stride, end, rest - 4)
            elif rest == 4:
                _sum4(v, p, j, low, high, row, stride, end)
            elif rest == 3:
                _two2(v, p, j, low, high, row, stride, end, 1)
            elif rest == 2:
                _sum2(v, p, j, low, high, row, stride, end)
            elif rest == 1:
                _sum1(v, p, j, low, high, row, stride, end)


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
    """``parts[b, indices[e]] += values[e] * dense[i]`` over the rows i of block b.

    The product with a transpose that has few rows, without its order: values and
    dense rows are read as they stand, and a part stays in the cache.
    """
    columns = parts.shape[2]
    size = parts.shape[1] * columns
    v, x, o, j = data(values), data(dense), data(parts), data(indices)
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        to = at(o, block * size)
        for k in range(size):
            to[k] = 0
        for i in range(blocks[block], blocks[block + 1]):
            low, high = np.intp(indptr[i]), np.intp(indptr[i + 1])
            row = at(x, i * stride)
            c = 0
            while c + 64 <= columns:
                _add64(v, j, low, high, at(row, c), at(to, c), columns)
                c += 64
            if c + 32 <= columns:
                _add32(v, j, low, high, at(row, c), at(to, c), columns)
                c += 32
            if c + 16 <= columns:
                _add16(v, j, low, high, at(row, c), at(to, c), columns)
                c += 16
            if c + 8 <= columns:
                _add8(v, j, low, high, at(row, c), at(to, c), columns)
                c += 8
            if c + 4 <= columns:
                _add4(v, j, low, high, at(row, c), at(to, c), columns)
                c += 4
            if c + 2 <= columns:
                _add2(v, j, low, high, at(row, c), at(to, c), columns)
                c += 2
            if c < columns:
                _add1(v, j, low, high, at(row, c), at(to, c), columns)


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
    """``out[perm[e]] = <left[i], right[indices[e]]>`` for every slot e of row i."""
    columns = left.shape[1]
    a, b, o, j = data(left), data(right), data(out), data(indices)
    p = places(perm)
    if columns == 0:
        out[:] = 0
        return
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for i in range(blocks[block], blocks[block + 1]):
            low, high = np.intp(indptr[i]), np.intp(indptr[i + 1])
            row = at(a, i * columns)
            c = 0
            while c + 64 <= columns:
                _dot64(at(row, c), j, low, high, at(b, c), columns, o, p, c > 0)
                c += 64
            if c + 32 <= columns:
                _dot32(at(row, c), j, low, high, at(b, c), columns, o, p, c > 0)
                c += 32
            if c + 16 <= columns:
                _dot16(at(row, c), j, low, high, at(b, c), columns, o, p, c > 0)
                c += 16
            if c + 8 <= columns:
                _dot8(at(row, c), j, low, high, at(b, c), columns, o, p, c > 0)
                c += 8
            if c + 4 <= columns:
                _dot4(at(row, c), j, low, high, at(b, c), columns, o, p, c > 0)
                c += 4
            if c + 2 <= columns:
                _dot2(at(row, c), j, low, high, at(b, c), columns, o, p, c > 0)
                c += 2
            if c < columns:
                _dot1(at(row, c), j, low, high, at(b, c), columns, o, p, c > 0)


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
    """``inner[perm[e]] = <dense[i], grad[indices[e]]>`` for every slot e of row i, and
    ``out[i] = sum_e values[perm[e]] * grad[indices[e]]``: one walk for the derivatives
    by both factors of a product.
    """
    columns = dense.shape[1]
    v, x, g, j = data(values), data(dense), data(grad), data(indices)
    o, n, p = data(out), data(inner), places(perm)
    if columns == 0:
        inner[:] = 0
        return
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for i in range(blocks[block], blocks[block + 1]):
            a, b = np.intp(indptr[i]), np.intp(indptr[i + 1])
            row, to = at(x, i * columns), at(o, i * columns)
            c = 0
            while c + 32 <= columns:
                end, f, m = at(to, c), at(g, c), c > 0
                _both32(v, at(row, c), p, j, a, b, f, columns, end, n, m)
                c += 32
            if c + 16 <= columns:
                end, f, m = at(to, c), at(g, c), c > 0
                _both16(v, at(row, c), p, j, a, b, f, columns, end, n, m)
                c += 16
            if c + 8 <= columns:
                end, f, m = at(to, c), at(g, c), c > 0
                _both8(v, at(row, c), p, j, a, b, f, columns, end, n, m)
                c += 8
            if c + 4 <= columns:
                end, f, m = at(to, c), at(g, c), c > 0
                _both4(v, at(row, c), p, j, a, b, f, columns, end, n, m)
                c += 4
            if c + 2 <= columns:
                end, f, m = at(to, c), at(g, c), c > 0
                _both2(v, at(row, c), p, j, a, b, f, columns, end, n, m)
                c += 2
            if c < columns:
                end, f, m = at(to, c), at(g, c), c > 0
                _both1(v, at(row, c), p, j, a, b, f, columns, end, n, m)
