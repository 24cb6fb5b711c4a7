"""Dense features times a sparse weight: one vector operation a non-zero weight."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from torch import Tensor
from torch.nn.functional import linear

from gsparse.kernels.csr_pattern import check_pattern
from gsparse.kernels.scalar import at, data
from gsparse.kernels.threads import intrinsic, jit, run_blocks, take_block
from gsparse.kernels.vector_code import FUSE, itemsize, load, splat, store

# ruff: noqa: ANN401 (numba's typing and code-generation hooks are untyped)

#: Rows of the features that are turned into one tile, a vector lane each.
LANES = 64
#: Columns that are turned at a time, and rows.
WINDOW = 16


@dataclass(frozen=True, eq=False)
class SparseWeight:
    r"""A weight as a CSR matrix, and which columns of the features it reads.

    Columns that no weight reads are left out of the windows, where that saves one.

    Attributes:
        indptr: Weights of output ``o`` are ``indptr[o]:indptr[o + 1]``.
        indices: Input of each weight.
        values: The weights.
        in_features: Number of inputs.
        starts: First column of each window of columns that some weight reads.
        places: Place of each weight's input in the windows.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor
    in_features: int
    starts: Tensor
    places: Tensor

    @classmethod
    def from_dense(cls, weight: Tensor) -> "SparseWeight":
        """Keep the non-zero entries of a weight ``[out, in]``."""
        row, col = weight.detach().nonzero().unbind(1)
        bounds = torch.arange(weight.size(0) + 1, device=weight.device)
        indptr = torch.searchsorted(row, bounds)
        values = weight.detach()[row, col]
        return cls.from_csr(indptr, col, values, weight.size(1))

    @classmethod
    def from_csr(
        cls, indptr: Tensor, indices: Tensor, values: Tensor, in_features: int
    ) -> "SparseWeight":
        """Look up which columns are read.

        Raises:
            ValueError: If the pointers do not fit the entries, there is not a value
                for each, or a column is out of range.
        """
        check_pattern(indptr, indices, in_features)
        if values.shape != indices.shape:
            raise ValueError(
                f"'values' must have shape {list(indices.shape)} "
                f"(got {list(values.shape)})"
            )
        starts, places = _windows(indices.cpu().long(), in_features)
        device, kind = indices.device, torch.int32
        return cls(
            indptr.to(kind).contiguous(),
            indices.to(kind).contiguous(),
            values.contiguous(),
            in_features,
            starts.to(device, kind),
            places.to(device, kind),
        )

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.indptr.numel() - 1

    def to_dense(self) -> Tensor:
        """The weight ``[out, in]`` with its zeros."""
        outputs = torch.arange(self.out_features, device=self.indices.device)
        row = outputs.repeat_interleave(self.indptr.diff().long())
        dense = self.values.new_zeros(self.out_features, self.in_features)
        return dense.index_put((row, self.indices.long()), self.values)


def _windows(indices: Tensor, in_features: int) -> tuple[Tensor, Tensor]:
    """Fewest windows of 16 columns that cover all that are read, from the left."""
    used, starts = indices.unique(), []
    limit = max(in_features - WINDOW, 0)
    while used.numel():
        starts.append(min(int(used[0]), limit))
        used = used[used >= starts[-1] + WINDOW]
    found = torch.tensor(starts, dtype=torch.long)
    window = torch.searchsorted(found, indices, right=True) - 1
    return found, window * WINDOW + indices - found[window]


def sparse_linear(
    x: Tensor, weight: SparseWeight, bias: Tensor | None = None
) -> Tensor:
    r"""``x @ W.T + bias`` for dense features and a weight that is mostly zeros.

    .. math::
        Y_{io} = b_o + \sum_{e \in \text{row } o} w_e X_{i j(e)}

    64 rows of ``x`` at a time are transposed into a tile that stays in cache; then each
    weight is one multiplication and addition of vectors over the rows. Columns that
    no weight reads are mostly not touched. Costs :math:`N (nnz + F)` operations in
    place of :math:`N F C`; deterministic for any number of threads.

    For inference on the CPU in float32 and float64. Where a gradient is asked for, and
    for other devices, dtypes and sparse ``x``, the weight is made dense in every call.

    Args:
        x: Features.
        weight: The weight.
        bias: One number an output.

    Shapes:
        - **x:** :math:`(*, F)`
        - **bias:** :math:`(C,)`
        - **output:** :math:`(*, C)`

    Raises:
        ValueError: If ``x`` has another number of columns than the weight.

    Example:
        >>> import torch
        >>> from gsparse.kernels.sparse_weight import SparseWeight, sparse_linear
        >>> weight = SparseWeight.from_dense(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
        >>> sparse_linear(torch.tensor([[5.0, 7.0]]), weight)
        tensor([[14.,  0.]])
    """
    if x.dim() == 0 or x.size(-1) != weight.in_features:
        raise ValueError(
            f"'x' must have {weight.in_features} columns (got {list(x.shape)})"
        )
    if not _served(x, weight.values, bias):
        return sparse_linear_reference(x, weight, bias)
    rows = x if x.dim() == 2 else x.reshape(-1, x.size(-1))
    arrays = weight.starts, weight.indptr, weight.places, weight.values
    out = _sparse_linear(rows, *arrays, bias)
    return out if x.dim() == 2 else out.view(*x.shape[:-1], -1)


def _served(x: Tensor, values: Tensor, bias: Tensor | None) -> bool:
    """Whether the kernel covers this call."""
    every = [x, values] if bias is None else [x, values, bias]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in every):
        return False
    if x.layout != torch.strided or x.dtype not in (torch.float32, torch.float64):
        return False
    return all(
        tensor.dtype == x.dtype and tensor.device.type == "cpu" for tensor in every
    )


def sparse_linear_reference(
    x: Tensor, weight: SparseWeight, bias: Tensor | None = None
) -> Tensor:
    """:func:`sparse_linear` in plain torch: the oracle, and for all else."""
    return linear(x, weight.to_dense(), bias)


@torch.library.custom_op("gsparse::sparse_linear", mutates_args=(), device_types="cpu")
def _sparse_linear(
    x: Tensor,
    starts: Tensor,
    indptr: Tensor,
    places: Tensor,
    values: Tensor,
    bias: Tensor | None,
) -> Tensor:
    x = x.detach()
    if x.stride(1) != 1 and x.size(1) > 1:
        x = x.contiguous()
    size = indptr.numel() - 1
    out = x.new_empty(x.size(0), size)
    start = x.new_zeros(size) if bias is None else bias
    work = x.size(0) * (places.numel() + WINDOW * starts.numel())
    tensors = starts, indptr, places, values, start.contiguous()
    arrays = [tensor.detach().numpy() for tensor in tensors]
    run_blocks(_kernel, work, *arrays, x.numpy(), x.stride(0), out.numpy())
    return out


@_sparse_linear.register_fake
def _(
    x: Tensor,
    starts: Tensor,
    indptr: Tensor,
    places: Tensor,
    values: Tensor,
    bias: Tensor | None,
) -> Tensor:
    return x.new_empty(x.shape[0], indptr.shape[0] - 1)


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
def _kernel(
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
