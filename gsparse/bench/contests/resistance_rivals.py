"""The programs and methods of others in the benchmark of effective resistances."""

from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gsparse.bench.contests.approximate_inverse import approximate_inverse_resistance
from gsparse.bench.contests.multigrid import Multigrid, multigrid_resistance
from gsparse.bench.contests.resistance_contenders import Contender, Problem
from gsparse.linalg import PCG, jl_resistance

#: Allowed errors of networkit, per graph: finer ones take minutes.
NETWORKIT: dict[str, dict[str, tuple[float, ...]]] = {
    "ApproxSpanningEdge": {
        "PubMed": (0.2, 0.1, 0.05, 0.02),
        "Physics": (0.2, 0.1, 0.05),
        "tolokers": (0.2, 0.1, 0.05),
        "chung_lu": (0.5, 0.3),
    },
    "SpanningEdgeCentrality": {
        "PubMed": (0.5,),
        "Physics": (0.5,),
        "tolokers": (0.5,),
        "chung_lu": (),  # ran out of 23 GB
    },
}
#: Drop tolerances of the incomplete factor for each share dropped from its inverse.
INVERSE = {
    0.1: (1e-1, 1e-2, 1e-3),
    0.01: (1e-2, 1e-3, 1e-4, 0.0),
    0.001: (1e-4, 0.0),
}
#: Columns of the plain estimate, and of ours, with pyamg.
COLUMNS = {"pyamg JL": (16, 64, 256), "jl, pyamg": (16, 64)}
#: Estimates whose error falls with the root of their time.
PLAIN_SAMPLERS = (*NETWORKIT, "pyamg JL")


class Peers(NamedTuple):
    """The modules of the peers that are installed."""

    networkit: Any = None
    pyamg: Any = None

    @property
    def versions(self) -> str:
        """Which versions they are, as ``name==version``."""
        names = [name for name, peer in self._asdict().items() if peer is not None]
        return " ".join(f"{name}=={version(name)}" for name in names)


def find_peers() -> Peers:
    """Import the optional peers, where they are compared with and nowhere else."""
    try:
        import networkit
    except ImportError:
        networkit = None
    else:
        networkit.setNumberOfThreads(torch.get_num_threads())
    try:
        import pyamg
    except ImportError:
        pyamg = None
    return Peers(networkit, pyamg)


def peer_contenders(
    problem: Problem, peers: Peers, seed: int, *, limit: float, quick: bool
) -> list[Contender]:
    """All peers at several settings.

    Args:
        problem: The graph.
        peers: The modules that are installed.
        seed: Seed of the random methods.
        limit: Seconds after which those give up that can.
        quick: Only the coarsest setting of each.

    Returns:
        One contender per setting.
    """
    found = inverse_contenders(problem, limit, quick)
    if peers.networkit is not None:
        found += networkit_contenders(problem, peers.networkit, quick)
    if peers.pyamg is not None:
        found += pyamg_contenders(problem, peers.pyamg, seed, limit, quick)
    return found


def inverse_contenders(problem: Problem, limit: float, quick: bool) -> list[Contender]:
    """The approximate inverse: epsilon in the name, the drop tolerance as setting."""
    row, col, n = problem.row, problem.col, problem.num_nodes

    def contender(epsilon: float, drop: float) -> Contender:
        def run() -> Tensor:
            return approximate_inverse_resistance(
                row, col, n, epsilon=epsilon, drop=drop, max_seconds=limit
            )

        return Contender(f"approximate inverse {epsilon:g}", drop, run, is_peer=True)

    most = 1 if quick else None
    return [
        contender(epsilon, drop)
        for epsilon, drops in INVERSE.items()
        for drop in drops[:most]
    ]


def pyamg_contenders(
    problem: Problem,
    pyamg: Any,  # noqa: ANN401
    seed: int,
    limit: float,
    quick: bool,
) -> list[Contender]:
    """Projections solved by pyamg: the plain estimate, and ours.

    Ours with pyamg counts as a peer: it can only make our own solver look worse.
    """
    row, col, n = problem.row, problem.col, problem.num_nodes

    def plain(count: int) -> Tensor:
        settings: dict[str, Any] = {"num_columns": count, "seed": seed}
        return multigrid_resistance(pyamg, row, col, n, **settings, max_seconds=limit)

    def ours(count: int) -> Tensor:
        # a twentieth of the tolerance, as jl_resistance asks of its own solver
        solver = PCG(0.0, atol=0.0025, preconditioner=Multigrid(pyamg, "plain"))
        settings: dict[str, Any] = {"num_columns": count, "seed": seed}
        return jl_resistance(row, col, None, n, **settings, solver=solver).resistance

    most = 1 if quick else None
    return [
        Contender(method, count, partial(run, count), is_peer=True)
        for method, run in (("pyamg JL", plain), ("jl, pyamg", ours))
        for count in COLUMNS[method][:most]
    ]


def networkit_contenders(
    problem: Problem,
    networkit: Any,  # noqa: ANN401
    quick: bool,
) -> list[Contender]:
    """Networkit's two approximations; building its graph is not part of the time."""
    graph = networkit.GraphFromCoo(
        (problem.row.numpy(), problem.col.numpy()), n=problem.num_nodes
    )
    graph.indexEdges()
    order = _edge_ids(problem, graph)

    def contender(method: str, setting: float) -> Contender:
        def run() -> Tensor:
            solver = getattr(networkit.centrality, method)(graph, setting)
            if method == "SpanningEdgeCentrality":
                solver.runApproximation()
            else:
                solver.run()
            return torch.from_numpy(np.asarray(solver.scores()))[order]

        return Contender(method, setting, run, is_peer=True)

    most = 1 if quick else None
    return [
        contender(method, setting)
        for method, settings in NETWORKIT.items()
        for setting in settings.get(problem.name, (0.5, 0.2))[:most]
    ]


def _edge_ids(problem: Problem, graph: Any) -> Tensor:  # noqa: ANN401
    """Networkit's number of each pair: sorted by the larger, then the smaller end."""
    by_column = np.lexsort((problem.row.numpy(), problem.col.numpy()))
    ids = torch.empty(len(by_column), dtype=torch.long)
    ids[torch.from_numpy(by_column)] = torch.arange(len(by_column))
    for e in range(0, len(ids), max(1, len(ids) // 100)):
        found = graph.edgeId(int(problem.row[e]), int(problem.col[e]))
        if found != ids[e]:
            raise RuntimeError(f"networkit numbers pair {e} as {found}, not {ids[e]}")
    return ids
