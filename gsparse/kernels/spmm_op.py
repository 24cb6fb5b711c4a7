"""Sparse times dense as torch operators: shapes, kernel calls, derivatives."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.checks import check_shape
from gsparse.kernels.csr_pattern import (
    NO_WALK,
    HasTranspose,
    arrays,
    check_walks,
    walks,
)
from gsparse.kernels.differentiable import differentiable
from gsparse.kernels.spmm_cpu import (
    sddmm_kernel,
    spmm_grads_kernel,
    spmm_kernel,
    spmm_narrow_kernel,
)
from gsparse.kernels.threads import array, run_blocks

# ruff: noqa: ANN401 (torch's contexts are untyped)

#: A product with a transpose is summed in this many parts if a part stays in the cache
#: and its rows have at least 64 entries on average (features of many nodes).
NUM_PARTS, MOST_PART_BYTES, LEAST_PER_ROW = 8, 2**20, 64


def spmm_values(pattern: HasTranspose, values: Tensor, dense: Tensor) -> Tensor:
    r"""Multiply a sparse matrix and a dense one, differentiable in both.

    .. math::
        Y_{ic} = \sum_{e \in \text{row } i} a_e X_{j(e), c}

    Deterministic for any number of threads: one thread sums a row, in order. It is
    about twice as fast as ``torch.sparse.mm`` with MKL at 64 columns and equally fast
    at 16. The derivative with respect to ``dense`` walks the stored transpose, while
    torch builds one in every step. Differentiable any number of times.

    Args:
        pattern: Sparsity pattern; a :class:`CsrPattern` or a ``Graph``.
        values: Values of the entries in the order of the rows.
        dense: The dense factor, of the dtype of ``values``.

    Returns:
        The product, on the device of ``dense``.

    Shapes:
        - **values:** :math:`(nnz,)`
        - **dense:** :math:`(f, c)`
        - **output:** :math:`(n, c)`

    Raises:
        ValueError: If shapes do not match.
        TypeError: If the dtypes differ or are not floating-point.
    """
    if dense.device.type != "cpu" or dense.dtype not in (torch.float32, torch.float64):
        size = pattern.indptr.numel() - 1, pattern.t_indptr.numel() - 1
        _check_product(values, dense, (*size, pattern.indices.numel()))
        return spmm_reference(pattern, values, dense)
    return spmm_walks(values, dense, *walks(pattern))


def spmm_reference(pattern: HasTranspose, values: Tensor, dense: Tensor) -> Tensor:
    """Compute :func:`spmm_values` in plain torch, for tests and other devices."""
    return _product_reference(values, dense, *walks(pattern))


def sddmm(pattern: HasTranspose, left: Tensor, right: Tensor) -> Tensor:
    r"""Compute inner products at the entries of a matrix, differentiable in both.

    .. math::
        a_e = \langle L_{i(e)}, R_{j(e)} \rangle

    For example, scores of edges from vectors of their end points, without a tensor of
    edges times channels.

    Args:
        pattern: Sparsity pattern.
        left: One vector per row.
        right: One vector per column.

    Shapes:
        - **left:** :math:`(n, c)`; **right:** :math:`(f, c)`
        - **output:** :math:`(nnz,)`, in the order of the rows
    """
    if left.device.type != "cpu" or left.dtype not in (torch.float32, torch.float64):
        return _inner_products_reference(left, right, *walks(pattern))
    return _sddmm(left, right, *walks(pattern))


def _product(
    values: Tensor, dense: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    """Multiply along ``walk``; the derivative needs ``back``, the other direction."""
    _check_product(values, dense, check_walks(walk, back))
    dense = dense.detach()
    if dense.stride(1) != 1 and dense.size(1) > 1:
        dense = dense.contiguous()
    out = dense.new_empty(walk[0].numel() - 1, dense.size(1))
    work = values.numel() * dense.size(1)
    factors = array(values), dense.numpy(), dense.stride(0)
    if _is_narrow(out, walk):
        parts = out.new_empty(NUM_PARTS, *out.shape)
        blocks, indptr, indices, _ = arrays(back)
        ends = np.linspace(0, len(blocks) - 1, NUM_PARTS + 1).astype(np.int64)
        walked = blocks[ends], indptr, indices
        run_blocks(spmm_narrow_kernel, work, *walked, *factors, parts.numpy())
        return parts.sum(0)
    run_blocks(spmm_kernel, work, *arrays(walk), *factors, out.numpy())
    return out


def _check_product(values: Tensor, dense: Tensor, size: tuple[int, int, int]) -> None:
    _, num_cols, num_entries = size
    check_shape("values", values, (num_entries,))
    if dense.dim() != 2 or dense.size(0) != num_cols:
        raise ValueError(
            f"'dense' must have shape [{num_cols}, c] (got {list(dense.shape)})"
        )
    if values.dtype != dense.dtype or not dense.is_floating_point():
        raise TypeError(
            f"'values' and 'dense' must have one floating-point dtype "
            f"(got {values.dtype} and {dense.dtype})"
        )


def _is_narrow(out: Tensor, walk: list[Tensor]) -> bool:
    """Whether a product with a transpose is faster when summed in parts."""
    _, indices, perm, _ = walk
    transposed = perm.numel() == indices.numel()
    full = indices.numel() >= LEAST_PER_ROW * out.size(0)
    return transposed and full and out.nbytes <= MOST_PART_BYTES


def _inner_products(
    left: Tensor, right: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    """Return ``<left[i], right[j]>`` of each entry, in the order of values."""
    num_rows, num_cols, size = check_walks(walk, back)
    check_shape("left", left, (num_rows, *left.shape[1:2]))
    check_shape("right", right, (num_cols, left.size(1)), left.dtype)
    out = left.new_empty(size)
    work = out.numel() * left.size(1)
    factors = array(left), array(right), out.numpy()
    run_blocks(sddmm_kernel, work, *arrays(walk), *factors)
    return out


def _both_derivatives(
    values: Tensor,
    dense: Tensor,
    grad: Tensor,
    walk: list[Tensor],
    back: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of both factors of a product in one walk of ``back``."""
    sizes = check_walks(walk, back)
    num_rows = sizes[0]
    _check_product(values, dense, sizes)
    check_shape("grad", grad, (num_rows, dense.size(1)), dense.dtype)
    inner, out = _empty_like(values, dense)
    given = (array(it) for it in (values, dense, grad))
    found = inner.numpy(), out.numpy()
    work = 2 * values.numel() * dense.size(1)
    run_blocks(spmm_grads_kernel, work, *arrays(back), *given, *found)
    return inner, out


