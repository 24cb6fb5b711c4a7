"""Dense features times a sparse weight: one vector operation per non-zero weight."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import linear

from gsparse.kernels.checks import (
    check_once,
    check_pointers,
    check_range,
    check_shape,
)
from gsparse.kernels.csr_pattern import check_pattern
from gsparse.kernels.differentiable import operator
from gsparse.kernels.sparse_weight_cpu import WINDOW, sparse_linear_kernel
from gsparse.kernels.threads import run_blocks
from gsparse.kernels.tracing import is_transformed


@dataclass(frozen=True, eq=False)
class SparseWeight:
    r"""A weight as a CSR matrix, with the windows of feature columns that it reads.

    The windows skip columns that no weight reads where that saves a window.

    Attributes:
        indptr: Weights of output ``o`` are ``indptr[o]:indptr[o + 1]``.
        indices: Input of each weight.
        values: The weights.
        in_features: Number of inputs.
        starts: First column of each window of columns that some weight reads.
        places: Position of each weight's input in the windows.
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
        """Build from a CSR matrix.

        Raises:
            ValueError: If the pointers do not match the entries, there is not one value
                for each, or a column is out of range.
        """
        check_pattern(indptr, indices, in_features)
        check_shape("values", values, indices.shape)
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
        """Return the weight ``[out, in]`` with its zeros."""
        outputs = torch.arange(self.out_features, device=self.indices.device)
        row = outputs.repeat_interleave(self.indptr.diff().long())
        dense = self.values.new_zeros(self.out_features, self.in_features)
        return dense.index_put((row, self.indices.long()), self.values)


def _windows(indices: Tensor, in_features: int) -> tuple[Tensor, Tensor]:
    """Cover all columns that are read by the fewest windows of 16, from the left."""
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
    r"""Compute ``x @ W.T + bias`` for a weight that is mostly zeros.

    .. math::
        Y_{io} = b_o + \sum_{e \in \text{row } o} w_e X_{i j(e)}

    64 rows of ``x`` at a time are transposed into a tile that stays in the cache; each
    weight then takes one multiplication and addition of vectors over the rows. Most
    columns that no weight reads are skipped. Costs :math:`N (nnz + F)` operations
    instead of :math:`N F C`; deterministic for any number of threads.

    The kernel is for inference on the CPU in float32 and float64. If a gradient is
    needed, and for other devices, dtypes and sparse ``x``, the weight is made dense in
    every call.

    Args:
        x: Features.
        weight: The weight.
        bias: One number per output.

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
    if is_transformed():
        return False
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
    """Compute :func:`sparse_linear` in plain torch, for inputs without a kernel."""
    return linear(x, weight.to_dense(), bias)


def _run(
    x: Tensor,
    starts: Tensor,
    indptr: Tensor,
    places: Tensor,
    values: Tensor,
    bias: Tensor | None,
) -> Tensor:
    _check(x, starts, indptr, places, values, bias)
    x = x.detach()
    if x.stride(1) != 1 and x.size(1) > 1:
        x = x.contiguous()
    size = indptr.numel() - 1
    out = x.new_empty(x.size(0), size)
    start = x.new_zeros(size) if bias is None else bias
    work = x.size(0) * (places.numel() + WINDOW * starts.numel())
    tensors = starts, indptr, places, values, start.contiguous()
    arrays = [tensor.detach().numpy() for tensor in tensors]
    run_blocks(sparse_linear_kernel, work, *arrays, x.numpy(), x.stride(0), out.numpy())
    return out


def _check(
    x: Tensor,
    starts: Tensor,
    indptr: Tensor,
    places: Tensor,
    values: Tensor,
    bias: Tensor | None,
) -> None:
    """Raise an error for sizes and indices that do not match."""
    needed = check_once([starts, indptr, places], _check_contents)
    check_shape("starts", starts, (starts.numel(),))
    if x.dim() != 2 or x.size(1) < needed:
        raise ValueError(
            f"'x' must have shape [n, F] with at least {needed} columns "
            f"(got {list(x.shape)})"
        )
    check_shape("values", values, places.shape, x.dtype)
    if bias is not None:
        check_shape("bias", bias, (indptr.numel() - 1,), x.dtype)


def _check_contents(starts: Tensor, indptr: Tensor, places: Tensor) -> int:
    """Check the ranges of indices; return the number of columns that are needed."""
    check_pointers("indptr", indptr, places.numel())
    check_range("places", places, 0, WINDOW * starts.numel())
    check_range("starts", starts, 0, 2**31 - WINDOW)
    if not places.numel():
        return 0
    window = places.long() // WINDOW
    columns = starts.long()[window] + places % WINDOW
    last = int(starts.max())  # all windows but the first are read as a whole
    return max(int(columns.max()) + 1, last + WINDOW if last else 0)


def _like(
    x: Tensor,
    starts: Tensor,
    indptr: Tensor,
    places: Tensor,
    values: Tensor,
    bias: Tensor | None,
) -> Tensor:
    return x.new_empty(x.shape[0], indptr.shape[0] - 1)


_sparse_linear = operator("gsparse::sparse_linear", _run, fake=_like)
