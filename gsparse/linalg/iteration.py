"""The bare iteration of preconditioned conjugate gradients, on a block of columns."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.resistance.laplacian import ROWS, block_dot, descend, turn
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.cholesky import Preconditioner

#: Steps by which the estimate of the error lags behind.
DELAY = 2


class Operator(Protocol):
    """What a solver needs to know of a Laplacian, wherever its edges are kept."""

    num_nodes: int
    dtype: torch.dtype
    diagonal: Tensor  # [N] float64

    @property
    def component(self) -> Tensor:
        """Component of each node ``[N]``."""
        ...

    @property
    def num_components(self) -> int:
        """Number of connected components."""
        ...

    def matmul(self, X: Tensor) -> Tensor:
        """The product with a block of vectors ``[N, k]``."""
        ...

    def preconditioner(self) -> Preconditioner:
        """An approximate inverse."""
        ...


class PCGState(NamedTuple):
    """What needs only the matrix: reused for any number of right-hand sides.

    Attributes:
        operator: The matrix.
        precondition: Multiplies by the inverse of the preconditioner M.
        gap: A lower bound of the eigenvalues of M^{-1} L other than 0, where one is
            known: then the residual bounds the error.
    """

    operator: Operator
    precondition: Preconditioner
    gap: float | None = None


class Goal(NamedTuple):
    """When a column is done: small against its size, or small at all.

    Attributes:
        rtol: Relative error in the energy norm, and relative residual ``[k]``.
        atol: Absolute error in the energy norm.
        size: Norm of the right-hand sides ``[k]``.
        energy: Energy norm of what was solved before ``[k]``.
    """

    rtol: Tensor
    atol: float
    size: Tensor
    energy: Tensor


class Iterate(NamedTuple):
    """Where the bare iteration stopped.

    Attributes:
        x: Solutions ``[N, k]``.
        r: Residuals ``[N, k]``, as the recursion has them.
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
    """The bare iteration, Algorithm 9.1 of Saad's "Iterative Methods", from zero.

    Args:
        state: From :meth:`PCG.init`.
        B: Right-hand sides ``[N, k]``.
        goal: When a column stops.
        max_iter: Largest number of iterations.

    Returns:
        The solutions and what is known of them.
    """
    L, precondition, gap = state
    X, R = torch.zeros_like(B), B.clone()  # step 1
    Z = precondition(R)
    P, rz, num_iters = Z.clone(), dot(R, Z), 0
    energy = goal.energy**2  # of the solution so far
    taken = torch.full((DELAY, B.size(1)), torch.inf, dtype=torch.float64)
    while True:  # step 2
        left = taken.sum(dim=0) if gap is None else rz / gap
        left[rz <= 0] = 0.0
        small = (rz <= (goal.rtol * goal.size) ** 2) & (left <= goal.rtol**2 * energy)
        going = ~(small | (left <= goal.atol**2))
        if num_iters >= max_iter or not going.any():
            break
        Q = L.matmul(P)
        alpha = ratio(rz, dot(P, Q)) * going  # step 3; a column that may stop does
        _run(descend, alpha.to(B.dtype), P, Q, X, R)  # steps 4 and 5
        step = alpha * rz  # what this step takes from the squared energy of the error
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
    """Inner products of columns, in fixed blocks: float64 ``[k]``."""
    partial = np.zeros((-(-X.size(0) // ROWS), X.size(1)))
    if X.numel():
        run_blocks(block_dot, X.numel(), X.numpy(), Y.numpy(), partial)
    return torch.from_numpy(partial.sum(axis=0))


def norm(R: Tensor, Z: Tensor) -> Tensor:
    """Norm of residuals given their preconditioned selves ``[k]``."""
    return dot(R, Z).clamp_(min=0).sqrt_()


def _run(kernel: Callable[..., None], factor: Tensor, *blocks: Tensor) -> None:
    arrays = [block.numpy() for block in (factor, *blocks)]
    run_blocks(kernel, blocks[0].numel(), *arrays)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``, and 0 where ``b`` is: such a column is done."""
    return torch.where(b > 0, a / b, 0.0)
