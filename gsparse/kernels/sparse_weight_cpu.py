"""Compiled loop of dense features times a sparse weight: tiles of transposed rows."""

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils

from gsparse.kernels.scalar import at, data
from gsparse.kernels.threads import intrinsic, jit, take_block
from gsparse.kernels.vector_code import LONG, Code, load_index, shuffle

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)

#: Rows of the features in one transposed tile, one vector lane each.
LANES = 64
#: Number of rows, and of columns, that are transposed at a time.
WINDOW = 16


@intrinsic
def _turn(
    typingctx: Any, source: Any, stride: Any, target: Any, target_stride: Any
) -> Any:
    """Set ``target[c, r] = source[r, c]`` for 16 rows and columns by shuffles."""
    signature = types.void(source, types.intp, target, types.intp)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, stride, target, target_stride = args
        code = Code(builder, signature.args)
        side = 64 // code.itemsize

        def place(stride: Any, row: int, column: int) -> Any:
            return builder.add(builder.mul(stride, LONG(row)), LONG(column))

        for top in range(0, WINDOW, side):
            for left in range(0, WINDOW, side):
                places = (place(stride, top + r, left) for r in range(side))
                rows = [code.load(source, it, side) for it in places]
                for c, column in enumerate(_transposed(builder, rows)):
                    code.store(column, target, place(target_stride, left + c, top))
        return context.get_dummy_value()

    return signature, codegen


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """Transpose by swapping quarters of ever smaller squares (16 rows: 64 shuffles)."""
    side, half = len(rows), len(rows) // 2
    while half:
        low = [k + side * (k & half != 0) - half * (k & half != 0) for k in range(side)]
        high = [k + half if not k & half else k + side for k in range(side)]
        new = list(rows)
        for k in range(side):
            if not k & half:
                new[k] = shuffle(builder, rows[k], rows[k + half], low)
                new[k + half] = shuffle(builder, rows[k], rows[k + half], high)
        rows, half = new, half // 2
    return rows


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
    """Set ``out[:] = start + sum_e values[e] * tile[places[e]]`` over one output."""
    size = types.intp
    signature = types.void(values, places, size, size, tile, values.dtype, out)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, places, low, high, tile, start, out = args
        code, dtype = Code(builder, signature.args), signature.args[1].dtype
        total = cgutils.alloca_once_value(builder, code.splat(start, LANES))
        with cgutils.for_range_slice(builder, low, high, LONG(1)) as (slot, _):
            value = code.splat(code.item(values, slot), LANES)
            place = load_index(builder, places, slot, dtype)
            lanes = code.load(tile, builder.mul(place, LONG(LANES)), LANES)
            builder.store(code.fused(builder.load(total), value, lanes), total)
        code.store(builder.load(total), out, 0)
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
    """Compute the product; one thread sums each row in the order of the weights."""
    num_rows, columns = features.shape
    outputs, width = out.shape[1], starts.shape[0] * WINDOW
    scratch = np.empty((width + WINDOW + 1) * LANES, features.dtype)
    odd = (scratch.ctypes.data // features.itemsize) % LANES
    tile = at(data(scratch), LANES - odd)
    result = at(tile, width * LANES)
    x, y, v, p = data(features), data(out), data(values), data(places)
    first = take_block(counter) * LANES
    while first < num_rows:
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
        first = take_block(counter) * LANES
    scratch[0] = 0  # keeps the array alive until here
