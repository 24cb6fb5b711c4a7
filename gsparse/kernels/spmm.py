"""Sparse matrices with a stored transpose, for differentiable products."""

from functools import cached_property

import torch
from torch import Tensor

from gsparse.kernels.csr_pattern import CsrPattern
from gsparse.kernels.spmm_op import spmm_values


class SparseMatrix:
    r"""A sparse matrix with a transpose that is sorted only once.

    Matrices with the same pattern share it: see :meth:`with_values`.

    Args:
        pattern: Sparsity pattern, sorted by row and by column.
        values: Values of the entries in the order of rows; may require a gradient.

    Shapes:
        - **values:** :math:`(nnz,)`
    """

    def __init__(self, pattern: CsrPattern, values: Tensor) -> None:
        self.pattern = pattern
        self.values = values

    @classmethod
    def from_csr(cls, csr: Tensor) -> "SparseMatrix":
        """Sort the entries of a ``torch.sparse_csr`` matrix by column."""
        indptr, indices = csr.crow_indices(), csr.col_indices()
        # torch.compile could not use a view of a sparse tensor.
        values = csr.values().clone()
        return cls(CsrPattern.from_csr(indptr, indices, csr.size(1)), values)

    @classmethod
    def from_entries(
        cls, row: Tensor, col: Tensor, values: Tensor, size: tuple[int, int]
    ) -> "SparseMatrix":
        """Build from entries in any order; products add entries of equal position."""
        row, order = row.sort(stable=True)
        bounds = torch.arange(size[0] + 1, device=row.device)
        indptr = torch.searchsorted(row, bounds)
        return cls(CsrPattern.from_csr(indptr, col[order], size[1]), values[order])

    def with_values(self, values: Tensor) -> "SparseMatrix":
        """Return a matrix of the same pattern with other values."""
        return SparseMatrix(self.pattern, values)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.pattern.shape

    @cached_property
    def csr(self) -> Tensor:
        """The matrix as a ``torch.sparse_csr`` tensor without gradient."""
        pattern = self.pattern
        return torch.sparse_csr_tensor(
            pattern.indptr,
            pattern.indices,
            self.values.detach(),
            pattern.shape,
            check_invariants=False,
        )


def spmm(matrix: SparseMatrix, dense: Tensor) -> Tensor:
    r"""Multiply a sparse matrix and a dense one, differentiable in both.

    See :func:`~gsparse.kernels.spmm_op.spmm_values`.

    Args:
        matrix: The sparse factor.
        dense: The dense factor.

    Shapes:
        - **matrix:** :math:`(n, f)`
        - **dense:** :math:`(f, c)`
        - **output:** :math:`(n, c)`
    """
    return spmm_values(matrix.pattern, matrix.values, dense)
