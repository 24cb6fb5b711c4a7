"""Preconditioned conjugate gradients for several right-hand sides."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.kernels.resistance.laplacian import scale_rows
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.cholesky import Preconditioner
from gsparse.linalg.iteration import Goal, Operator, PCGState, iterate, norm, ratio


class Solution(NamedTuple):
    """Result of :meth:`PCG.solve`.

    Attributes:
        x: Solution with mean zero on every component ``[N, k]``.
        converged: Whether every column reached the tolerance.
        num_iters: Number of iterations.
        residual: Relative residual of each column ``[k]``, recomputed from ``x``, in
            the norm of the preconditioner.
        error: Estimated absolute error of each column in the energy norm ``[k]``.
    """

    x: Tensor
    converged: bool
    num_iters: int
    residual: Tensor
    error: Tensor


def jacobi(L: Operator) -> Preconditioner:
    """Return a preconditioner that divides by the diagonal (0 for isolated nodes)."""
    inverse = torch.where(L.diagonal > 0, 1 / L.diagonal, 0.0).to(L.dtype)

    def precondition(R: Tensor) -> Tensor:
        out = torch.empty_like(R)
        run_blocks(scale_rows, R.numel(), inverse.numpy(), R.numpy(), out.numpy())
        return out

    return precondition


def factor(L: Operator) -> Preconditioner:
    """Return the operator's own preconditioner."""
    return L.preconditioner()


@dataclass(frozen=True)
class PCG:
    r"""Solves :math:`LX = B` by preconditioned conjugate gradients.

    Example:
        >>> import torch
        >>> from gsparse.linalg import PCG, Laplacian
        >>> row, col = torch.tensor([[0, 1], [1, 2]])
        >>> solver = PCG(rtol=1e-10)
        >>> state = solver.init(Laplacian(row, col, None, num_nodes=3))
        >>> b = torch.tensor([[1.0], [0.0], [-1.0]], dtype=torch.float64)
        >>> solver.solve(state, b).x.view(-1).round(decimals=9)
        tensor([ 1.,  0., -1.], dtype=torch.float64)

    All columns share the passes over the graph, but each has its own step lengths, so
    its result does not depend on the other columns. Inner products are summed in fixed
    blocks in float64, so the result does not depend on the number of threads.

    A column is finished when its residual and its error in the energy norm
    :math:`\|x\|^2 = x^T L x` are small. The residual alone is not sufficient, because
    errors at bottlenecks hardly change it. The error is estimated by the method of
    Hestenes and Stiefel (1952): the decrease of the squared error in the last two steps
    is close to the squared error before them.

    With the preconditioner of the operator, about ten iterations suffice for nearly all
    graphs. With :func:`jacobi`, this holds for dense and well-connected graphs only;
    for others, the number of iterations grows with the square root of the condition
    number and the error may be underestimated.

    Args:
        rtol: Tolerance of the relative error of a column in the energy norm, and of its
            relative residual :math:`\|r\| / \|b\|` in the norm
            :math:`\|r\|^2 = r^T M^{-1} r` of the preconditioner.
        max_iter: Maximum number of iterations.
        preconditioner: Function that builds :math:`M^{-1}` from the operator. The
            default is the operator's own preconditioner.
        atol: A column is also finished when its absolute error in the energy norm is
            below this value.
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
        """Prepare the state that depends on the matrix only."""
        return PCGState(L, self.preconditioner(L))

    def solve(
        self, state: PCGState, B: Tensor, *, check: bool = True, balanced: bool = False
    ) -> Solution:
        """Solve for a block of right-hand sides.

        Args:
            state: Result of :meth:`init`.
            B: Right-hand sides; each must sum to zero on every component.
            check: Raise an error if the solver does not converge. Otherwise see
                ``converged`` of the result.
            balanced: Skip the test that the right-hand sides sum to zero. Use it if
                they do up to rounding errors that may be large relative to ``B``.

        Returns:
            The solution of smallest norm.

        Shapes:
            - **B:** :math:`(N, k)`

        Raises:
            ValueError: If a right-hand side does not sum to zero on a component, or is
                not finite.
            TypeError: If the dtype of ``B`` is not that of the operator.
            RuntimeError: If ``check`` is set and the tolerance was not reached.
        """
        L, precondition = state.operator, state.precondition
        _check_right_sides(L, B)
        if not balanced:
            _check_sums(L, B)
        X, R, total = torch.zeros_like(B), B, 0
        size = norm(B, precondition(B))
        residual, energy = torch.ones_like(size), torch.zeros_like(size)
        far, rtol = math.sqrt(torch.finfo(B.dtype).eps), torch.tensor(self.rtol)
        while True:  # restart, because rounding errors accumulate in the residual
            goal = Goal(torch.maximum(far * residual, rtol), self.atol, size, energy)
            step = iterate(state, R, goal, self.max_iter - total)
            X += step.x
            total += step.num_iters
            energy = torch.maximum(energy, step.energy)
            R = _centre(L, B - L.matmul(X))
            # The error estimate does not include the rounding error of the residual.
            drift = step.r.sub_(R)
            error = torch.hypot(step.error, norm(drift, precondition(drift)))
            before, residual = residual, ratio(norm(R, precondition(R)), size)
            small = (residual <= self.rtol) & (error <= 2 * self.rtol * energy)
            converged = bool((small | (error <= self.atol) | (size == 0)).all())
            if converged or total >= self.max_iter or not (2 * residual < before).any():
                break
        if check and not converged:
            raise RuntimeError(
                f"PCG must reach rtol={self.rtol:g} (got a residual of "
                f"{residual.max().item():.2g} after {total} iterations in {L.dtype}); "
                "raise 'max_iter' or 'rtol', use float64, or factorise "
                "(method='exact') if the weights differ by many orders of magnitude"
            )
        return Solution(_centre(L, X), converged, total, residual, error)


def component_sums(L: Operator, B: Tensor) -> Tensor:
    """Sum the columns over each component ``[C, k]``."""
    out = torch.zeros(L.num_components, B.size(1), dtype=torch.float64)
    return out.index_add_(0, L.component.long(), B.double())


def _centre(L: Operator, X: Tensor) -> Tensor:
    size = L.component.long().bincount(minlength=L.num_components)
    mean = component_sums(L, X) / size[:, None]
    return X - mean[L.component.long()].to(X.dtype)


def _check_right_sides(L: Operator, B: Tensor) -> None:
    if B.dim() != 2 or B.size(0) != L.num_nodes:
        raise ValueError(
            f"'B' must have shape [{L.num_nodes}, k] (got {list(B.shape)})"
        )
    if B.dtype != L.dtype:
        raise TypeError(f"'B' must be {L.dtype} like the operator (got {B.dtype})")
    bad = ~torch.isfinite(B)
    if bad.any():
        row, column = (int(i) for i in bad.nonzero()[0])
        raise ValueError(
            f"'B' must be finite (got {B[row, column].item()} at [{row}, {column}])"
        )


def _check_sums(L: Operator, B: Tensor) -> None:
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
