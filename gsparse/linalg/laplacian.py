"""Laplacian operator of a weighted graph in memory."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.resistance.bridges import find_bridges, join
from gsparse.kernels.resistance.laplacian import (
    count_rows,
    fill_rows,
    product,
    row_sums,
)
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.cholesky import Preconditioner, approximate_cholesky


class _Connectivity(NamedTuple):
    component: Tensor  # [N] int32
    forest: np.ndarray  # [F, 3]


class Laplacian:
    r"""Laplacian :math:`L = D - A` of an undirected graph.

    Example:
        >>> import torch
        >>> from gsparse.linalg import Laplacian
        >>> row, col = torch.tensor([[0, 1], [1, 2]])
        >>> L = Laplacian(row, col, None, num_nodes=3)
        >>> L.matmul(torch.eye(3, dtype=torch.float64))
        tensor([[ 1., -1.,  0.],
                [-1.,  2., -1.],
                [ 0., -1.,  1.]], dtype=torch.float64)

    Stores both directions of each pair with 32-bit node ids, and values only if the
    graph is weighted. Needs :math:`8M` bytes, or :math:`16M` with float32 values.

    Args:
        row: Smaller end point of each pair, sorted by ``(row, col)`` without
            duplicates, as returned by :func:`~gsparse.edges.undirected_pairs`.
        col: Larger end points.
        weight: Positive conductances, or ``None`` if all are 1.
        num_nodes: Number of nodes :math:`N`.
        dtype: Type of the vectors to multiply, float32 or float64.

    Shapes:
        - **row**, **col**, **weight:** :math:`(M,)`

    Raises:
        ValueError: If the pairs are not in canonical order or a weight is not a
            positive number.
        TypeError: For another ``dtype``.
    """

    def __init__(
        self,
        row: Tensor,
        col: Tensor,
        weight: Tensor | None,
        num_nodes: int,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise TypeError(f"'dtype' must be float32 or float64 (got {dtype})")
        _check_shapes(row, col, weight)
        self.num_nodes = num_nodes
        self.num_pairs = row.numel()
        self.dtype = dtype
        rows, cols = row.cpu().numpy(), col.cpu().numpy()
        w = np.empty(0) if weight is None else weight.cpu().double().numpy()
        ptr = row_pointers(rows, cols, num_nodes)
        indices = np.empty(2 * len(rows), np.int32 if num_nodes < 2**31 else np.int64)
        values = torch.empty(0 if weight is None else len(indices), dtype=dtype)
        fill_rows(rows, cols, w, ptr, indices, values.numpy())
        self.indptr, self.indices = torch.from_numpy(ptr), torch.from_numpy(indices)
        self.values = values  # empty if all weights are 1
        if weight is None:
            self.diagonal = self.indptr.diff().double()
        else:
            self.diagonal = torch.zeros(num_nodes, dtype=torch.float64)
            row_sums(rows, cols, w, self.diagonal.numpy())
        self._deg = self.diagonal.to(dtype)

    def matmul(self, X: Tensor) -> Tensor:
        """Compute the product :math:`LX` in one pass over the rows per eight columns.

        Shapes:
            - **X**, **output:** :math:`(N, k)`

        Raises:
            ValueError: If ``X`` has another number of rows.
            TypeError: If ``X`` has another dtype.
        """
        if X.dim() != 2 or X.size(0) != self.num_nodes:
            raise ValueError(
                f"'X' must have shape [{self.num_nodes}, k] (got {list(X.shape)})"
            )
        if X.dtype != self.dtype:
            raise TypeError(
                f"'X' must be {self.dtype} like the operator (got {X.dtype})"
            )
        X = X.contiguous()
        out = torch.empty_like(X)
        work = self.indices.numel() * X.size(1)
        if out.numel():
            arrays = (*self.rows, self._deg.numpy(), X.numpy(), out.numpy())
            run_blocks(product, work, *arrays)
        return out

    def preconditioner(self) -> Preconditioner:
        """Return an approximate inverse by :func:`approximate_cholesky`."""
        return approximate_cholesky(self)

    @property
    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Row pointers, neighbours and values as arrays (no values if unweighted)."""
        return self.indptr.numpy(), self.indices.numpy(), self.values.numpy()

    @cached_property
    def _connectivity(self) -> _Connectivity:
        component, forest = join(*self.rows[:2])
        return _Connectivity(torch.from_numpy(component), forest)

    @property
    def component(self) -> Tensor:
        """Component of each node ``[N]``, numbered by the smallest node."""
        return self._connectivity.component

    @property
    def num_components(self) -> int:
        """Number of connected components, including isolated nodes."""
        return self.num_nodes - len(self._connectivity.forest)

    @cached_property
    def bridges(self) -> Tensor:
        """True for the pairs whose removal disconnects their end points ``[M]``."""
        bridge = torch.zeros(self.num_pairs, dtype=torch.bool)
        find_bridges(*self.rows[:2], self._connectivity.forest, bridge.numpy())
        return bridge

    def __repr__(self) -> str:
        return (
            f"Laplacian(num_nodes={self.num_nodes}, num_pairs={self.num_pairs}, "
            f"weighted={self.values.numel() > 0}, dtype={self.dtype})"
        )


def row_pointers(rows: np.ndarray, cols: np.ndarray, num_nodes: int) -> np.ndarray:
    """Check the order of the pairs and return the row pointers of both directions."""
    ptr = np.zeros(num_nodes + 1, np.int64)
    bad = count_rows(rows, cols, ptr)
    if bad >= 0:
        raise ValueError(
            "'row' and 'col' must be sorted pairs with row < col < num_nodes and "
            f"no duplicates (got ({rows[bad]}, {cols[bad]}) at {bad} with "
            f"{num_nodes} nodes); use gsparse.edges.undirected_pairs"
        )
    return ptr


def check_pairs(
    row: Tensor, col: Tensor, weight: Tensor | None, num_nodes: int
) -> None:
    """Refuse pairs that are not sorted and weights that are negative or not finite."""
    _check_shapes(row, col, weight, zeros=True)
    row_pointers(row.cpu().numpy(), col.cpu().numpy(), num_nodes)


def _check_shapes(
    row: Tensor, col: Tensor, weight: Tensor | None, *, zeros: bool = False
) -> None:
    if row.shape != col.shape or row.dim() != 1:
        raise ValueError(
            f"'row' and 'col' must have one shape [M] "
            f"(got {list(row.shape)} and {list(col.shape)})"
        )
    if weight is None:
        return
    if weight.shape != row.shape:
        raise ValueError(
            f"'weight' must have shape {list(row.shape)} (got {list(weight.shape)})"
        )
    bad = ~torch.isfinite(weight) | (weight < 0 if zeros else weight <= 0)
    if bad.any():
        rule = "non-negative" if zeros else "positive"
        raise ValueError(
            f"'weight' must be {rule} and finite (got {weight[bad][0].item()})"
        )
