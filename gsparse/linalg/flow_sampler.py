"""Random currents on a graph, and what they say about its resistances."""

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import gammaincc, gammaincinv
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

#: Pairs are solved one by one where the standard error of the leverage w R exceeds this
#: share of the tolerance,
SOLVE = 0.4
#: all if there are so many, else so many of the worst.
ALL, WORST = 256, 32
#: Columns drawn and solved at a time, so that two threads can share them.
DRAWN = 16
#: Below this Ritz value a direction is worth finding more exactly;
SLOW = 0.05
#: and more are looked for until the quickest is quicker than this,
QUICK = 0.02
#: or there are so many, or their vectors hold so many numbers.
DIRECTIONS, NUMBERS = 256, 2**26
#: Then so many columns are drawn: over a cut that is left, whose leverage is 1 or more
#: by what lies beyond it alone, sqrt(2 / k) is 0.05.
CAREFUL = 800
#: A smaller Ritz value is lost in the rounding of float64.
RESOLVED = 1e-11
#: What two standard deviations of a normal variable miss.
MISSED = 0.0455

_NOTHING = torch.empty(0, dtype=torch.float64)
_NO_MATRIX = torch.empty(0, 0, dtype=torch.float64)


class Sampled(NamedTuple):
    """Resistances of the pairs of a :class:`FlowSampler`.

    Attributes:
        resistance: One value per pair ``[M]``.
        std: Standard deviation of each ``[M]``, see :func:`uncertainty`.
        foster: Sum of w R before clipping, over its true value.
        clipped: Share of the pairs whose estimate exceeded 1 / w.
    """

    resistance: Tensor
    std: Tensor
    foster: float
    clipped: float


