"""Sparsity pattern of a matrix, by row and by column."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gsparse.kernels.checks import check_once, check_pointers, check_range, check_shape
from gsparse.kernels.graph import Graph

#: Rows are distributed to threads in this many pieces of about equal work.
NUM_BLOCKS = 64

#: Gradients of the tensors of a walk: there are none.
NO_WALK: list[Tensor | None] = [None] * 4


@dataclass(frozen=True, eq=False)
class CsrPattern:
    r"""Sparsity pattern of a matrix, sorted by row and by column.

    The entries are sorted once; products and their derivatives in both directions only
    read the pattern.

    Attributes:
        indptr: Entries of row ``i`` are ``indptr[i]:indptr[i + 1]``.
        indices: Column of each entry.
        t_indptr: Entries of column ``j`` are ``t_indptr[j]:t_indptr[j + 1]``.
        t_indices: Row of each entry in the order of columns.
        t_perm: Position by row of each entry in the order of columns.
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
        """Return the pattern on a device; itself if it is there already."""
        if self.indices.device == torch.device(device):
            return self
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return CsrPattern(**moved)


def check_pattern(indptr: Tensor, indices: Tensor, num_cols: int) -> None:
    """Raise an error for pointers and columns that do not form a CSR matrix."""
    check_pointers("indptr", indptr, indices.numel())
    check_range("indices", indices, 0, num_cols)


def _blocks(indptr: Tensor) -> Tensor:
    """Cut the rows into pieces of about equal ``entries + rows``; int64 ``[B + 1]``."""
    num_rows = indptr.numel() - 1
    work = indptr.long() + torch.arange(num_rows + 1, device=indptr.device)
    step = torch.arange(NUM_BLOCKS + 1, device=indptr.device)
    cut = torch.searchsorted(work, work[-1] * step // NUM_BLOCKS)
    cut[0], cut[-1] = 0, num_rows
    return cut


class BothWalks(NamedTuple):
    """A pattern that is rebuilt from its two walks."""

    indptr: Tensor
    indices: Tensor
    blocks: Tensor
    t_indptr: Tensor
    t_indices: Tensor
    t_perm: Tensor
    t_blocks: Tensor

    @classmethod
    def of(cls, walk: list[Tensor], back: list[Tensor]) -> "BothWalks":
        """Build the pattern from the two lists of :func:`walks`."""
        indptr, indices, _, blocks = walk
        return cls(indptr, indices, blocks, *back)


#: Structures of a product: the entries by row and by column.
HasTranspose = CsrPattern | Graph | BothWalks


def walks(pattern: HasTranspose) -> tuple[list[Tensor], list[Tensor]]:
    """Return both directions as lists: pointers, ends, positions of values, blocks."""
    none = pattern.indices.new_empty(0)
    forward = [pattern.indptr, pattern.indices, none, pattern.blocks]
    backward = [pattern.t_indptr, pattern.t_indices, pattern.t_perm, pattern.t_blocks]
    return forward, backward


def check_walks(walk: list[Tensor], back: list[Tensor]) -> tuple[int, int, int]:
    """Raise an error for two walks that do not form a pattern; checked only once.

    Returns:
        Numbers of rows, columns and entries.

    Raises:
        ValueError: If sizes do not match, or an index is out of range.
    """
    size = check_once((*_contents(walk), *_contents(back)), _check_contents)
    return walk[0].numel() - 1, back[0].numel() - 1, size


def _contents(walk: list[Tensor]) -> tuple[Tensor, ...]:
    """Return the tensors of a walk, with ``indices`` in place of an empty ``perm``."""
    indptr, indices, perm, blocks = walk
    return indptr, indices, perm if perm.numel() else indices, blocks


def _check_contents(*tensors: Tensor) -> int:
    """Raise an error for sizes and indices that would lead out of an array."""
    ways, size = (tensors[:4], tensors[4:]), tensors[1].numel()
    for (indptr, indices, perm, blocks), other in zip(ways, ways[::-1], strict=True):
        check_shape("indices", indices, (size,))
        check_pattern(indptr, indices, other[0].numel() - 1)
        check_pointers("blocks", blocks, indptr.numel() - 1)
        if perm is not indices:
            check_shape("perm", perm, (size,))
            check_range("perm", perm, 0, size)
    return size


def arrays(walk: list[Tensor]) -> tuple[Any, ...]:
    """Return blocks, pointers, ends and, unless in order, positions of values."""
    indptr, indices, perm, blocks = (tensor.numpy() for tensor in walk)
    return blocks, indptr, indices, perm if perm.shape == indices.shape else None
