"""Random currents on a graph, and what they say about its resistances."""

import math

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
from gsparse.linalg.pcg import PCG, iterate, norm

#: Pairs are solved one by one where the standard error of the leverage w R exceeds this
#: share of the tolerance,
SOLVE = 0.4
#: the worst ones, at most this many.
SOLVED = 32
#: Weights spread wider than this are solved in float64.
SPREAD = 1e4

_NOTHING = torch.empty(0, dtype=torch.float64)


class FlowSampler:
    """Sums over the columns drawn so far, for every pair of a graph with edges.

    Args:
        row: Smaller end point of each pair, sorted by ``(row, col)``.
        col: Larger end points.
        weight: Conductances, non-negative; ``None`` for ones.
        num_nodes: Number of nodes.
        tolerance: Relative error aimed at; decides between float32 and float64.
        seed: Number of the random stream.
        solver: Settings of the solver.
    """

    def __init__(
        self,
        row: Tensor,
        col: Tensor,
        weight: Tensor | None,
        num_nodes: int,
        tolerance: float,
        seed: int,
        solver: PCG,
    ) -> None:
        row, col = row.cpu(), col.cpu()
        own = _NOTHING if weight is None else weight.cpu().double()
        keep = own > 0  # pairs of weight 0 are measured, but conduct nothing
        if own.numel() == 0 or keep.all():
            self.L = Laplacian(row, col, weight, num_nodes, _dtype(own, tolerance))
            self.bridge = self.L.bridges
        else:
            used = (row[keep], col[keep], own[keep])
            self.L = Laplacian(*used, num_nodes, _dtype(own[keep], tolerance))
            self.bridge = torch.zeros_like(keep)
            self.bridge[keep] = self.L.bridges
        self.pairs = (row.numpy(), col.numpy(), own.numpy())
        self.total = torch.zeros(row.numel(), dtype=torch.float64)
        self.seed, self.solver, self.state = seed, solver, solver.init(self.L)
        self.num_columns = self.num_iters = 0

    def add_columns(self) -> None:
        """Draw, solve and add the next eight columns."""
        L, work = self.L, self.L.indices.numel() * WIDTH
        B = torch.zeros(L.num_nodes, WIDTH, dtype=L.dtype)
        stream = np.uint64(_stream(self.seed, self.num_columns // WIDTH))
        run_blocks(random_flow, work, *L.rows, stream, B.numpy())
        X, R = self._solve(B)
        fields = torch.cat([X, B.sub_(R)], dim=1)  # potentials x and currents L x
        arrays = (*self.pairs, L.diagonal.numpy(), fields.numpy(), self.total.numpy())
        run_blocks(add_squares, self.total.numel() * WIDTH, *arrays)
        self.num_columns += WIDTH

    def _solve(self, B: Tensor) -> tuple[Tensor, Tensor]:
        rtol, max_iter = self.solver.rtol, self.solver.max_iter
        goal = rtol * norm(B, self.state.precondition(B))
        X, R, num_iters = iterate(self.state, B, goal, max_iter)
        self.num_iters = max(self.num_iters, num_iters)
        left = norm(R, self.state.precondition(R))
        if (left > (1 + 1e-6) * goal).any():
            raise RuntimeError(
                f"PCG must reach rtol={rtol:g} (got a residual of "
                f"{rtol * (left / goal).max().item():.2g} after {num_iters} "
                "iterations); use method='exact' or 'tree', which do not suffer from "
                "long paths or widely spread weights"
            )
        return X, R

    def _summary(self, out: Tensor) -> np.ndarray:
        """Sum of w R, clipped pairs, sum of squared far shares; ``out`` gets R."""
        sums = np.zeros((-(-self.total.numel() // PAIRS), 3))
        graph = (*self.pairs, self.L.diagonal.numpy(), self.bridge.numpy())
        sampled = (self.total.numpy(), 1 / self.num_columns, out.numpy(), sums)
        run_blocks(summarise, self.total.numel() * WIDTH, *graph, *sampled)
        return sums.sum(axis=0)

    def error(self) -> float:
        """Predicted root mean square of the relative sampling error."""
        k, squares = self.num_columns, self._summary(_NOTHING)[2]
        # A mean of k squares has relative variance 2 / k; its square is too large by
        # the factor 1 + 2 / k.
        return math.sqrt(2 / (k + 2) * squares / self.total.numel())

    def solve_worst(self, tolerance: float) -> None:
        """Solve the pairs whose leverage is sampled badly."""
        k, w = self.num_columns, torch.from_numpy(self.pairs[2])
        leverage = self.total if w.numel() == 0 else self.total * w
        bad = leverage > SOLVE * tolerance * k / math.sqrt(2 / k)
        ids = (bad & ~self.bridge).nonzero().view(-1)
        ids = ids[leverage[ids].argsort(descending=True, stable=True)[:SOLVED]]
        for some in ids.split(WIDTH):
            self._solve_pairs(some)

    def _solve_pairs(self, ids: Tensor) -> None:
        """Potential difference for the unit current between the ends of a pair."""
        row, col, w = (torch.from_numpy(array) for array in self.pairs)
        u, v, column = row[ids].long(), col[ids].long(), torch.arange(ids.numel())
        B = torch.zeros(self.L.num_nodes, WIDTH, dtype=self.L.dtype)
        B[u, column], B[v, column] = 1, -1
        X = self._solve(B)[0].double()
        own = w[ids] if w.numel() else torch.ones(ids.numel(), dtype=torch.float64)
        rest_u, rest_v = self.L.diagonal[u] - own, self.L.diagonal[v] - own
        rests = zip(rest_u.tolist(), rest_v.tolist(), own.tolist(), strict=True)
        near = torch.tensor([grounded(*rest) for rest in rests], dtype=torch.float64)
        far = X[u, column] - X[v, column] - near
        self.total[ids] = far.clamp_(min=0) * self.num_columns

    def finish(self) -> tuple[Tensor, float, float]:
        """Resistances, their Foster sum over its true value, the share clipped."""
        L = self.L
        total, clipped, _ = (float(x) for x in self._summary(self.total))
        if L.num_pairs < self.total.numel():  # pairs of weight 0 need not be joined
            row, col = (torch.from_numpy(end).long() for end in self.pairs[:2])
            self.total[L.component[row] != L.component[col]] = torch.inf
        rank = max(L.num_nodes - L.num_components, 1)
        return self.total, total / rank, clipped / self.total.numel()


def _dtype(weight: Tensor, tolerance: float) -> torch.dtype:
    """float32, unless weights or tolerance ask for more."""
    low, high = torch.aminmax(weight) if weight.numel() else (1, 1)
    fine = tolerance < 1e-3 or high > SPREAD * low
    return torch.float64 if fine else torch.float32


def _stream(seed: int, block: int) -> int:
    """A 64-bit start for the hash of each block of columns."""
    golden = 0x9E3779B97F4A7C15
    return (seed * 0xD1342543DE82EF95 + (block + 1) * golden) % 2**64
