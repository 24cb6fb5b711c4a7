"""Estimate resistances from random currents on a graph."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gsparse.kernels.resistance.laplacian import WIDTH
from gsparse.kernels.resistance.resistance import (
    PAIRS,
    add_squares,
    grounded,
    random_flow,
    summarise,
)
from gsparse.kernels.threads import run_blocks
from gsparse.linalg.laplacian import Laplacian
from gsparse.linalg.pcg import PCG, jacobi
from gsparse.linalg.slow_directions import DAMPED, SlowDirections, probe, refine
from gsparse.linalg.uncertainty import uncertainty

#: A pair is solved by itself if the standard error of its leverage w R exceeds this
#: fraction of the tolerance.
SOLVE = 0.4
#: Up to ALL such pairs are all solved; of more, only the WORST ones.
ALL, WORST = 256, 32
#: Columns drawn and solved at a time; two threads can share them.
DRAWN = 16
#: Slow directions are refined if the smallest Ritz value is below this value.
SLOW = 0.05
#: Their number is doubled until the largest Ritz value exceeds this value,
QUICK = 0.02
#: or until there are this many directions, or this many numbers in their vectors.
DIRECTIONS, NUMBERS = 256, 2**26
#: Minimum number of columns in the second case. A remaining cut may have a leverage of
#: 1, all of it sampled, with the relative standard error sqrt(2 / k) = 0.05.
CAREFUL = 800
#: Smaller Ritz values cannot be computed in float64.
RESOLVED = 1e-11

_NOTHING = torch.empty(0, dtype=torch.float64)
_NO_MATRIX = torch.empty(0, 0, dtype=torch.float64)


class Sampled(NamedTuple):
    """Resistances of the pairs of a :class:`FlowSampler`.

    Attributes:
        resistance: One value per pair ``[M]``.
        std: Standard deviation of each value ``[M]``, see ``uncertainty``.
        foster: Sum of w R before clipping, divided by its true value.
        clipped: Fraction of the pairs whose estimate exceeded 1 / w.
    """

    resistance: Tensor
    std: Tensor
    foster: float
    clipped: float


class FlowSampler:
    """Running sums over random columns for every pair of a graph.

    See :func:`~gsparse.linalg.jl_resistance` for the method.

    Args:
        row: Smaller end point of each pair, sorted by ``(row, col)``; not empty.
        col: Larger end points.
        weight: Non-negative conductances, or ``None`` if all are 1.
        num_nodes: Number of nodes.
        tolerance: Relative error to aim at; sets the accuracy of the solver.
        seed: Random seed.
        solver: Settings of the solver. The default depends on the graph.
        apart: Keep eight sums, each over every eighth column, instead of one sum.

    Shapes:
        - **row**, **col**, **weight:** :math:`(M,)`
    """

    def __init__(
        self,
        row: Tensor,
        col: Tensor,
        weight: Tensor | None,
        num_nodes: int,
        tolerance: float,
        seed: int,
        solver: PCG | None,
        *,
        apart: bool = False,
    ) -> None:
        row, col = row.cpu(), col.cpu()
        own = _NOTHING if weight is None else weight.cpu().double()
        keep = own > 0  # pairs of weight 0 have a resistance but do not conduct
        if own.numel() == 0 or keep.all():
            self.L = Laplacian(row, col, weight, num_nodes)
            self.bridge = self.L.bridges
        else:
            self.L = Laplacian(row[keep], col[keep], own[keep], num_nodes)
            self.bridge = torch.zeros_like(keep)
            self.bridge[keep] = self.L.bridges
        self.pairs = (row.numpy(), col.numpy(), own.numpy())
        groups = WIDTH if apart else 1
        self.total = torch.zeros(row.numel(), groups, dtype=torch.float64)
        self.known = _NO_MATRIX  # [M, 1] far parts that are known exactly
        self.seed, self.num_columns, self.num_iters = seed, 0, 0
        self.least = 0  # minimum number of columns
        self.solver_error = 0.0
        self.solved = torch.empty(0, dtype=torch.long)
        self._prepare(tolerance, solver)

    def _prepare(self, tolerance: float, solver: PCG | None) -> None:
        """Choose the solver and find the slow directions."""
        L = self.L
        found = probe(L, WIDTH, _stream(self.seed, -1))
        conducts = bool((found.values >= DAMPED).all())
        # An error of e in the energy norm changes each far part by at most 2 e of it.
        atol = min(tolerance / 20, 0.005)
        if solver is None and conducts:
            solver = PCG(0.0, atol=atol, preconditioner=jacobi)
            self.state = solver.init(L)._replace(gap=DAMPED / 3)
        else:
            solver = solver or PCG(0.0, atol=atol)
            self.state = solver.init(L)
        self.solver, self.slow = solver, None
        if not conducts:
            is_slow = bool((found.values < SLOW).any())
            self.slow = self._find_slow(found) if is_slow else found
            if (self.slow.values < RESOLVED).any():
                raise RuntimeError(
                    "parts of the graph must be connected more strongly than "
                    f"{RESOLVED:g} of their weights (got "
                    f"{float(self.slow.values[0]):.1g}); use method='exact'"
                )
            self.known = torch.zeros(self.total.size(0), 1, dtype=torch.float64)
            self._add(self.slow.vectors, self.slow.currents, self.known)

    def _find_slow(self, found: SlowDirections) -> SlowDirections:
        most = min(DIRECTIONS, max(4 * DRAWN, NUMBERS // self.L.num_nodes))
        size, step = DRAWN, 2
        while True:
            for _ in range(2):
                found = refine(self.state, found, size, _stream(self.seed, -step))
                step += 1
            full = found.values.numel() == size
            if not full or found.values[-1] > QUICK:
                return found
            if 2 * size > most:
                self.least = CAREFUL
                return found
            size *= 2

    def add_columns(self, num_columns: int) -> None:
        """Draw, solve and add columns up to a total of ``num_columns``."""
        while self.num_columns < num_columns:
            blocks = -(-min(num_columns - self.num_columns, DRAWN) // WIDTH)
            drawn = torch.cat([self._draw(b) for b in range(blocks)], dim=1)
            self._add(*self._solve(drawn), self.total)
            self.num_columns += blocks * WIDTH
            self.total[self.solved] = 0.0

    def _draw(self, block: int) -> Tensor:
        """Draw eight random currents."""
        L, work = self.L, self.L.indices.numel() * WIDTH
        B = torch.zeros(L.num_nodes, WIDTH, dtype=L.dtype)
        stream = np.uint64(_stream(self.seed, self.num_columns // WIDTH + block))
        run_blocks(random_flow, work, *L.rows, stream, B.numpy())
        return B

    def _solve(self, B: Tensor) -> tuple[Tensor, Tensor]:
        """Return potentials and currents without their parts in slow directions."""
        X = self._potentials(B)
        LX = self.L.matmul(X)
        if self.slow is not None:
            self.slow.remove_(X, LX)
        return X, LX

    def _potentials(self, B: Tensor) -> Tensor:
        solution = self.solver.solve(self.state, B, check=False, balanced=True)
        self.num_iters = max(self.num_iters, solution.num_iters)
        if not solution.converged:
            w = self.L.values
            spread = float(w.max() / w.min()) if w.numel() else 1.0
            raise RuntimeError(
                "conjugate gradients must come within "
                f"{max(self.solver.atol, self.solver.rtol):g} of the solution in the "
                f"energy norm (got {float(solution.error.max()):.2g} after "
                f"{solution.num_iters} iterations; the largest weight is {spread:.1g} "
                "times the smallest); use method='exact' or 'tree'"
            )
        self.solver_error = max(self.solver_error, 2 * float(solution.error.max()))
        return solution.x

    def _add(self, X: Tensor, LX: Tensor, total: Tensor) -> None:
        """Add the squared far parts of some columns."""
        graph = (*self.pairs, self.L.diagonal.numpy())
        for x, current in zip(X.split(WIDTH, 1), LX.split(WIDTH, 1), strict=True):
            fields = torch.zeros(x.size(0), 2, WIDTH, dtype=x.dtype)
            fields[:, 0, : x.size(1)], fields[:, 1, : x.size(1)] = x, current
            arrays = (*graph, fields.view(-1, 2 * WIDTH).numpy(), total.numpy())
            run_blocks(add_squares, len(total) * WIDTH, *arrays)

    def _summary(self, out: Tensor, total: Tensor, count: int) -> np.ndarray:
        """Write R to ``out``; return the sum of w R, the number of clipped pairs, and
        the sums of the squared relative errors.
        """
        sums = np.zeros((-(-total.size(0) // PAIRS), 4))
        graph = (*self.pairs, self.L.diagonal.numpy(), self.bridge.numpy())
        far = self.known.numpy(), total.contiguous().numpy(), 1 / count
        run_blocks(summarise, len(total) * WIDTH, *graph, *far, out.numpy(), sums)
        return sums.sum(axis=0)

    def errors(self) -> tuple[float, float]:
        """Return the root mean square relative errors of sampling and of solving."""
        k = self.num_columns
        _, _, sampled, far = self._summary(_NO_MATRIX, self.total, k)
        # A mean of k squares has the relative variance 2 / k, and its square is biased
        # by the factor 1 + 2 / k.
        sampling = math.sqrt(2 / (k + 2) * sampled / self.total.size(0))
        return sampling, self.solver_error * math.sqrt(far / self.total.size(0))

    def solve_worst(self, tolerance: float) -> None:
        """Solve the pairs whose leverages have a large standard error."""
        k = self.num_columns
        leverage = self.total.sum(dim=1) * self._conductance()
        bad = leverage > SOLVE * tolerance * k / math.sqrt(2 / k)
        ids = (bad & ~self.bridge).nonzero().view(-1)
        if ids.numel() > ALL:
            ids = ids[leverage[ids].argsort(descending=True, stable=True)[:WORST]]
        self.solve(ids)

    def solve(self, ids: Tensor) -> None:
        """Solve some pairs exactly, one system per pair."""
        if ids.numel() and not self.known.numel():
            self.known = torch.zeros(self.total.size(0), 1, dtype=torch.float64)
        for some in ids.split(DRAWN):
            self._solve_pairs(some)

    def _conductance(self) -> Tensor:
        """Return the weight of each pair, or the smaller degree if the weight is 0."""
        row, col, w = (torch.from_numpy(array) for array in self.pairs)
        if not w.numel():
            return torch.ones(len(row), dtype=torch.float64)
        strength = self.L.diagonal
        ends = torch.minimum(strength[row.long()], strength[col.long()])
        return torch.where(w > 0, w, ends)

    def _solve_pairs(self, ids: Tensor) -> None:
        """Compute the potential differences for unit currents between the ends."""
        row, col, w = (torch.from_numpy(array) for array in self.pairs)
        ids = ids[self.L.component[row[ids]] == self.L.component[col[ids]]]
        if not ids.numel():
            return
        u, v, column = row[ids].long(), col[ids].long(), torch.arange(ids.numel())
        current = self._conductance()[ids].sqrt()
        B = torch.zeros(self.L.num_nodes, ids.numel(), dtype=self.L.dtype)
        B[u, column], B[v, column] = current, -current
        X = self._potentials(B)
        own = w[ids] if w.numel() else torch.ones(ids.numel(), dtype=torch.float64)
        rest_u, rest_v = self.L.diagonal[u] - own, self.L.diagonal[v] - own
        rests = zip(rest_u.tolist(), rest_v.tolist(), own.tolist(), strict=True)
        near = torch.tensor([grounded(*rest) for rest in rests], dtype=torch.float64)
        far = (X[u, column] - X[v, column]) / current - near
        self.known[ids, 0], self.total[ids] = far.clamp_(min=0), 0.0
        self.solved = torch.cat([self.solved, ids])

    def finish(self) -> Sampled:
        """Return the resistances and their uncertainty."""
        L, k = self.L, self.num_columns
        out = torch.empty(self.total.size(0), 2, dtype=torch.float64)
        total, clipped, _, _ = (float(x) for x in self._summary(out, self.total, k))
        resistance, std = out[:, 0].clone(), out[:, 1] * uncertainty(k)
        if L.num_pairs < len(resistance):  # pairs of weight 0 may be disconnected
            row, col = (torch.from_numpy(end).long() for end in self.pairs[:2])
            apart = L.component[row] != L.component[col]
            resistance[apart], std[apart] = torch.inf, 0.0
        rank = L.num_nodes - L.num_components
        foster = total / rank if rank else 1.0
        return Sampled(resistance, std, foster, clipped / len(resistance))

    def groups(self) -> Iterator[Tensor]:
        """Yield the resistances from each eighth of the columns, ``[M]`` each.

        The last tensor has the resistances without the sampled part.
        """
        nothing = torch.zeros_like(self.total[:, :1])
        for total in (*self.total.split(1, dim=1), nothing):
            out = torch.empty_like(nothing)
            self._summary(out, total, self.num_columns // WIDTH)
            yield out[:, 0]


def _stream(seed: int, block: int) -> int:
    """Return a 64-bit seed for the hash of each block of columns."""
    golden = 0x9E3779B97F4A7C15
    return (seed * 0xD1342543DE82EF95 + (block + 1) * golden) % 2**64
