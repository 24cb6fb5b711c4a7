"""Preconditioned conjugate gradients for many right-hand sides at once."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.resistance.laplacian import (
    ROWS,
    block_dot,
    descend,
    scale_rows,
    turn,
)
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


class Solution(NamedTuple):
    """What a solve found.

    Attributes:
        x: Solution of mean zero on every component ``[N, k]``.
        converged: Whether every column reached the tolerance.
        num_iters: Products with the matrix inside the iteration.
        residual: Relative residual of each column ``[k]``, computed afresh from ``x``
            and measured in the norm of the preconditioner.
        error: Estimated error of each column in the energy norm ``[k]``, absolute.
    """

    x: Tensor
    converged: bool
    num_iters: int
    residual: Tensor
    error: Tensor


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


def jacobi(L: Operator) -> Preconditioner:
    """Division by the diagonal (isolated nodes stay 0)."""
    inverse = torch.where(L.diagonal > 0, 1 / L.diagonal, 0.0).to(L.dtype)

    def precondition(R: Tensor) -> Tensor:
        out = torch.empty_like(R)
        run_blocks(scale_rows, R.numel(), inverse.numpy(), R.numpy(), out.numpy())
        return out

    return precondition


def factor(L: Operator) -> Preconditioner:
    """The preconditioner that an operator brings along."""
    return L.preconditioner()


@dataclass(frozen=True)
class PCG:
    r"""Solves :math:`LX = B` by preconditioned conjugate gradients.

    The block shares its passes over the graph; each column has its own step lengths,
    so that its result does not depend on its neighbours. Inner products are summed in
    fixed blocks in float64: any number of threads gives the same bits.

    A column is done when its error in the energy norm :math:`\|x\|^2 = x^T L x` and its
    residual are small. A small residual alone says little: behind a bottleneck an error
    hardly shows in it. The error is estimated as Hestenes and Stiefel showed in 1952:
    what the last :data:`DELAY` steps took away is what was wrong before them, less
    what is wrong still.

    With the preconditioner of the operator, some ten iterations do on nearly any graph.
    With :func:`jacobi` that holds on dense, well connected graphs alone; elsewhere the
    number grows with the root of the condition number, and the estimate can be far
    too small.

    Args:
        rtol: Largest relative error of a column in the energy norm, and its largest
            relative residual :math:`\|r\| / \|b\|` in the norm
            :math:`\|r\|^2 = r^T M^{-1} r` of the preconditioner.
        max_iter: Largest number of iterations.
        preconditioner: Makes :math:`M^{-1}` from the operator; by default it is the
            operator's own.
        atol: A column is also done when its absolute error in the energy norm is below
            this.

    Example:
        >>> import torch
        >>> from gsparse.linalg import PCG, Laplacian
        >>> row, col = torch.tensor([[0, 1], [1, 2]])
        >>> solver = PCG(rtol=1e-10)
        >>> state = solver.init(Laplacian(row, col, None, num_nodes=3))
        >>> b = torch.tensor([[1.0], [0.0], [-1.0]], dtype=torch.float64)
        >>> solver.solve(state, b).x.view(-1).round(decimals=9)
        tensor([ 1.,  0., -1.], dtype=torch.float64)
    """

    rtol: float = 1e-8
    max_iter: int = 1000
    preconditioner: Callable[[Operator], Preconditioner] = factor
    atol: float = 0.0

    def __post_init__(self) -> None:
        if not (self.rtol > 0 or (self.rtol == 0 and self.atol > 0)):
            raise ValueError(f"'rtol' must be positive (got {self.rtol})")
        if not self.atol >= 0:
            raise ValueError(f"'atol' must not be negative (got {self.atol})")
        if self.max_iter < 1:
            raise ValueError(f"'max_iter' must be at least 1 (got {self.max_iter})")

    def init(self, L: Operator) -> PCGState:
        """Prepare what needs only the matrix."""
        return PCGState(L, self.preconditioner(L))

    def solve(
        self, state: PCGState, B: Tensor, *, check: bool = True, balanced: bool = False
    ) -> Solution:
        """Solve for a block of right-hand sides.

        Args:
            state: From :meth:`init`.
            B: Right-hand sides; each must sum to zero on every component.
            check: Raise when not converged; otherwise the solution says so.
            balanced: The right-hand sides are known to sum to zero, up to a rounding
                that may be large beside what is left of them.

        Returns:
            The solution of smallest norm.

        Shapes:
            - **B:** :math:`(N, k)`

        Raises:
            ValueError: If a right-hand side does not sum to zero on a component.
            RuntimeError: If ``check`` and the tolerance was not reached.
        """
        L, precondition = state.operator, state.precondition
        if not balanced:
            _check_sums(L, B)
        X, R, total = torch.zeros_like(B), B, 0
        size = norm(B, precondition(B))
        residual, energy = torch.ones_like(size), torch.zeros_like(size)
        far, rtol = math.sqrt(torch.finfo(B.dtype).eps), torch.tensor(self.rtol)
        while True:  # rounding parts the iterated residual from the true one: restart
            goal = Goal(torch.maximum(far * residual, rtol), self.atol, size, energy)
            step = iterate(state, R, goal, self.max_iter - total)
            X += step.x
            total += step.num_iters
            energy = torch.maximum(energy, step.energy)
            R = _centre(L, B - L.matmul(X))
            # What rounding added to the residual is missing in the estimate.
            drift = step.r.sub_(R)
            error = torch.hypot(step.error, norm(drift, precondition(drift)))
            before, residual = residual, _ratio(norm(R, precondition(R)), size)
            small = (residual <= self.rtol) & (error <= 2 * self.rtol * energy)
            converged = bool((small | (error <= self.atol) | (size == 0)).all())
            if converged or total >= self.max_iter or not (2 * residual < before).any():
                break
        if check and not converged:
            raise RuntimeError(
                f"PCG must reach rtol={self.rtol:g} (got a residual of "
                f"{residual.max().item():.2g} after {total} iterations in {L.dtype}); "
                "raise 'max_iter' or 'rtol', use float64, or factorise "
                "(method='exact') where weights spread over many orders of magnitude"
            )
        return Solution(_centre(L, X), converged, total, residual, error)


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
        alpha = _ratio(rz, dot(P, Q)) * going  # step 3; a column that may stop does
        _run(descend, alpha.to(B.dtype), P, Q, X, R)  # steps 4 and 5
        step = alpha * rz  # what this step takes from the squared energy of the error
        energy += step
        taken[num_iters % DELAY] = torch.where(going, step, taken[num_iters % DELAY])
        Z = precondition(R)  # step 6
        new = dot(R, Z)
        beta = _ratio(new, rz) * going  # step 7
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


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """``a / b``, and 0 where ``b`` is: such a column is done."""
    return torch.where(b > 0, a / b, 0.0)


def loose_goal(state: PCGState, B: Tensor, rtol: float) -> Goal:
    """A relative tolerance for :func:`iterate`."""
    size = norm(B, state.precondition(B))
    return Goal(torch.full_like(size, rtol), 0.0, size, torch.zeros_like(size))


def component_sums(L: Operator, B: Tensor) -> Tensor:
    """Sums of the columns over each component ``[C, k]``."""
    out = torch.zeros(L.num_components, B.size(1), dtype=torch.float64)
    return out.index_add_(0, L.component.long(), B.double())


def _centre(L: Operator, X: Tensor) -> Tensor:
    size = L.component.long().bincount(minlength=L.num_components)
    mean = component_sums(L, X) / size[:, None]
    return X - mean[L.component.long()].to(X.dtype)


def _check_sums(L: Operator, B: Tensor) -> None:
    if B.dim() != 2 or B.size(0) != L.num_nodes:
        raise ValueError(
            f"'B' must have shape [{L.num_nodes}, k] (got {list(B.shape)})"
        )
    total = component_sums(L, B)
    bound = 100 * torch.finfo(B.dtype).eps * component_sums(L, B.abs())
    if (total.abs() > bound).any():
        part, column = (int(i) for i in (total.abs() > bound).nonzero()[0])
        raise ValueError(
            f"'B' must sum to zero on every component (column {column} got "
            f"{total[part, column].item():.3g} on component {part} of "
            f"{L.num_components}, that of node "
            f"{int((L.component == part).nonzero()[0])})"
        )