class FlowSampler:
    """Sums over the columns drawn so far, for every pair of a graph with edges.

    Args:
        row: Smaller end point of each pair, sorted by ``(row, col)``.
        col: Larger end points.
        weight: Conductances, non-negative; ``None`` for ones.
        num_nodes: Number of nodes.
        tolerance: Relative error aimed at; decides how exactly is solved.
        seed: Number of the random stream.
        solver: Settings of the solver; by default it is chosen by the graph.
        apart: Keep the eight sums of every eighth column instead of one sum.
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
        keep = own > 0  # pairs of weight 0 are measured, but conduct nothing
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
        self.known = _NO_MATRIX  # [M, 1] far parts that need no sampling
        self.seed, self.num_columns, self.num_iters = seed, 0, 0
        self.least = 0  # columns without which cuts would be sampled badly
        self.solver_error = 0.0
        self.solved = torch.empty(0, dtype=torch.long)
        self._prepare(tolerance, solver)

    def _prepare(self, tolerance: float, solver: PCG | None) -> None:
        """Choose the solver, and find the slow directions."""
        L = self.L
        found = probe(L, WIDTH, _stream(self.seed, -1))
        conducts = bool((found.values >= DAMPED).all())
        # An error of e in the energy norm moves no far part by more than 2 e of it.
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
                    "parts of the graph must hang together more strongly than "
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
        """Draw, solve and add columns until there are so many."""
        while self.num_columns < num_columns:
            blocks = -(-min(num_columns - self.num_columns, DRAWN) // WIDTH)
            X, LX = self._solve(
                torch.cat([self._draw(b) for b in range(blocks)], dim=1)
            )
            self._add(X, LX, self.total)
            self.num_columns += blocks * WIDTH
            self.total[self.solved] = 0.0

    def _draw(self, block: int) -> Tensor:
        """Eight random currents."""
        L, work = self.L, self.L.indices.numel() * WIDTH
        B = torch.zeros(L.num_nodes, WIDTH, dtype=L.dtype)
        stream = np.uint64(_stream(self.seed, self.num_columns // WIDTH + block))
        run_blocks(random_flow, work, *L.rows, stream, B.numpy())
        return B

    def _solve(self, B: Tensor) -> tuple[Tensor, Tensor]:
        """Potentials and currents, what lies in slow directions taken out."""
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
        """Sum of w R, clipped pairs, sums of squared shares; ``out`` gets R."""
        sums = np.zeros((-(-total.size(0) // PAIRS), 4))
        graph = (*self.pairs, self.L.diagonal.numpy(), self.bridge.numpy())
        far = self.known.numpy(), total.contiguous().numpy(), 1 / count
        run_blocks(summarise, len(total) * WIDTH, *graph, *far, out.numpy(), sums)
        return sums.sum(axis=0)

    def errors(self) -> tuple[float, float]:
        """Root mean square of the relative error: from sampling, from solving."""
        k = self.num_columns
        _, _, sampled, far = self._summary(_NO_MATRIX, self.total, k)
        # A mean of k squares has relative variance 2 / k; its square is too large by
        # the factor 1 + 2 / k.
        sampling = math.sqrt(2 / (k + 2) * sampled / self.total.size(0))
        return sampling, self.solver_error * math.sqrt(far / self.total.size(0))

    def solve_worst(self, tolerance: float) -> None:
        """Solve the pairs whose leverage is sampled badly."""
        k = self.num_columns
        leverage = self.total.sum(dim=1) * self._conductance()
        bad = leverage > SOLVE * tolerance * k / math.sqrt(2 / k)
        ids = (bad & ~self.bridge).nonzero().view(-1)
        if ids.numel() > ALL:
            ids = ids[leverage[ids].argsort(descending=True, stable=True)[:WORST]]
        self.solve(ids)

    def solve(self, ids: Tensor) -> None:
        """Solve some pairs one by one."""
        if ids.numel() and not self.known.numel():
            self.known = torch.zeros(self.total.size(0), 1, dtype=torch.float64)
        for some in ids.split(DRAWN):
            self._solve_pairs(some)

    def _conductance(self) -> Tensor:
        """Weight of each pair; of a pair of weight 0, that of its weaker end."""
        row, col, w = (torch.from_numpy(array) for array in self.pairs)
        if not w.numel():
            return torch.ones(len(row), dtype=torch.float64)
        strength = self.L.diagonal
        ends = torch.minimum(strength[row.long()], strength[col.long()])
        return torch.where(w > 0, w, ends)

    def _solve_pairs(self, ids: Tensor) -> None:
        """Potential difference for the unit current between the ends of a pair."""
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
        """Resistances and what is known of them."""
        L, k = self.L, self.num_columns
        out = torch.empty(self.total.size(0), 2, dtype=torch.float64)
        total, clipped, _, _ = (float(x) for x in self._summary(out, self.total, k))
        resistance, std = out[:, 0].clone(), out[:, 1] * uncertainty(k)
        if L.num_pairs < len(resistance):  # pairs of weight 0 need not be joined
            row, col = (torch.from_numpy(end).long() for end in self.pairs[:2])
            apart = L.component[row] != L.component[col]
            resistance[apart], std[apart] = torch.inf, 0.0
        rank = L.num_nodes - L.num_components
        foster = total / rank if rank else 1.0
        return Sampled(resistance, std, foster, clipped / len(resistance))

    def group(self, group: int) -> Tensor:
        """Resistances from every eighth column ``[M]``."""
        out = torch.empty(self.total.size(0), 1, dtype=torch.float64)
        self._summary(out, self.total[:, group : group + 1], self.num_columns // WIDTH)
        return out[:, 0]

    def fixed(self) -> Tensor:
        """Resistances without their sampled part ``[M]``."""
        out = torch.empty(self.total.size(0), 1, dtype=torch.float64)
        self._summary(out, torch.zeros_like(self.total[:, :1]), 1)
        return out[:, 0]


def uncertainty(num_columns: int) -> float:
    r"""Half the width of an interval about a mean of squares, relative to the mean.

    The mean of k squares is the true value times :math:`\chi^2_k / k`, which is skew:
    two standard deviations cover 88 % of the true values for 16 columns. Two of these
    cover as many as two standard deviations of a normal variable do, 95.4 %.
    """
    half, upper, width = num_columns / 2, 0.0, 0.0
    for _ in range(30):  # a fixed point: the two tails together miss 4.6 %
        width = (half / gammaincinv(half, MISSED - upper) - 1) / 2
        upper = gammaincc(half, half / (1 - 2 * width)) if width < 0.5 else 0.0
    return float(width)


def _stream(seed: int, block: int) -> int:
    """A 64-bit start for the hash of each block of columns."""
    golden = 0x9E3779B97F4A7C15
    return (seed * 0xD1342543DE82EF95 + (block + 1) * golden) % 2**64
