"""Solve Laplacian systems and estimate resistances by the multigrid of pyamg."""

import math
import time
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from gsparse.linalg import Laplacian
from gsparse.linalg.cholesky import Preconditioner

KINDS = ("smoothed", "plain", "pairwise")
"""Hierarchies of pyamg: smoothed, unsmoothed and pairwise aggregation. Classical
(Ruge-Stuben) coarsening takes 40 s to set up on tolokers and saves no iterations."""


def hierarchy(pyamg: Any, L: csr_array, kind: str) -> Any:  # noqa: ANN401
    """Set up a multigrid hierarchy for a Laplacian.

    Args:
        pyamg: The imported module.
        L: The matrix, singular or not.
        kind: One of :data:`KINDS`.

    Returns:
        A ``MultilevelSolver``, whose cycle is symmetric.

    Raises:
        ValueError: For another kind.
    """
    # Smoothed coarse matrices are singular only up to rounding, which pyamg inverts.
    settings = {"coarse_solver": ("pinv", {"rtol": 1e-10})}
    if kind == "pairwise":
        return pyamg.aggregation.pairwise_solver(L, **settings)
    if kind == "plain":
        return pyamg.smoothed_aggregation_solver(L, smooth=None, **settings)
    if kind == "smoothed":
        return pyamg.smoothed_aggregation_solver(L, **settings)
    raise ValueError(f"'kind' must be one of {KINDS} (got {kind!r})")


def to_scipy(L: Laplacian) -> csr_array:
    """Copy a Laplacian to SciPy, with a 1 on the diagonal of isolated nodes."""
    ptr, neighbour, value = L.rows
    if len(value) == 0:
        value = np.ones(len(neighbour))
    shape = (L.num_nodes, L.num_nodes)
    adjacency = csr_array((value.astype(float), neighbour, ptr), shape=shape)
    diagonal = L.diagonal.numpy()
    nodes = np.arange(L.num_nodes)
    own = csr_array((np.where(diagonal > 0, diagonal, 1.0), (nodes, nodes)), shape)
    found = (own - adjacency).tocsr()
    found.sort_indices()
    found.indices = found.indices.astype(np.int32)
    found.indptr = found.indptr.astype(np.int32)
    return found


class Multigrid:
    """One V-cycle of pyamg as a preconditioner of :class:`~gsparse.linalg.PCG`.

    Args:
        pyamg: The imported module.
        kind: One of :data:`KINDS`.
    """

    def __init__(self, pyamg: Any, kind: str) -> None:  # noqa: ANN401
        self.pyamg, self.kind = pyamg, kind

    def __call__(self, L: Any) -> Preconditioner:  # noqa: ANN401
        cycle = hierarchy(self.pyamg, to_scipy(L), self.kind).aspreconditioner()

        def precondition(R: Tensor) -> Tensor:
            columns = [cycle.matvec(column) for column in R.double().numpy().T]
            return torch.from_numpy(np.stack(columns, axis=1)).to(R.dtype)

        return precondition


def multigrid_resistance(
    pyamg: Any,  # noqa: ANN401
    row: Tensor,
    col: Tensor,
    num_nodes: int,
    *,
    num_columns: int,
    seed: int,
    kind: str = "plain",
    rtol: float = 1e-2,
    max_seconds: float = math.inf,
) -> Tensor:
    r"""Estimate the effective resistance of every pair by plain Johnson-Lindenstrauss
    projections, solved by pyamg's own conjugate gradients and multigrid.

    The estimate is the mean of :math:`(x_u - x_v)^2` over the columns of
    :math:`X = L^+ B^T Q` with random signs :math:`Q`.

    Args:
        pyamg: The imported module.
        row: Smaller end point of each pair, sorted by ``(row, col)``.
        col: Larger end points.
        num_nodes: Number of nodes.
        num_columns: Number of right-hand sides.
        seed: Seed of the signs.
        kind: One of :data:`KINDS`.
        rtol: Relative residual at which a solve stops.
        max_seconds: Give up after this time.

    Returns:
        One value per pair ``[M]``, float64.

    Raises:
        TimeoutError: After ``max_seconds``.
    """
    end = time.perf_counter() + max_seconds
    solver = hierarchy(pyamg, to_scipy(Laplacian(row, col, None, num_nodes)), kind)
    u, v = row.numpy(), col.numpy()
    rng = np.random.default_rng(seed)
    total = np.zeros(len(u))
    for k in range(num_columns):
        q = rng.choice([-1.0, 1.0], len(u))
        b = np.bincount(u, q, num_nodes) - np.bincount(v, q, num_nodes)
        x = solver.solve(b, accel="cg", tol=rtol)
        total += (x[u] - x[v]) ** 2
        if time.perf_counter() > end:
            raise TimeoutError(f"{k + 1} of {num_columns} columns within the time")
    return torch.from_numpy(total / num_columns)
