"""Dense and compressed feature matrices."""

import warnings

import torch
from torch import Tensor


def csr_matrix(
    crow: Tensor, col: Tensor, values: Tensor, shape: list[int] | tuple[int, ...]
) -> Tensor:
    """Build a ``torch.sparse_csr`` matrix and check its invariants."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(crow, col, values, shape, check_invariants=True)


def to_csr(x: Tensor) -> Tensor:
    """Convert a matrix to ``torch.sparse_csr`` in float32.

    Shapes:
        - **x**, **output:** :math:`(N, F)`
    """
    return x if x.layout == torch.sparse_csr else x.to_sparse_csr().float()


def take_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Return ``x[rows]`` of a dense or ``torch.sparse_csr`` matrix.

    Shapes:
        - **x:** :math:`(N, F)`
        - **rows:** :math:`(n,)`
        - **output:** :math:`(n, F)`
    """
    if x.layout != torch.sparse_csr:
        return x[rows]
    crow, length = x.crow_indices(), x.crow_indices().diff()[rows]
    new_crow = torch.cat([crow.new_zeros(1), length.cumsum(0, dtype=crow.dtype)])
    shift = (crow[rows] - new_crow[:-1]).repeat_interleave(length)
    entry = shift + torch.arange(len(shift), device=shift.device)
    col, values = x.col_indices()[entry], x.values()[entry]
    return csr_matrix(new_crow, col, values, (len(rows), x.size(1)))


def normalize_rows(x: Tensor) -> Tensor:
    """Divide every row by its sum; rows of zeros are unchanged.

    Shapes:
        - **x**, **output:** :math:`(N, F)`, dense or ``torch.sparse_csr``
    """
    if x.layout != torch.sparse_csr:
        total = x.sum(dim=1, keepdim=True)
        return x / total.where(total != 0, 1)
    length = x.crow_indices().diff()
    row = torch.arange(x.size(0), device=x.device).repeat_interleave(length)
    total = x.values().new_zeros(x.size(0)).index_add_(0, row, x.values())
    values = x.values() / total.where(total != 0, 1)[row]
    return csr_matrix(x.crow_indices(), x.col_indices(), values, (x.size(0), x.size(1)))
