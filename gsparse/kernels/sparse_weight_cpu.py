"""Compiled body of dense features times a sparse weight: tiles of turned rows."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from gsparse.kernels.scalar import at, data
from gsparse.kernels.threads import intrinsic, jit, take_block
from gsparse.kernels.vector_code import FUSE, itemsize, load, splat, store

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)

#: Rows of the features that are turned into one tile, a vector lane each.
LANES = 64
#: Columns that are turned at a time, and rows.
WINDOW = 16


@intrinsic
def _turn(
    typingctx: Any, source: Any, stride: Any, target: Any, target_stride: Any
) -> Any:
    """``target[c, r] = source[r, c]`` for 16 rows and columns, by shuffles."""
    signature = types.void(source, types.intp, target, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, stride, target, target_stride = args
        side = 64 // itemsize(source)
        for top in range(0, WINDOW, side):
            for left in range(0, WINDOW, side):
                rows = [
                    load(builder, _row(builder, source, stride, top + r), left, side)
                    for r in range(side)
                ]
                for c, column in enumerate(_transposed(builder, rows)):
                    row = _row(builder, target, target_stride, left + c)
                    store(builder, column, row, top)
        return context.get_dummy_value()

    return signature, codegen


def _row(builder: Any, pointer: Any, stride: Any, number: int) -> Any:
    return builder.gep(pointer, [builder.mul(stride, stride.type(number))])


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Swap quarters of ever smaller squares: of 16 vectors in 64 shuffles."""
    side, half = len(rows), len(rows) // 2
    while half:
        low = [k + side * (k & half != 0) - half * (k & half != 0) for k in range(side)]
        high = [k + half if not k & half else k + side for k in range(side)]
        new = list(rows)
        for k in range(side):
            if not k & half:
                new[k] = _mix(builder, rows[k], rows[k + half], low)
                new[k + half] = _mix(builder, rows[k], rows[k + half], high)
        rows, half = new, half // 2
    return rows


def _mix(builder: Any, first: Any, second: Any, lanes: list[int]) -> Any:
    mask = ir.Constant(
        ir.VectorType(ir.IntType(32), len(lanes)), [ir.IntType(32)(n) for n in lanes]
    )
    return builder.shuffle_vector(first, second, mask)


@intrinsic
def _accumulate(
    typingctx: Any,
    values: Any,
    places: Any,
    low: Any,
    high: Any,
    tile: Any,
    start: Any,
    out: Any,
) -> Any:
    """``out[:] = start + sum_e values[e] * tile[places[e]]`` over one output."""
    size = types.intp
    signature = types.void(values, places, size, size, tile, values.dtype, out)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, places, low, high, tile, start, out = args
        long = ir.IntType(64)
        total = cgutils.alloca_once_value(builder, splat(builder, start, LANES))
        with cgutils.for_range_slice(builder, low, high, long(1)) as (slot, _):
            value = builder.load(builder.gep(values, [slot]))
            place = builder.sext(builder.load(builder.gep(places, [slot])), long)
            lanes = builder.gep(tile, [builder.mul(place, long(LANES))])
            term = builder.fmul(
                splat(builder, value, LANES), load(builder, lanes, 0, LANES), FUSE
            )
            builder.store(builder.fadd(builder.load(total), term, FUSE), total)
        store(builder, builder.load(total), out, 0)
        return context.get_dummy_value()

    return signature, codegen


@jit()
def sparse_linear_kernel(
    counter: np.ndarray,
    starts: np.ndarray,
    indptr: np.ndarray,
    places: np.ndarray,
    values: np.ndarray,
    bias: np.ndarray,
    features: np.ndarray,
    stride: int,
    out: np.ndarray,
) -> None:
    """Every row of the output is made by one thread, in the order of the weights."""
    num_rows, columns = features.shape
    outputs, width = out.shape[1], starts.shape[0] * WINDOW
    scratch = np.empty((width + WINDOW + 1) * LANES, features.dtype)
    odd = (scratch.ctypes.data // features.itemsize) % LANES
    tile = at(data(scratch), LANES - odd)
    result = at(tile, width * LANES)
    x, y, v, p = data(features), data(out), data(values), data(places)
    while True:
        first = take_block(counter) * LANES
        if first >= num_rows:
            break
        last = min(first + LANES, num_rows)
        for row in range(first, last, WINDOW):
            for w in range(starts.shape[0]):
                source = at(x, row * stride + starts[w])
                target = at(tile, w * WINDOW * LANES + row - first)
                if row + WINDOW <= num_rows and columns >= WINDOW:
                    _turn(source, stride, target, LANES)
                else:
                    for r in range(min(WINDOW, num_rows - row)):
                        for c in range(min(WINDOW, columns)):
                            target[c * LANES + r] = source[r * stride + c]
        for left in range(0, outputs, WINDOW):
            right = min(left + WINDOW, outputs)
            for o in range(left, right):
                low, high = np.intp(indptr[o]), np.intp(indptr[o + 1])
                to = at(result, (o - left) * LANES)
                _accumulate(v, p, low, high, tile, bias[o], to)
            for row in range(first, last, WINDOW):
                made, target = at(result, row - first), at(y, row * outputs + left)
                if row + WINDOW <= num_rows and left + WINDOW <= outputs:
                    _turn(made, LANES, target, outputs)
                else:
                    for r in range(min(WINDOW, num_rows - row)):
                        for c in range(right - left):
                            target[r * outputs + c] = made[c * LANES + r]
    scratch[0] = 0  # it must live until here
