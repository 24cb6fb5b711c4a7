"""Sparse times dense, with gradients: sparse features and weighted sums over edges."""

from typing import NamedTuple

import torch
from torch import Tensor


class SparseMatrix(NamedTuple):
    r"""A sparse matrix and its transpose, both in CSR, built once.

    The backward pass of a product needs the transpose; building it in every step, as
    ``torch.sparse.mm`` does, costs more than the product.

    Shapes:
        - **csr:** :math:`(n, f)` ``torch.sparse_csr``
        - **transpose:** :math:`(f, n)` ``torch.sparse_csr``
        - **order:** :math:`(nnz,)`, place in ``csr`` of each value of ``transpose``
    """

    csr: Tensor
    transpose: Tensor
    order: Tensor

    @classmethod
    def from_csr(cls, csr: Tensor) -> "SparseMatrix":
        """Build the transpose of a ``torch.sparse_csr`` matrix: one sort."""
        num_rows, num_cols = csr.shape
        ptr, col = csr.crow_indices().long(), csr.col_indices().long()
        row = torch.repeat_interleave(
            torch.arange(num_rows, device=ptr.device), ptr.diff()
        )
        col_sorted, order = col.sort(stable=True)
        starts = torch.arange(num_cols + 1, device=ptr.device)
        t_ptr = torch.searchsorted(col_sorted, starts)
        small = (
            torch.int32
            if max(csr.values().numel(), *csr.shape) < 2**31
            else torch.int64
        )
        forward = _csr(ptr.to(small), col.to(small), csr.values(), (num_rows, num_cols))
        backward = _csr(
            t_ptr.to(small),
            row[order].to(small),
            csr.values()[order],
            (num_cols, num_rows),
        )
        return cls(forward, backward, order)

    @classmethod
    def from_entries(
        cls, row: Tensor, col: Tensor, values: Tensor, size: tuple[int, int]
    ) -> "SparseMatrix":
        """Build from entries in any order; entries of one place add up in products."""
        row, order = row.sort(stable=True)
        ptr = torch.searchsorted(row, torch.arange(size[0] + 1, device=row.device))
        return cls.from_csr(_csr(ptr, col[order], values[order], size))

    def with_values(
        self, values: Tensor, transposed: Tensor | None = None
    ) -> "SparseMatrix":
        """The same pattern with other values, given in one or in both orders."""
        a, t = self.csr, self.transpose
        if transposed is None:
            transposed = values[self.order]
        return SparseMatrix(
            _csr(a.crow_indices(), a.col_indices(), values, a.shape),
            _csr(t.crow_indices(), t.col_indices(), transposed, t.shape),
            self.order,
        )


def _csr(ptr: Tensor, col: Tensor, values: Tensor, size: tuple[int, ...]) -> Tensor:
    return torch.sparse_csr_tensor(ptr, col, values, size, check_invariants=False)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, csr: Tensor, transpose: Tensor, dense: Tensor) -> Tensor:  # noqa: ANN001
        ctx.transpose = transpose
        return csr @ dense

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, None, Tensor]:  # noqa: ANN001
        return None, None, _Product.apply(ctx.transpose, None, grad)


def spmm(matrix: SparseMatrix, dense: Tensor) -> Tensor:
    r"""The product of a constant sparse matrix and a dense one.

    Args:
        matrix: The sparse factor; it gets no gradient.
        dense: The dense factor.

    Shapes:
        - **matrix:** :math:`(n, f)`
        - **dense:** :math:`(f, c)`
        - **output:** :math:`(n, c)`
    """
    if dense.requires_grad and torch.is_grad_enabled():
        return _Product.apply(matrix.csr, matrix.transpose, dense)
    return matrix.csr @ dense
