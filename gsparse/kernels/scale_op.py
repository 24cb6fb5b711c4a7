"""Entries of a sparse matrix, times a factor of their row and one of their column."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.csr_pattern import NO_WALK, HasTranspose, arrays, walks
from gsparse.kernels.differentiable import differentiable
from gsparse.kernels.scalar import data
from gsparse.kernels.spmm_op import spmm_walks
from gsparse.kernels.threads import jit, run_blocks, take_block

# ruff: noqa: ANN401 (torch's contexts are untyped)


@jit()
def scale_kernel(
    counter: np.ndarray,
    blocks: np.ndarray,
    indptr: np.ndarray,
    indices: np.ndarray,
    values: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    out: np.ndarray,
) -> None:
    """``out[e] = values[e] * left[i] * right[indices[e]]`` for every entry of row i."""
    v, r, j, o = data(values), data(right), data(indices), data(out)
    while True:
        block = take_block(counter)
        if block >= blocks.shape[0] - 1:
            break
        for i in range(blocks[block], blocks[block + 1]):
            factor = left[i]
            for e in range(indptr[i], indptr[i + 1]):
                o[e] = v[e] * (factor * r[np.intp(j[e])])


def scale_entries(
    pattern: HasTranspose, values: Tensor, left: Tensor, right: Tensor
) -> Tensor:
    r"""Entries scaled from both sides, differentiable in all factors, any number of
    times.

    .. math::
        b_e = l_{i(e)}\, a_e\, r_{j(e)}

    Args:
        pattern: Where the entries stand.
        values: The entries :math:`a`, in the order of the rows.
        left: A number a row.
        right: A number a column.

    Shapes:
        - **values**, **output:** :math:`(nnz,)`
        - **left:** :math:`(n,)`; **right:** :math:`(f,)`
    """
    if left.device.type != "cpu" or left.dtype not in (torch.float32, torch.float64):
        nodes = torch.arange(left.numel(), device=left.device)
        row = nodes.repeat_interleave(pattern.indptr.diff().long())
        return values * left[row] * right[pattern.indices.long()]
    return _scale(values, left, right, *walks(pattern))


def _scaled(
    values: Tensor, left: Tensor, right: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    out = _like(values, left, right, walk, back)
    factors = (it.detach().contiguous().numpy() for it in (values, left, right))
    ends = arrays(walk)[:3]
    run_blocks(scale_kernel, values.numel(), *ends, *factors, out.numpy())
    return out


def _like(
    values: Tensor, left: Tensor, right: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    return torch.empty_like(values.detach(), memory_format=torch.contiguous_format)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *factors, ctx.walk, ctx.back = inputs
    ctx.save_for_backward(*factors)


def _backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    values, left, right = ctx.saved_tensors
    of_values, of_left, of_right, *_ = ctx.needs_input_grad
    out: list[Tensor | None] = [None, None, None]
    if of_values:
        out[0] = _scale(grad, left, right, ctx.walk, ctx.back)
    both = grad * values if of_left or of_right else grad
    if of_left:
        out[1] = spmm_walks(both, right.unsqueeze(1), ctx.walk, ctx.back).squeeze(1)
    if of_right:
        out[2] = spmm_walks(both, left.unsqueeze(1), ctx.back, ctx.walk).squeeze(1)
    return *out, NO_WALK, NO_WALK


_scale = differentiable(
    "gsparse::scale", _scaled, fake=_like, save=_save, backward=_backward
)
