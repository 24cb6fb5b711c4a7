"""Programs and methods of others that estimate effective resistances."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gsparse.bench.contests.approximate_inverse import approximate_inverse_resistance
from gsparse.bench.contests.multigrid import Multigrid, multigrid_resistance
from gsparse.bench.contests.planted_pairs import Planted
from gsparse.bench.tables.rows import Row
from gsparse.linalg import PCG, jl_resistance

Entry = tuple[str, float, Callable[[], Tensor]]
"""Method, setting, and a call that returns one resistance for each pair."""

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
"""Allowed errors of networkit on each graph: finer ones take minutes."""

INVERSE = {
    0.1: (1e-1, 1e-2, 1e-3),
    0.01: (1e-2, 1e-3, 1e-4, 0.0),
    0.001: (1e-4, 0.0),
}
"""Drop tolerances of the incomplete factor for each share dropped from its inverse."""

COLUMNS = {"pyamg JL": (16, 64, 256), "jl, pyamg": (16, 64)}
"""Columns of the plain estimate, and of ours, with pyamg."""

PATIENT_PAIRS = 2_000_000
"""Pairs above which ours with pyamg, which cannot give up, would take many minutes."""

PLAIN_SAMPLERS = (*NETWORKIT, "pyamg JL")
"""Estimates whose error falls with the root of their time."""


def find_peers() -> dict[str, Any]:
    """Import networkit and pyamg, so far as they are installed."""
    peers: dict[str, Any] = {}
    for name in ("networkit", "pyamg"):
        try:
            peers[name] = import_module(name)
        except ImportError:
            continue
    if "networkit" in peers:
        peers["networkit"].setNumberOfThreads(torch.get_num_threads())
    return peers


def versions_of(peers: dict[str, Any]) -> str:
    """Return the versions of peers as ``name==version``."""
    return " ".join(f"{name}=={version(name)}" for name in peers)


def missing_peers(rows: list[Row], names: tuple[str, ...]) -> list[str]:
    """Return a line for each peer that was not installed when rows were made."""
    return [
        f"{name} is not installed: left out (pip install {name})"
        for name in names
        if f"{name}==" not in rows[0]["peers"]
    ]


def peer_entries(
    name: str,
    graph: Planted,
    peers: dict[str, Any],
    seed: int,
    *,
    limit: float,
    most: int | None,
) -> list[Entry]:
    """Return all peers at several settings.

    Args:
        name: Name of the graph.
        graph: Its pairs.
        peers: The modules that are installed.
        seed: Seed of the random methods.
        limit: Seconds after which those give up that can.
        most: Number of settings of each; None for all.
    """
    found = inverse_entries(graph, limit, most)
    if "networkit" in peers:
        found += networkit_entries(name, graph, peers["networkit"], most)
    if "pyamg" in peers:
        found += pyamg_entries(graph, peers["pyamg"], seed, limit, most)
    return found


def inverse_entries(graph: Planted, limit: float, most: int | None) -> list[Entry]:
    """Return the approximate inverse, with epsilon in the name of the method."""
    return [
        (
            f"approximate inverse {epsilon:g}",
            drop,
            partial(
                approximate_inverse_resistance,
                *(graph.row, graph.col, graph.num_nodes),
                epsilon=epsilon,
                drop=drop,
                max_seconds=limit,
            ),
        )
        for epsilon, drops in INVERSE.items()
        for drop in drops[:most]
    ]


def pyamg_entries(
    graph: Planted,
    pyamg: Any,  # noqa: ANN401
    seed: int,
    limit: float,
    most: int | None,
) -> list[Entry]:
    """Return projections solved by pyamg: the plain estimate, and ours.

    Ours with pyamg counts as a peer: it can only make our own solver look worse.
    """
    row, col, _, n, _ = graph

    def plain(count: int) -> Tensor:
        settings: dict[str, Any] = {"num_columns": count, "seed": seed}
        return multigrid_resistance(pyamg, row, col, n, **settings, max_seconds=limit)

    def ours(count: int) -> Tensor:
        # A twentieth of the tolerance, as jl_resistance asks of its own solver.
        solver = PCG(0.0, atol=0.0025, preconditioner=Multigrid(pyamg, "plain"))
        settings: dict[str, Any] = {"num_columns": count, "seed": seed}
        return jl_resistance(row, col, None, n, **settings, solver=solver).resistance

    return [
        (method, count, partial(run, count))
        for method, run in (("pyamg JL", plain), ("jl, pyamg", ours))
        if method == "pyamg JL" or len(row) <= PATIENT_PAIRS
        for count in COLUMNS[method][:most]
    ]


def networkit_entries(
    name: str,
    graph: Planted,
    networkit: Any,  # noqa: ANN401
    most: int | None,
) -> list[Entry]:
    """Return networkit's two approximations; the time to build its graph is left out.

    Raises:
        RuntimeError: If networkit numbers the edges in another way than we assume.
    """
    u, v = graph.row.numpy(), graph.col.numpy()
    theirs = networkit.GraphFromCoo((u, v), n=graph.num_nodes)
    theirs.indexEdges()
    order = np.empty(len(u), np.int64)
    order[np.lexsort((u, v))] = np.arange(len(u))  # by the larger, then the smaller end
    for e in range(0, len(u), max(1, len(u) // 100)):
        found = theirs.edgeId(int(u[e]), int(v[e]))
        if found != order[e]:
            raise RuntimeError(f"networkit numbers pair {e} as {found}, not {order[e]}")

    def run(method: str, setting: float) -> Tensor:
        solver = getattr(networkit.centrality, method)(theirs, setting)
        approximate = method == "SpanningEdgeCentrality"
        (solver.runApproximation if approximate else solver.run)()
        return torch.from_numpy(np.asarray(solver.scores())[order])

    return [
        (method, setting, partial(run, method, setting))
        for method, settings in NETWORKIT.items()
        for setting in settings.get(name, (0.5, 0.2))[:most]
    ]
