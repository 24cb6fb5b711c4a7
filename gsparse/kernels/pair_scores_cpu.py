"""Compiled loops of the scores of pairs, and of their derivatives."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from gsparse.kernels.scalar import at, data
from gsparse.kernels.threads import intrinsic, jit, take_block
from gsparse.kernels.vector_code import LONG, Code, emitted, load_index

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)


@intrinsic
def _dot(typingctx: Any, one: Any, two: Any, width: Any, total: Any) -> Any:
    """Return ``total + <one[:width], two[:width]>``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        code, (*factors, columns, start) = Code(builder, signature.args), args
        held = cgutils.alloca_once_value(builder, start)

        def emit(size: int, c: Any) -> None:
            product = builder.fmul(*(code.load(it, c, size) for it in factors))
            new = builder.fadd(builder.load(held), code.reduce(product))
            builder.store(new, held)

        code.each_block(columns, 8, emit)
        return builder.load(held)

    return one.dtype(one, two, types.intp, one.dtype), codegen


@emitted
def _add_products(code: Code, out: Any, one: Any, two: Any, columns: Any) -> None:
    """Compute ``out[:columns] += one[:columns] * two[:columns]``."""

    def emit(size: int, c: Any) -> None:
        total = code.fused(*(code.load(it, c, size) for it in (out, one, two)))
        code.store(total, out, c)

    code.each_block(columns, 8, emit)


def _gathered(count: int) -> Any:
    """Return an intrinsic that sums over one row for ``count`` scores in registers.

    It sets ``out[k, :columns] = sum_e grad[pair[e], k] * hidden[indices[e], :columns]``
    and ``ends[k] = sum_e grad[pair[e], k]``. Rows of ``grad`` have ``scores`` numbers.
    """

    @emitted
    def gather(
        code: Code,
        grad: Any,
        pair: Any,
        indices: Any,
        low: Any,
        high: Any,
        hidden: Any,
        out: Any,
        ends: Any,
        scores: Any,
        columns: Any,
    ) -> None:
        builder, numbers = code.builder, range(count)

        def zero(kind: Any) -> Any:
            return cgutils.alloca_once_value(builder, ir.Constant(kind, None))

        def emit(width: int, start: Any) -> None:
            totals = [zero(code.lanes(width)) for _ in numbers]
            sums = [zero(code.kind) for _ in numbers]
            with cgutils.for_range_slice(builder, low, high, LONG(1)) as (slot, _):
                place = load_index(builder, pair, slot, code.types[1].dtype)
                other = load_index(builder, indices, slot, code.types[2].dtype)
                row, own = builder.mul(other, columns), builder.mul(place, scores)
                vector = code.load(code.at(hidden, start), row, width)
                for k, total, end in zip(numbers, totals, sums, strict=True):
                    factor = code.item(grad, builder.add(own, LONG(k)))
                    new = code.splat(factor, width)
                    builder.store(code.fused(builder.load(total), new, vector), total)
                    builder.store(builder.fadd(builder.load(end), factor), end)
            for k, total, end in zip(numbers, totals, sums, strict=True):
                place = builder.add(builder.mul(columns, LONG(k)), start)
                code.store(builder.load(total), out, place)
                builder.store(builder.load(end), code.at(ends, k))

        code.each_block(columns, 8, emit)

    return gather


_gather_one, _gather_two = _gathered(1), _gathered(2)


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
    """Compute the scores of all pairs.

    ``out[pair[e], k] = sum_c product[k, c] hidden[i, c] hidden[j, c] + left[i, k] +
    right[j, k]``.
    """
    scores, width = product.shape
    scaled, zero = np.empty(scores * width, hidden.dtype), hidden.dtype.type(0)
    h, s, p, o = data(hidden), data(scaled), data(product), data(out)
    one, two = data(left), data(right)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
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
        block = take_block(counter)


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
    """Sum the gradients over the pairs of each row ``i``.

    They are added to ``to_hidden[i]``, written to ``to_ends[i]``, and summed over a
    block of rows in ``to_product[block]``.
    """
    scores, width = product.shape
    size = scores * width
    held = np.empty(size, hidden.dtype)
    h, t, g, p = data(hidden), data(held), data(grad), data(product)
    to, ends, weights = data(to_hidden), data(to_ends), data(to_product)
    j, q = data(indices), data(pair)
    block = take_block(counter)
    while block < blocks.shape[0] - 1:
        for i in range(blocks[block], blocks[block + 1]):
            low, high = np.intp(indptr[i]), np.intp(indptr[i + 1])
            end = at(ends, i * scores)
            for k in range(0, scores, 2):
                of, out, f = at(g, k), at(t, k * width), at(end, k)
                if k + 1 < scores:
                    _gather_two(of, q, j, low, high, h, out, f, scores, width)
                else:
                    _gather_one(of, q, j, low, high, h, out, f, scores, width)
            own, to_own = at(h, i * width), at(to, i * width)
            to_weights = at(weights, block * size)
            for k in range(scores):
                mine = at(t, k * width)
                _add_products(to_own, at(p, k * width), mine, width)
                _add_products(at(to_weights, k * width), own, mine, width)
        block = take_block(counter)
