"""Emits what sparse times dense does with one row: sums in vector registers."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from gsparse.kernels.threads import intrinsic
from gsparse.kernels.vector_code import FUSE, load, reduce, splat, store

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)


def weighted_sum(width: int) -> Any:
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


def overlapped_sum(width: int) -> Any:
    """:func:`weighted_sum` of ``width + shift`` columns, the shift at most the width:
    two vectors that overlap, so that one walk is enough for any number.
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
        shift: Any,
    ) -> Any:
        size = types.intp
        ends = indices, size, size, dense, size
        signature = types.void(values, perm, *ends, out, size)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values, perm, indices, low, high, dense, stride, out, shift = args
            zeros = ir.Constant(ir.VectorType(values.type.pointee, width), None)
            totals = [cgutils.alloca_once_value(builder, zeros) for _ in range(2)]
            with cgutils.for_range_slice(builder, low, high, _ONE) as (slot, _):
                place = _place(builder, perm, slot, signature.args[1])
                factor = builder.load(builder.gep(values, [place]))
                factor = splat(builder, factor, width)
                row = _row(builder, dense, indices, slot, stride)
                for total, start in zip(
                    totals, (row, builder.gep(row, [shift])), strict=True
                ):
                    term = builder.fmul(factor, load(builder, start, 0, width), FUSE)
                    builder.store(builder.fadd(builder.load(total), term, FUSE), total)
            first, second = (builder.load(total) for total in totals)
            store(builder, first, out, 0)
            store(builder, second, builder.gep(out, [shift]), 0)
            return context.get_dummy_value()

        return signature, codegen

    return accumulate


def scattered_row(width: int) -> Any:
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


def inner_products(width: int) -> Any:
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


def both_derivatives(width: int) -> Any:
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
