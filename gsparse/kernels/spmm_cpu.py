"""Compiled bodies of sparse times dense: vector registers over columns, no atomics."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload

from gsparse.kernels.scalar import at, data
from gsparse.kernels.threads import intrinsic, jit, take_block
from gsparse.kernels.vector_code import FUSE, load, reduce, splat, store

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)


def _weighted_sum(width: int) -> Any:
    """``out[:width] = sum_e values[e] * dense[indices[e], :width]`` over one row.

    The sum stays in vector registers while the row is walked. Left to LLVM, a loop of
    short constant length is unrolled before it is vectorised and stays scalar: three
    times slower at 16 columns (measured).
    """

    @intrinsic
    def accumulate(
        typingctx: Any,
        values: Any,
        perm: Any,
        indices: Any,
        low: Any,
        high: Any,
        dense: Any,
        stride: Any,
        out: Any,
    ) -> Any:
        size = types.intp
        signature = types.void(values, perm, indices, size, size, dense, size, out)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values, perm, indices, low, high, dense, stride, out = args
            vector = ir.VectorType(values.type.pointee, width)
            total = cgutils.alloca_once_value(builder, ir.Constant(vector, None))
            with cgutils.for_range_slice(builder, low, high, _ONE) as (slot, _):
                place = _place(builder, perm, slot, signature.args[1])
                factor = builder.load(builder.gep(values, [place]))
                row = _row(builder, dense, indices, slot, stride)
                term = builder.fmul(
                    splat(builder, factor, width), load(builder, row, 0, width), FUSE
                )
                builder.store(builder.fadd(builder.load(total), term, FUSE), total)
            store(builder, builder.load(total), out, 0)
            return context.get_dummy_value()

        return signature, codegen

    return accumulate


def _scattered_row(width: int) -> Any:
    """``out[indices[e], :width] += values[e] * row[:width]`` over one row.

    The row stays in vector registers, what is added to stays in the cache.
    """

    @intrinsic
    def scatter(
        typingctx: Any,
        values: Any,
        indices: Any,
        low: Any,
        high: Any,
        row: Any,
        out: Any,
        stride: Any,
    ) -> Any:
        size = types.intp
        signature = types.void(values, indices, size, size, row, out, size)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values, indices, low, high, row, out, stride = args
            held = load(builder, row, 0, width)
            with cgutils.for_range_slice(builder, low, high, _ONE) as (slot, _):
                factor = builder.load(builder.gep(values, [slot]))
                target = _row(builder, out, indices, slot, stride)
                term = builder.fmul(splat(builder, factor, width), held, FUSE)
                before = load(builder, target, 0, width)
                store(builder, builder.fadd(before, term, FUSE), target, 0)
            return context.get_dummy_value()

        return signature, codegen

    return scatter


def _inner_products(width: int) -> Any:
    """``out[e] = <row[:width], dense[indices[e], :width]>`` over one row; added to
    what is there where ``more``.
    """

    @intrinsic
    def multiply(
        typingctx: Any,
        row: Any,
        indices: Any,
        low: Any,
        high: Any,
        dense: Any,
        stride: Any,
        out: Any,
        perm: Any,
        more: Any,
    ) -> Any:
        size = types.intp
        signature = types.void(
            row, indices, size, size, dense, size, out, perm, types.boolean
        )

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            row, indices, low, high, dense, stride, out, perm, more = args
            held = load(builder, row, 0, width)
            with cgutils.for_range_slice(builder, low, high, _ONE) as (slot, _):
                other = _row(builder, dense, indices, slot, stride)
                product = builder.fmul(held, load(builder, other, 0, width))
                total = reduce(builder, product, width)
                place = _place(builder, perm, slot, signature.args[7])
                target = builder.gep(out, [place])
                zero = ir.Constant(total.type, 0.0)
                before = builder.select(more, builder.load(target), zero)
                builder.store(builder.fadd(before, total), target)
            return context.get_dummy_value()

        return signature, codegen

    return multiply


def _both_derivatives(width: int) -> Any:
    """Both of ``out[:width] = sum_e values[e] * grad[indices[e], :width]`` and
    ``inner[e] = <row[:width], grad[indices[e], :width]>``, which is added to what is
    there where ``more``.
    """

    @intrinsic
    def walk(
        typingctx: Any,
        values: Any,
        row: Any,
        perm: Any,
        indices: Any,
        low: Any,
        high: Any,
        grad: Any,
        stride: Any,
        out: Any,
        inner: Any,
        more: Any,
    ) -> Any:
        size = types.intp
        ends = indices, size, size, grad, size
        signature = types.void(values, row, perm, *ends, out, inner, types.boolean)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values, row, perm, indices, low, high, grad, stride, out, inner, more = args
            vector = ir.VectorType(values.type.pointee, width)
            held = load(builder, row, 0, width)
            total = cgutils.alloca_once_value(builder, ir.Constant(vector, None))
            with cgutils.for_range_slice(builder, low, high, _ONE) as (slot, _):
                place = _place(builder, perm, slot, signature.args[2])
                other = _row(builder, grad, indices, slot, stride)
                other = load(builder, other, 0, width)
                factor = builder.load(builder.gep(values, [place]))
                term = builder.fmul(splat(builder, factor, width), other, FUSE)
                builder.store(builder.fadd(builder.load(total), term, FUSE), total)
                product = reduce(builder, builder.fmul(held, other), width)
                target = builder.gep(inner, [place])
                zero = ir.Constant(product.type, 0.0)
                before = builder.select(more, builder.load(target), zero)
                builder.store(builder.fadd(before, product), target)
            store(builder, builder.load(total), out, 0)
            return context.get_dummy_value()

        return signature, codegen

    return walk


_ONE = ir.IntType(64)(1)


def _place(builder: Any, perm: Any, slot: Any, kind: Any) -> Any:
    """Where the value of a slot stands."""
    if isinstance(kind, types.NoneType):
        return slot
    return _long(builder, builder.load(builder.gep(perm, [slot])))


def _row(builder: Any, dense: Any, indices: Any, slot: Any, stride: Any) -> Any:
    """Pointer to the dense row of a slot."""
    column = _long(builder, builder.load(builder.gep(indices, [slot])))
    return builder.gep(dense, [builder.mul(column, stride)])


def _long(builder: Any, index: Any) -> Any:
    kind = ir.IntType(64)
    return builder.sext(index, kind) if index.type.width < 64 else index


_sum64, _sum32, _sum16, _sum8 = (_weighted_sum(w) for w in (64, 32, 16, 8))
_sum4, _sum2, _sum1 = (_weighted_sum(w) for w in (4, 2, 1))
_add64, _add32, _add16, _add8 = (_scattered_row(w) for w in (64, 32, 16, 8))
_add4, _add2, _add1 = (_scattered_row(w) for w in (4, 2, 1))
_dot64, _dot32, _dot16, _dot8 = (_inner_products(w) for w in (64, 32, 16, 8))
_dot4, _dot2, _dot1 = (_inner_products(w) for w in (4, 2, 1))
_both32, _both16, _both8 = (_both_derivatives(w) for w in (32, 16, 8))
_both4, _both2, _both1 = (_both_derivatives(w) for w in (4, 2, 1))


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
            if c + 32 <= columns:
                _sum32(v, p, j, low, high, at(x, c), stride, at(to, c))
                c += 32
            if c + 16 <= columns:
                _sum16(v, p, j, low, high, at(x, c), stride, at(to, c))
                c += 16
            if c + 8 <= columns:
                _sum8(v, p, j, low, high, at(x, c), stride, at(to, c))
                c += 8
            if c + 4 <= columns:
                _sum4(v, p, j, low, high, at(x, c), stride, at(to, c))
                c += 4
            if c + 2 <= columns:
                _sum2(v, p, j, low, high, at(x, c), stride, at(to, c))
                c += 2
            if c < columns:
                _sum1(v, p, j, low, high, at(x, c), stride, at(to, c))


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
