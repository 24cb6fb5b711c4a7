"""Solvers of Laplacian systems side by side: setup, seconds and iterations.

Run it as a module. Every preconditioner serves our
conjugate gradients, in float64, on a block of eight right-hand sides of the kind that
random projections draw. Each is charged for the fewest iterations after which every
column has a relative error of 1e-5 in the energy norm. A solve checks its start and its
end, so that m iterations apply the preconditioner m + 3 times. The cycles of pyamg take
one column at a time, on one thread; ours take the block.
"""

import argparse
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.bench.contests.multigrid import Multigrid
from gsparse.bench.contests.planted_pairs import (
    Planted,
    joined,
    long_grid,
    ring_of_cliques,
)
from gsparse.bench.contests.resistance_contenders import Problem, make_problem
from gsparse.bench.contests.resistance_rivals import Peers, find_peers
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.linalg import PCG, Laplacian, approximate_cholesky, jacobi
from gsparse.linalg.cholesky import Preconditioner

#: Relative error in the energy norm to reach, and that of the reference's residual.
ENERGY, REFERENCE = 1e-5, 1e-11
#: Right-hand sides.
WIDTH = 8
#: More iterations than this are not tried.
MAX_ITER = 16_384

Maker = Callable[[Any], Preconditioner]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its table, and append its rows to a file."""
    options = _parser().parse_args(arguments)
    peers = Peers(pyamg=find_peers().pyamg)
    makers = solvers(peers.pyamg)
    for name in options.graphs.split(","):
        problem = make_system(name, options.root)
        rows = compare(problem, makers, options.repeats, peers.versions)
        _say(f"\n{name}: {problem.num_nodes} nodes, {len(problem.row)} pairs")
        _say(format_rows(rows))
        append_rows(options.out, rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="laplacian_solvers")
    add = parser.add_argument
    graphs = ("PubMed", "Physics", "tolokers", *SYNTHETIC)
    add("--graphs", default=",".join(graphs), help="names, with commas")
    add("--repeats", type=int, default=3, help="turns of each solver")
    add("--root", type=Path, help="folder of the data sets")
    add("--out", type=Path, help="file for one JSON line per solver and graph")
    return parser


def solvers(pyamg: Any) -> dict[str, Maker]:  # noqa: ANN401
    """The preconditioners by name; without pyamg (None) only ours."""
    found: dict[str, Maker] = {
        "Jacobi": jacobi,
        "approximate Cholesky": _cholesky,
    }
    if pyamg is None:
        _say("pyamg is not installed: left out (pip install pyamg)")
        return found
    found["pyamg SA"] = Multigrid(pyamg, "smoothed")
    found["pyamg SA, unsmoothed"] = Multigrid(pyamg, "plain")
    found["pyamg pairwise"] = Multigrid(pyamg, "pairwise")
    return found


def _cholesky(L: Any) -> Preconditioner:  # noqa: ANN401
    return approximate_cholesky(L)


SYNTHETIC: dict[str, Callable[[], Planted]] = {
    "ring_of_200_cliques": lambda: ring_of_cliques(200, 20),
    "grid_300x300": lambda: long_grid(300, 300),
    "two_random_graphs": lambda: joined(5000, 20, 2),
}


def make_system(name: str, root: Path | None = None) -> Problem:
    """A graph of :data:`SYNTHETIC`, or a data set by name."""
    if name not in SYNTHETIC:
        return make_problem(name, root)
    planted = SYNTHETIC[name]()
    return Problem(name, planted.row, planted.col, planted.num_nodes)


def right_sides(problem: Problem, seed: int = 50951) -> Tensor:
    """Columns of ``B^T Q`` with random signs ``Q`` ``[N, 8]``."""
    rng = np.random.default_rng(seed)
    Q = torch.from_numpy(rng.choice([-1.0, 1.0], (len(problem.row), WIDTH)))
    B = torch.zeros(problem.num_nodes, WIDTH, dtype=torch.float64)
    return B.index_add_(0, problem.row, Q).index_add_(0, problem.col, -Q)


def compare(
    problem: Problem, makers: dict[str, Maker], repeats: int = 3, peers: str = ""
) -> list[Row]:
    """Measure every solver on one graph.

    Args:
        problem: The graph.
        makers: The preconditioners by name.
        repeats: How often all have a turn; medians are reported.
        peers: Versions of the peers, for the rows.

    Returns:
        One row per solver, without seconds where it did not get there.
    """
    L = Laplacian(problem.row, problem.col, None, problem.num_nodes)
    B = right_sides(problem)
    careful = PCG(rtol=REFERENCE, max_iter=MAX_ITER, preconditioner=_cholesky)
    exact = careful.solve(careful.init(L), B).x
    setups: dict[str, list[float]] = {name: [] for name in makers}
    times: dict[str, list[float]] = {name: [] for name in makers}
    counts = {name: fewest_iterations(L, B, exact, m) for name, m in makers.items()}
    for _ in range(repeats):
        for name, maker in makers.items():
            start = time.perf_counter()
            state = _solver(maker, 1).init(L)
            ready = time.perf_counter()
            setups[name].append(ready - start)
            count = counts[name]
            if count is not None:
                _solver(maker, count).solve(state, B, check=False)
                times[name].append(time.perf_counter() - ready)
    return [
        measurement(
            "laplacian_solvers",
            problem.name,
            name,
            {"columns": WIDTH, "energy_error": ENERGY},
            num_nodes=problem.num_nodes,
            num_pairs=len(problem.row),
            setup_seconds=median(setups[name]),
            seconds=median(times[name]) if times[name] else None,
            num_iters=counts[name],
            repeats=repeats,
            peers=peers,
        )
        for name in makers
    ]


def fewest_iterations(
    L: Laplacian, B: Tensor, exact: Tensor, maker: Maker
) -> int | None:
    """Fewest iterations after which all columns have an energy error of at most 1e-5.

    The energy error of conjugate gradients never rises, so the number is bisected.
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
    """Largest relative error of a column in the norm of the matrix."""

    def energy(y: Tensor) -> Tensor:
        return (y * L.matmul(y)).sum(dim=0)

    return float((energy(x - exact) / energy(exact)).sqrt().max())


def _solver(maker: Maker, max_iter: int) -> PCG:
    """Conjugate gradients that only the number of iterations can stop."""
    return PCG(rtol=1e-15, max_iter=max_iter, preconditioner=maker)


def format_rows(rows: Iterable[Row]) -> str:
    """One line per solver."""
    lines = [
        "{:22}{:>9}{:>10}{:>12}".format("solver", "setup", "seconds", "iterations")
    ]
    for row in rows:
        found = f"more than {MAX_ITER} iterations"
        if row["seconds"] is not None:
            found = f"{row['seconds']:>10.3f}{row['num_iters']:>12}"
        lines.append(f"{row['method']:22}{row['setup_seconds']:>9.3f}{found}")
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
