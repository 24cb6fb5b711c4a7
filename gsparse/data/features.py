"""Features as dense or compressed rows."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def compressed_rows(
    row: NDArray[np.int64], col: NDArray[np.int64], shape: tuple[int, int]
) -> Tensor:
    """A 0/1 ``torch.sparse_csr`` matrix with ones at (row, col), sorted by row."""
    crow = np.zeros(shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(row, minlength=shape[0]), out=crow[1:])
    ones = torch.ones(col.size)
    return csr_matrix(torch.from_numpy(crow), torch.from_numpy(col), ones, shape)


def dense_rows(
    row: NDArray[np.int64], col: NDArray[np.int64], shape: tuple[int, int]
) -> Tensor:
    """The same as a dense matrix."""
    x = torch.zeros(shape)
    x[torch.from_numpy(row), torch.from_numpy(col)] = 1.0
    return x


def csr_matrix(
    crow: Tensor, col: Tensor, values: Tensor, shape: tuple[int, int]
) -> Tensor:
    """A checked ``torch.sparse_csr`` matrix."""
    return torch.sparse_csr_tensor(crow, col, values, shape, check_invariants=True)


def to_csr(x: Tensor) -> Tensor:
    """``x`` as ``torch.sparse_csr`` float32, without a second dense copy."""
    if x.layout == torch.sparse_csr:
        return x
    if x.layout != torch.strided:
        x = x.to_dense()
    row, col = x.nonzero(as_tuple=True)
    crow = row.new_zeros(x.size(0) + 1)
    crow[1:] = row.bincount(minlength=x.size(0)).cumsum(0)
    return csr_matrix(crow, col, x[row, col].float(), (x.size(0), x.size(1)))


def take_rows(x: Tensor, rows: Tensor) -> Tensor:
    """``x[rows]``, for dense and ``torch.sparse_csr`` matrices."""
    if x.layout != torch.sparse_csr:
        return x[rows]
    crow, length = x.crow_indices(), x.crow_indices().diff()[rows]
    new_crow = torch.cat([crow.new_zeros(1), length.cumsum(0, dtype=crow.dtype)])
    shift = (crow[rows] - new_crow[:-1]).repeat_interleave(length)
    entry = shift + torch.arange(len(shift), device=shift.device)
    col, values = x.col_indices()[entry], x.values()[entry]
    return csr_matrix(new_crow, col, values, (len(rows), x.size(1)))


def normalize_rows(x: Tensor) -> Tensor:
    """Every row divided by its sum; rows of zeros stay."""
    if x.layout != torch.sparse_csr:
        total = x.sum(dim=1, keepdim=True)
        return x / total.where(total != 0, torch.ones_like(total))
    length = x.crow_indices().diff()
    row = torch.arange(x.size(0), device=x.device).repeat_interleave(length)
    values = x.values()
    total = values.new_zeros(x.size(0)).index_add_(0, row, values)
    values = values / total.where(total != 0, torch.ones_like(total))[row]
    shape = (x.size(0), x.size(1))
    return csr_matrix(x.crow_indices(), x.col_indices(), values, shape)
