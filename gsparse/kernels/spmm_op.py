"""Sparse times dense as torch custom ops: structure, registration, derivatives."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.spmm_cpu import (
    sddmm_kernel,
    spmm_grads_kernel,
    spmm_kernel,
    spmm_narrow_kernel,
)
from gsparse.kernels.threads import run_blocks

#: Rows are handed to threads in this many pieces of about equal work.
NUM_BLOCKS = 64
#: A product with a transpose is added up in so many parts where one stays in the cache
#: and each row has entries enough, as with the features of many nodes.
NUM_PARTS, MOST_PART_BYTES, LEAST_PER_ROW = 8, 2**20, 64

#: No derivative for the tensors of a walk.
NO_WALK: list[Tensor | None] = [None] * 4


class HasTranspose(Protocol):
    """What a product walks: rows, and the same entries by column.

    :class:`CsrPattern` and :class:`~gsparse.kernels.Graph` have it.
    """

    @property
    def indptr(self) -> Tensor: ...
    @property
    def indices(self) -> Tensor: ...
    @property
    def blocks(self) -> Tensor: ...
    @property
    def t_indptr(self) -> Tensor: ...
    @property
    def t_indices(self) -> Tensor: ...
    @property
    def t_perm(self) -> Tensor: ...
    @property
    def t_blocks(self) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class CsrPattern:
    r"""Where the entries of a sparse matrix stand, and the same by column.

    Costs one sort, done once; products and their derivatives in both directions then
    only read it.

    Attributes:
        indptr: Entries of row ``i`` are ``indptr[i]:indptr[i + 1]``.
        indices: Column of each entry.
        t_indptr: The same by column.
        t_indices: Row of each entry in the order of columns.
        t_perm: Place, in the order of rows, of each entry in the order of columns.
        blocks: Row boundaries of pieces of about equal work.
        t_blocks: Column boundaries of such pieces.
        shape: Numbers of rows :math:`n` and columns :math:`f`.
    """

    indptr: Tensor
    indices: Tensor
    t_indptr: Tensor
    t_indices: Tensor
    t_perm: Tensor
    blocks: Tensor
    t_blocks: Tensor
    shape: tuple[int, int]

    @classmethod
    def from_csr(cls, indptr: Tensor, indices: Tensor, num_cols: int) -> "CsrPattern":
        """Sort the entries of a CSR matrix by column.

        Args:
            indptr: Row pointers.
            indices: Column of each entry.
            num_cols: Number of columns.

        Raises:
            ValueError: If the pointers do not fit the entries, or a column is out of
                range.

        Shapes:
            - **indptr:** :math:`(n + 1,)`
            - **indices:** :math:`(nnz,)`
        """
        check_pattern(indptr, indices, num_cols)
        num_rows, size = indptr.numel() - 1, indices.numel()
        device = indices.device
        row = torch.arange(num_rows, device=device).repeat_interleave(indptr.diff())
        column, t_perm = indices.sort(stable=True)
        bounds = torch.arange(num_cols + 1, device=device, dtype=column.dtype)
        t_indptr = torch.searchsorted(column, bounds)
        small = max(size, num_rows, num_cols) < 2**31 - 1
        dtype = torch.int32 if small else torch.int64
        return cls(
            indptr=indptr.to(dtype).contiguous(),
            indices=indices.to(dtype).contiguous(),
            t_indptr=t_indptr.to(dtype),
            t_indices=row[t_perm].to(dtype),
            t_perm=t_perm.to(dtype),
            blocks=_blocks(indptr),
            t_blocks=_blocks(t_indptr),
            shape=(num_rows, num_cols),
        )

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return self.indices.numel()

    def to(self, device: torch.device | str) -> "CsrPattern":
        """The same pattern on another device; itself if it is there."""
        if self.indices.device == torch.device(device):
            return self
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return CsrPattern(**moved)


def check_pattern(indptr: Tensor, indices: Tensor, num_cols: int) -> None:
    """Refuse pointers and columns that are not of one CSR matrix."""
    size = indices.numel()
    first, last = int(indptr[0]), int(indptr[-1])
    if first != 0 or last != size or bool((indptr.diff() < 0).any()):
        raise ValueError(
            f"'indptr' must rise from 0 to the number of entries, {size} "
            f"(got {first} to {last})"
        )
    if size and (int(indices.min()) < 0 or int(indices.max()) >= num_cols):
        raise ValueError(
            f"'indices' must be in [0, {num_cols}) "
            f"(got {int(indices.min())} to {int(indices.max())})"
        )


def _blocks(indptr: Tensor) -> Tensor:
    """Cut the rows in pieces of about equal ``entries + rows``; int64 ``[B + 1]``."""
    num_rows = indptr.numel() - 1
    work = indptr.long() + torch.arange(num_rows + 1, device=indptr.device)
    step = torch.arange(NUM_BLOCKS + 1, device=indptr.device)
    cut = torch.searchsorted(work, work[-1] * step // NUM_BLOCKS)
    cut[0], cut[-1] = 0, num_rows
    return cut


def spmm_values(pattern: HasTranspose, values: Tensor, dense: Tensor) -> Tensor:
    r"""The product of a sparse matrix and a dense one, differentiable in both.

    .. math::
        Y_{ic} = \sum_{e \in \text{row } i} a_e X_{j(e), c}

    Deterministic for any number of threads: a row is summed by one thread, in order.
    At 64 columns about twice as fast as ``torch.sparse.mm`` with MKL, at 16 equal;
    the derivative with respect to ``dense`` walks the stored transpose, where torch
    builds one in every step. Differentiable any number of times.

    Args:
        pattern: Where the entries stand; a :class:`CsrPattern` or a ``Graph``.
        values: Their values, in the order of the rows.
        dense: The dense factor, of the dtype of ``values``.

    Returns:
        The product, on the device of ``dense``.

    Shapes:
        - **values:** :math:`(nnz,)`
        - **dense:** :math:`(f, c)`
        - **output:** :math:`(n, c)`

    Raises:
        ValueError: If shapes do not fit.
        TypeError: If the dtypes differ or are no floats.
    """
    _check_factors(pattern, values, dense)
    if dense.device.type != "cpu" or dense.dtype not in (torch.float32, torch.float64):
        return spmm_reference(pattern, values, dense)
    return spmm_walks(values, dense, *walks(pattern))


def spmm_reference(pattern: HasTranspose, values: Tensor, dense: Tensor) -> Tensor:
    """:func:`spmm_values` in plain torch: the oracle, and for other devices."""
    num_rows = pattern.indptr.numel() - 1
    nodes = torch.arange(num_rows, device=dense.device)
    row = nodes.repeat_interleave(pattern.indptr.diff().long())
    message = values.unsqueeze(-1) * dense[pattern.indices.long()]
    return dense.new_zeros(num_rows, dense.size(1)).index_add(0, row, message)


def sddmm(pattern: HasTranspose, left: Tensor, right: Tensor) -> Tensor:
    r"""Inner products at the entries of a sparse matrix, differentiable in both.

    .. math::
        a_e = \langle L_{i(e)}, R_{j(e)} \rangle

    A score of every edge from vectors of its end points, without a tensor of edges
    times channels.

    Args:
        pattern: Where the entries stand.
        left: A vector a row.
        right: A vector a column.

    Shapes:
        - **left:** :math:`(n, c)`; **right:** :math:`(f, c)`
        - **output:** :math:`(nnz,)`, in the order of the rows
    """
    if left.device.type != "cpu" or left.dtype not in (torch.float32, torch.float64):
        nodes = torch.arange(pattern.indptr.numel() - 1, device=left.device)
        row = nodes.repeat_interleave(pattern.indptr.diff().long())
        return (left[row] * right[pattern.indices.long()]).sum(-1)
    return _sddmm(left, right, *walks(pattern))


def _check_factors(pattern: HasTranspose, values: Tensor, dense: Tensor) -> None:
    size, columns = pattern.indices.numel(), pattern.t_indptr.numel() - 1
    if values.shape != (size,):
        raise ValueError(
            f"'values' must have shape [{size}] (got {list(values.shape)})"
        )
    if dense.dim() != 2 or dense.size(0) != columns:
        raise ValueError(
            f"'dense' must have shape [{columns}, c] (got {list(dense.shape)})"
        )
    if values.dtype != dense.dtype or not dense.is_floating_point():
        raise TypeError(
            f"'values' and 'dense' must have one floating-point dtype "
            f"(got {values.dtype} and {dense.dtype})"
        )


def walks(pattern: HasTranspose) -> tuple[list[Tensor], list[Tensor]]:
    """Both directions as lists: pointers, ends, places of values, blocks."""
    none = pattern.indices.new_empty(0)
    forward = [pattern.indptr, pattern.indices, none, pattern.blocks]
    backward = [pattern.t_indptr, pattern.t_indices, pattern.t_perm, pattern.t_blocks]
    return forward, backward


def arrays(walk: list[Tensor]) -> tuple[Any, ...]:
    """Blocks, pointers, ends and, if they are not in order, places of values."""
    indptr, indices, perm, blocks = (tensor.numpy() for tensor in walk)
    return blocks, indptr, indices, perm if perm.shape == indices.shape else None


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()


@torch.library.custom_op("gsparse::spmm", mutates_args=(), device_types="cpu")
def spmm_walks(
    values: Tensor, dense: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    """Product along ``walk``; ``back`` is the other direction, for the derivative."""
    dense = dense.detach()
    if dense.stride(1) != 1 and dense.size(1) > 1:
        dense = dense.contiguous()
    out = dense.new_empty(walk[0].numel() - 1, dense.size(1))
    work = values.numel() * dense.size(1)
    factors = _array(values), dense.numpy(), dense.stride(0)
    if _is_narrow(out, walk):
        parts = out.new_empty(NUM_PARTS, *out.shape)
        blocks, indptr, indices, _ = arrays(back)
        ends = np.linspace(0, len(blocks) - 1, NUM_PARTS + 1).astype(np.int64)
        walked = blocks[ends], indptr, indices
        run_blocks(spmm_narrow_kernel, work, *walked, *factors, parts.numpy())
        return parts.sum(0)
    run_blocks(spmm_kernel, work, *arrays(walk), *factors, out.numpy())
    return out


def _is_narrow(out: Tensor, walk: list[Tensor]) -> bool:
    """Whether a product with a transpose is faster added up in parts."""
    _, indices, perm, _ = walk
    transposed = perm.numel() == indices.numel()
    full = indices.numel() >= LEAST_PER_ROW * out.size(0)
    return transposed and full and out.nbytes <= MOST_PART_BYTES


@spmm_walks.register_fake
def _(values: Tensor, dense: Tensor, walk: list[Tensor], back: list[Tensor]) -> Tensor:
    return dense.new_empty(walk[0].shape[0] - 1, dense.shape[1])


@torch.library.custom_op("gsparse::sddmm", mutates_args=(), device_types="cpu")
def _sddmm(
    left: Tensor, right: Tensor, walk: list[Tensor], back: list[Tensor]
) -> Tensor:
    """``<left[i], right[j]>`` of every entry ``(i, j)``, in the order of values."""
    out = left.new_empty(walk[1].numel())
    work = out.numel() * left.size(1)
    factors = _array(left), _array(right), out.numpy()
    run_blocks(sddmm_kernel, work, *arrays(walk), *factors)
    return out


@_sddmm.register_fake
def _(left: Tensor, right: Tensor, walk: list[Tensor], back: list[Tensor]) -> Tensor:
    return left.new_empty(walk[1].shape[0])


@torch.library.custom_op("gsparse::spmm_grads", mutates_args=(), device_types="cpu")
def _spmm_grads(
    values: Tensor,
    dense: Tensor,
    grad: Tensor,
    walk: list[Tensor],
    back: list[Tensor],
) -> tuple[Tensor, Tensor]:
    """Derivatives of a product by both factors, in one walk of ``back``."""
    inner = torch.empty_like(values, memory_format=torch.contiguous_format)
    out = torch.empty_like(dense, memory_format=torch.contiguous_format)
    given = (_array(it) for it in (values, dense, grad))
    found = inner.numpy(), out.numpy()
    work = 2 * values.numel() * dense.size(1)
    run_blocks(spmm_grads_kernel, work, *arrays(back), *given, *found)
    return inner, out


@_spmm_grads.register_fake
def _(
    values: Tensor,
    dense: Tensor,
    grad: Tensor,
    walk: list[Tensor],
    back: list[Tensor],
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(values), torch.empty_like(dense)


def _save_three(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
    *factors, ctx.walk, ctx.back = inputs
    ctx.save_for_backward(*factors)


def _spmm_grads_backward(ctx: Any, inner: Tensor, out: Tensor) -> tuple[Any, ...]:  # noqa: ANN401
    values, dense, grad = ctx.saved_tensors
    to_values = _sddmm(grad, out, ctx.walk, ctx.back)
    to_dense = spmm_walks(inner, grad, ctx.back, ctx.walk)
    to_grad = spmm_walks(inner, dense, ctx.walk, ctx.back)
    to_grad = to_grad + spmm_walks(values, out, ctx.walk, ctx.back)
    return to_values, to_dense, to_grad, NO_WALK, NO_WALK


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
    first, second, ctx.walk, ctx.back = inputs
    ctx.save_for_backward(first, second)


def _spmm_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # noqa: ANN401
    values, dense = ctx.saved_tensors
    needs_values, needs_dense, *_ = ctx.needs_input_grad
    if needs_values and needs_dense and not _is_narrow(dense, ctx.back):
        return *_spmm_grads(values, dense, grad, ctx.walk, ctx.back), NO_WALK, NO_WALK
    to_values = _sddmm(grad, dense, ctx.walk, ctx.back) if needs_values else None
    to_dense = spmm_walks(values, grad, ctx.back, ctx.walk) if needs_dense else None
    return to_values, to_dense, NO_WALK, NO_WALK


def _sddmm_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # noqa: ANN401
    left, right = ctx.saved_tensors
    needs_left, needs_right, *_ = ctx.needs_input_grad
    to_left = spmm_walks(grad, right, ctx.walk, ctx.back) if needs_left else None
    to_right = spmm_walks(grad, left, ctx.back, ctx.walk) if needs_right else None
    return to_left, to_right, NO_WALK, NO_WALK


_spmm_grads.register_autograd(_spmm_grads_backward, setup_context=_save_three)
spmm_walks.register_autograd(_spmm_backward, setup_context=_save)
_sddmm.register_autograd(_sddmm_backward, setup_context=_save)
