"""Compiled bodies of scores of pairs, and of their derivatives."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from gsparse.kernels.scalar import at, data
from gsparse.kernels.threads import intrinsic, jit, take_block
from gsparse.kernels.vector_code import FUSE, load, reduce, splat, store

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)


def _inner(width: int) -> Any:
    """``<one[:width], two[:width]>``, of pointers."""

    @intrinsic
    def multiply(typingctx: Any, one: Any, two: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            factors = (load(builder, it, 0, width) for it in args)
            return reduce(builder, builder.fmul(*factors), width)

        return one.dtype(one, two), codegen

    return multiply


def _products(width: int) -> Any:
    """``out[:width] += one[:width] * two[:width]``, of pointers."""

    @intrinsic
    def add(typingctx: Any, out: Any, one: Any, two: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            before, *factors = (load(builder, it, 0, width) for it in args)
            term = builder.fmul(*factors, FUSE)
            store(builder, builder.fadd(before, term, FUSE), args[0], 0)
            return context.get_dummy_value()

        return types.void(out, one, two), codegen

    return add


def _gathered(scores: int, width: int) -> Any:
    """``out[k, :width] = sum_e grad[pair[e], k] * hidden[indices[e], :width]`` and
    ``ends[k] = sum_e grad[pair[e], k]`` over one row, for so many scores in registers.

    Rows of ``grad`` have ``all_scores`` numbers, those of ``hidden`` and ``out``
    ``columns``.
    """

    @intrinsic
    def gather(
        typingctx: Any,
        grad: Any,
        pair: Any,
        indices: Any,
        low: Any,
        high: Any,
        hidden: Any,
        out: Any,
        ends: Any,
        all_scores: Any,
        columns: Any,
    ) -> Any:
        size = types.intp
        where = pair, indices, size, size
        signature = types.void(grad, *where, hidden, out, ends, size, size)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            grad, pair, indices, low, high, hidden, out, ends, *strides = args
            all_scores, columns = strides
            long, kind = ir.IntType(64), grad.type.pointee
            vector = ir.VectorType(kind, width)
            sums = [
                (
                    cgutils.alloca_once_value(builder, ir.Constant(vector, None)),
                    cgutils.alloca_once_value(builder, ir.Constant(kind, 0.0)),
                )
                for _ in range(scores)
            ]

            def element(pointer: Any, slot: Any, stride: Any) -> Any:
                index = builder.load(builder.gep(pointer, [slot]))
                if index.type.width < 64:
                    index = builder.sext(index, long)
                return builder.mul(index, stride)

            with cgutils.for_range_slice(builder, low, high, long(1)) as (slot, _):
                row = builder.gep(hidden, [element(indices, slot, columns)])
                row = load(builder, row, 0, width)
                own = builder.gep(grad, [element(pair, slot, all_scores)])
                for k, (total, end) in enumerate(sums):
                    factor = builder.load(builder.gep(own, [long(k)]))
                    term = builder.fmul(splat(builder, factor, width), row, FUSE)
                    builder.store(builder.fadd(builder.load(total), term, FUSE), total)
                    builder.store(builder.fadd(builder.load(end), factor), end)
            for k, (total, end) in enumerate(sums):
                row = builder.gep(out, [builder.mul(columns, long(k))])
                store(builder, builder.load(total), row, 0)
                builder.store(builder.load(end), builder.gep(ends, [long(k)]))
            return context.get_dummy_value()

        return signature, codegen

    return gather


_one8, _one4, _one1 = (_gathered(1, w) for w in (8, 4, 1))
_two8, _two4, _two1 = (_gathered(2, w) for w in (8, 4, 1))
_dot8, _dot4, _mul8, _mul4 = _inner(8), _inner(4), _products(8), _products(4)


@jit(forceinline=True)
def _add_products(out: Any, one: Any, two: Any, width: int) -> None:
    c = 0
    while c + 8 <= width:
        _mul8(at(out, c), at(one, c), at(two, c))
        c += 8
    if c + 4 <= width:
        _mul4(at(out, c), at(one, c), at(two, c))
        c += 4
    while c < width:
        out[c] += one[c] * two[c]
        c += 1


@jit(forceinline=True)
def _dot(one: Any, two: Any, width: int, total: Any) -> Any:
    c = 0
    while c + 8 <= width:
        total += _dot8(at(one, c), at(two, c))
        c += 8
    if c + 4 <= width:
        total += _dot4(at(one, c), at(two, c))
        c += 4
    while c < width:
        total += one[c] * two[c]
        c += 1
    return total


@jit()
def scores_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    pair: np.ndarray,
    hidden: np.ndarray,
    product: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    out: np.ndarray,
) -> None:
    """``out[pair[e], k] = sum_c product[k, c] hidden[i, c] hidden[j, c]`` plus what the
    end points ``i`` and ``j`` bring.
    """
    scores, width = product.shape
    scaled, zero = np.empty(scores * width, hidden.dtype), hidden.dtype.type(0)
    h, s, p, o = data(hidden), data(scaled), data(product), data(out)
    one, two = data(left), data(right)
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for i in range(blocks[block], blocks[block + 1]):
            own = at(h, i * width)
            for k in range(scores * width):
                s[k] = zero
            for k in range(scores):
                _add_products(at(s, k * width), at(p, k * width), own, width)
            for e in range(indptr[i], indptr[i + 1]):
                j = np.intp(indices[e])
                other, to = at(h, j * width), at(o, np.intp(pair[e]) * scores)
                for k in range(scores):
                    ends = one[i * scores + k] + two[j * scores + k]
                    to[k] = _dot(at(s, k * width), other, width, ends)


@jit()
def grads_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    pair: np.ndarray,
    grad: np.ndarray,
    hidden: np.ndarray,
    product: np.ndarray,
    to_hidden: np.ndarray,
    to_ends: np.ndarray,
    to_product: np.ndarray,
) -> None:
    """What the pairs of row ``i`` bring to the derivatives: added to ``to_hidden[i]``,
    written to ``to_ends[i]``, and added up over a block in ``to_product[block]``.
    """
    scores, width = product.shape
    size = scores * width
    held = np.empty(size, hidden.dtype)
    h, t, g, p = data(hidden), data(held), data(grad), data(product)
    to, ends, weights = data(to_hidden), data(to_ends), data(to_product)
    j, q = data(indices), data(pair)
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for i in range(blocks[block], blocks[block + 1]):
            low, high = np.intp(indptr[i]), np.intp(indptr[i + 1])
            end = at(ends, i * scores)
            for k in range(0, scores, 2):
                of, f, c = at(g, k), at(end, k), 0
                two = k + 1 < scores
                while c < width:
                    x, out, left = at(h, c), at(t, k * width + c), width - c
                    if left >= 8 and two:
                        _two8(of, q, j, low, high, x, out, f, scores, width)
                    elif left >= 8:
                        _one8(of, q, j, low, high, x, out, f, scores, width)
                    elif left >= 4 and two:
                        _two4(of, q, j, low, high, x, out, f, scores, width)
                    elif left >= 4:
                        _one4(of, q, j, low, high, x, out, f, scores, width)
                    elif two:
                        _two1(of, q, j, low, high, x, out, f, scores, width)
                    else:
                        _one1(of, q, j, low, high, x, out, f, scores, width)
                    c += 8 if left >= 8 else (4 if left >= 4 else 1)
            own, to_own = at(h, i * width), at(to, i * width)
            to_weights = at(weights, block * size)
            for k in range(scores):
                mine = at(t, k * width)
                _add_products(to_own, at(p, k * width), mine, width)
                _add_products(at(to_weights, k * width), own, mine, width)
