"""Iteration of preconditioned conjugate gradients on a block of columns."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.resistance.laplacian import ROWS, block_dot, descend, turn
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.cholesky import Preconditioner

#: Number of steps by which the error estimate lags behind.
DELAY = 2


class Operator(Protocol):
    """Protocol of Laplacians in memory, on disk or on several processes."""

    num_nodes: int
    dtype: torch.dtype
    diagonal: Tensor  # [N] float64

    @property
    def component(self) -> Tensor:
        """Component of each node ``[N]``."""

    @property
    def num_components(self) -> int:
        """Number of connected components."""

    def matmul(self, X: Tensor) -> Tensor:
        """Multiply a block of vectors ``[N, k]`` by the Laplacian."""

    def preconditioner(self) -> Preconditioner:
        """Return an approximate inverse."""


class PCGState(NamedTuple):
    """State of a solver that depends on the matrix only and can be reused.

    Attributes:
        operator: The Laplacian L.
        precondition: Function that multiplies by the inverse of the preconditioner M.
        gap: Lower bound of the nonzero eigenvalues of M^{-1} L, if one is known. Then
            the residual bounds the error.
    """

    operator: Operator
    precondition: Preconditioner
    gap: float | None = None


class Goal(NamedTuple):
    """Stopping criterion of the iteration.

    Attributes:
        rtol: Tolerance of the relative error and the relative residual ``[k]``.
        atol: Tolerance of the absolute error in the energy norm.
        size: Norm of the right-hand sides ``[k]``.
        energy: Energy norm of the solution of earlier calls ``[k]``.
    """

    rtol: Tensor
    atol: float
    size: Tensor
    energy: Tensor


class Iterate(NamedTuple):
    """Result of :func:`iterate`.

    Attributes:
        x: Solutions ``[N, k]``.
        r: Residuals of the recursion ``[N, k]``.
        error: Estimated error of each column in the energy norm ``[k]``.
        energy: Estimated energy norm of each solution ``[k]``.
        num_iters: Number of iterations.
    """

    x: Tensor
    r: Tensor
    error: Tensor
    energy: Tensor
    num_iters: int


def iterate(state: PCGState, B: Tensor, goal: Goal, max_iter: int) -> Iterate:
    """Run Algorithm 9.1 of Saad's "Iterative Methods for Sparse Linear Systems".

    Args:
        state: Result of :meth:`PCG.init`.
        B: Right-hand sides; the solutions start at zero.
        goal: Stopping criterion of each column.
        max_iter: Maximum number of iterations.

    Returns:
        The solutions with their residuals and estimated errors.

    Shapes:
        - **B:** :math:`(N, k)`
    """
    L, precondition, gap = state
    X, R = torch.zeros_like(B), B.clone()  # step 1
    Z = precondition(R)
    P, rz, num_iters = Z.clone(), dot(R, Z), 0
    energy = goal.energy**2  # squared energy norm of the solution so far
    taken = torch.full((DELAY, B.size(1)), torch.inf, dtype=torch.float64)
    while True:  # step 2
        left = taken.sum(dim=0) if gap is None else rz / gap
        left[rz <= 0] = 0.0
        small = (rz <= (goal.rtol * goal.size) ** 2) & (left <= goal.rtol**2 * energy)
        going = ~(small | (left <= goal.atol**2))
        if num_iters >= max_iter or not going.any():
            break
        Q = L.matmul(P)
        alpha = ratio(rz, dot(P, Q)) * going  # step 3; finished columns do not change
        _run(descend, alpha.to(B.dtype), P, Q, X, R)  # steps 4 and 5
        step = alpha * rz  # decrease of the squared energy norm of the error
        energy += step
        taken[num_iters % DELAY] = torch.where(going, step, taken[num_iters % DELAY])
        Z = precondition(R)  # step 6
        new = dot(R, Z)
        beta = ratio(new, rz) * going  # step 7
        _run(turn, beta.to(B.dtype), Z, P)  # step 8
        rz = torch.where(going, new, rz)
        num_iters += 1
    return Iterate(X, R, left.sqrt(), energy.sqrt(), num_iters)


def dot(X: Tensor, Y: Tensor) -> Tensor:
    """Compute the inner products of columns in fixed blocks, float64 ``[k]``."""
    partial = np.zeros((-(-X.size(0) // ROWS), X.size(1)))
    if X.numel():
        run_blocks(block_dot, X.numel(), X.numpy(), Y.numpy(), partial)
    return torch.from_numpy(partial.sum(axis=0))


def norm(R: Tensor, Z: Tensor) -> Tensor:
    """Compute the norms of residuals R from ``Z = M^{-1} R``, ``[k]``."""
    return dot(R, Z).clamp_(min=0).sqrt_()


def _run(kernel: Callable[..., None], factor: Tensor, *blocks: Tensor) -> None:
    arrays = [block.numpy() for block in (factor, *blocks)]
    run_blocks(kernel, blocks[0].numel(), *arrays)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a / b``, or 0 where ``b`` is not positive (a finished column)."""
    return torch.where(b > 0, a / b, 0.0)