def _empty_like(values: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
    return values.new_empty(values.shape), dense.new_empty(dense.shape)


def _entries_of(walk: list[Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return row and column of each step of a walk, and the position of its value."""
    indptr, indices, perm, _ = walk
    nodes = torch.arange(indptr.numel() - 1, device=indptr.device)
    row = nodes.repeat_interleave(indptr.diff().long())
    return row, indices.long(), perm.long() if perm.numel() else None


def _product_reference(
    values: Tensor, dense: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    row, col, place = _entries_of(walk)
    value = values if place is None else values[place]
    out = dense.new_zeros(walk[0].numel() - 1, dense.size(1))
    return out.index_add(0, row, value.unsqueeze(-1) * dense[col])


def _inner_products_reference(
    left: Tensor, right: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    row, col, place = _entries_of(walk)
    inner = (left[row] * right[col]).sum(-1)
    return inner if place is None else inner[place.argsort()]


def _both_reference(
    values: Tensor, dense: Tensor, grad: Tensor, walk: list[Tensor], back: list[Tensor]
) -> tuple[Tensor, Tensor]:
    inner = _inner_products_reference(grad, dense, walk, back)
    return inner, _product_reference(values, grad, back, walk)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    *factors, ctx.walk, ctx.back = inputs
    ctx.save_for_backward(*factors)


def _of_product(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    values, dense = ctx.saved_tensors
    needs_values, needs_dense, *_ = ctx.needs_input_grad
    if needs_values and needs_dense and not _is_narrow(dense, ctx.back):
        return *_grads(values, dense, grad, ctx.walk, ctx.back), NO_WALK, NO_WALK
    to_values = _sddmm(grad, dense, ctx.walk, ctx.back) if needs_values else None
    to_dense = spmm_walks(values, grad, ctx.back, ctx.walk) if needs_dense else None
    return to_values, to_dense, NO_WALK, NO_WALK


def _of_inner_products(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    left, right = ctx.saved_tensors
    needs_left, needs_right, *_ = ctx.needs_input_grad
    to_left = spmm_walks(grad, right, ctx.walk, ctx.back) if needs_left else None
    to_right = spmm_walks(grad, left, ctx.back, ctx.walk) if needs_right else None
    return to_left, to_right, NO_WALK, NO_WALK


def _of_both(ctx: Any, inner: Tensor, out: Tensor) -> tuple[Any, ...]:
    values, dense, grad = ctx.saved_tensors
    to_values = _sddmm(grad, out, ctx.walk, ctx.back)
    to_dense = spmm_walks(inner, grad, ctx.back, ctx.walk)
    to_grad = spmm_walks(inner, dense, ctx.walk, ctx.back)
    to_grad = to_grad + spmm_walks(values, out, ctx.walk, ctx.back)
    return to_values, to_dense, to_grad, NO_WALK, NO_WALK


spmm_walks = differentiable(
    "gsparse::spmm",
    _product,
    fake=lambda values, dense, walk, back: dense.new_empty(
        walk[0].shape[0] - 1, dense.shape[1]
    ),
    save=_save,
    backward=_of_product,
    reference=_product_reference,
)
_sddmm = differentiable(
    "gsparse::sddmm",
    _inner_products,
    fake=lambda left, right, walk, back: left.new_empty(walk[1].shape[0]),
    save=_save,
    backward=_of_inner_products,
    reference=_inner_products_reference,
)
_grads = differentiable(
    "gsparse::spmm_grads",
    _both_derivatives,
    fake=lambda values, dense, *rest: _empty_like(values, dense),
    save=_save,
    backward=_of_both,
    reference=_both_reference,
)
