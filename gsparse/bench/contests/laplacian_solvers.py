"""Laplacian systems: our preconditioners and pyamg's, setup and solve.

Every preconditioner serves our conjugate gradients, in float64, on a block of eight
right-hand sides of the kind that random projections draw. Each is charged for the
fewest iterations after which all columns have a relative error of 1e-5 in the energy
norm. A solve checks its start and its end, so that m iterations apply the
preconditioner m + 3 times. The cycles of pyamg take one column at a time, on one
thread; ours take the block.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.contests.multigrid import Multigrid
from gsparse.bench.contests.planted_pairs import OTHERS, Planted, pairs_of
from gsparse.bench.contests.resistance_rivals import (
    find_peers,
    missing_peers,
    versions_of,
)
from gsparse.bench.tables.rows import Row
from gsparse.linalg import PCG, Laplacian, approximate_cholesky, jacobi
from gsparse.linalg.cholesky import Preconditioner

ENERGY, REFERENCE = 1e-5, 1e-11
"""Relative error in the energy norm to reach, and residual of the reference."""
WIDTH = 8
"""Number of right-hand sides."""
MAX_ITER = 16_384
"""More iterations than this are not tried."""

Maker = Callable[[Any], Preconditioner]


def contenders(problem: Problem) -> list[Contender]:
    """Return a setup and a solve with each preconditioner."""
    graph, peers = pairs_of(problem.graph, problem.root), find_peers()
    peers = {name: peer for name, peer in peers.items() if name == "pyamg"}
    return solves(graph, makers(peers.get("pyamg")), versions_of(peers))


def makers(pyamg: Any) -> dict[str, Maker]:  # noqa: ANN401
    """Return the preconditioners by name; without pyamg (None) only ours."""
    found: dict[str, Maker] = {"Jacobi": jacobi, "approximate Cholesky": _cholesky}
    if pyamg is not None:
        found["pyamg SA"] = Multigrid(pyamg, "smoothed")
        found["pyamg SA, unsmoothed"] = Multigrid(pyamg, "plain")
        found["pyamg pairwise"] = Multigrid(pyamg, "pairwise")
    return found


def _cholesky(L: Any) -> Preconditioner:  # noqa: ANN401
    return approximate_cholesky(L)


def solves(graph: Planted, makers: dict[str, Maker], peers: str) -> list[Contender]:
    """Return a contender for each preconditioner.

    Args:
        graph: The graph.
        makers: The preconditioners by name.
        peers: Versions of the peers.
    """
    L = Laplacian(graph.row, graph.col, None, graph.num_nodes)
    B = right_sides(graph)
    careful = PCG(rtol=REFERENCE, max_iter=MAX_ITER, preconditioner=_cholesky)
    exact = careful.solve(careful.init(L), B).x

    def contender(name: str, maker: Maker) -> Contender:
        count = fewest_iterations(L, B, exact, maker)
        facts: Row = {"num_nodes": graph.num_nodes, "num_pairs": len(graph.row)}
        facts |= {"num_iters": count, "peers": peers}
        runs: dict[str, Callable[[int], Any]] = {
            "setup_seconds": lambda _: _solver(maker, 1).init(L)
        }
        if count is None:
            text = f"more than {MAX_ITER} iterations"
            facts |= {"seconds": None, "outcome": text}
        else:
            solver, state = _solver(maker, count), _solver(maker, 1).init(L)
            runs["seconds"] = lambda _: solver.solve(state, B, check=False)
        settings = {"columns": WIDTH, "energy_error": ENERGY}
        is_peer = isinstance(maker, Multigrid)
        return Contender(name, runs, settings, is_peer, facts)

    return [contender(name, maker) for name, maker in makers.items()]


def right_sides(graph: Planted, seed: int = 50951) -> Tensor:
    """Return the columns of ``B^T Q`` with random signs ``Q`` ``[N, 8]``."""
    rng = np.random.default_rng(seed)
    Q = torch.from_numpy(rng.choice([-1.0, 1.0], (len(graph.row), WIDTH)))
    B = torch.zeros(graph.num_nodes, WIDTH, dtype=torch.float64)
    return B.index_add_(0, graph.row, Q).index_add_(0, graph.col, -Q)


def fewest_iterations(
    L: Laplacian, B: Tensor, exact: Tensor, maker: Maker
) -> int | None:
    """Return the fewest iterations after which the energy error is at most 1e-5.

    The error of conjugate gradients never rises, so the number is found by bisection.
    None means more than :data:`MAX_ITER`.
    """
    state = _solver(maker, 1).init(L)

    def is_enough(count: int) -> bool:
        x = _solver(maker, count).solve(state, B, check=False).x
        return energy_error(L, x, exact) <= ENERGY

    high = 4
    while not is_enough(high):
        high *= 2
        if high > MAX_ITER:
            return None
    low = high // 2 + 1 if high > 4 else 1
    return low + bisect_left(range(low, high), True, key=is_enough)


def energy_error(L: Laplacian, x: Tensor, exact: Tensor) -> float:
    """Return the largest relative error of a column in the norm of the matrix."""

    def energy(y: Tensor) -> Tensor:
        return (y * L.matmul(y)).sum(dim=0)

    return float((energy(x - exact) / energy(exact)).sqrt().max())


def _solver(maker: Maker, max_iter: int) -> PCG:
    """Return conjugate gradients that stop at the number of iterations only."""
    return PCG(rtol=1e-15, max_iter=max_iter, preconditioner=maker)


CONTEST = Contest(
    name="laplacian_solvers",
    about="Laplacian systems: our preconditioners and pyamg's",
    contenders=contenders,
    graphs=("PubMed", "Physics", "tolokers", *[*OTHERS][:3]),
    quick_graphs=("toy",),
    columns={
        "setup_seconds": "setup ms",
        "seconds": "solve ms",
        "num_iters": "iterations",
        "peak_bytes": "peak MB",
    },
    warm_up=0,
    summary=lambda rows: "\n".join(missing_peers(rows, ("pyamg",))),
)
