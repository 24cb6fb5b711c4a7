"""Effective resistances of all edges: errors against seconds, ours and others'."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.contests.planted_pairs import Planted, pairs_of
from gsparse.bench.contests.resistance_rivals import (
    Entry,
    find_peers,
    missing_peers,
    peer_entries,
    versions_of,
)
from gsparse.bench.contests.resistance_targets import format_targets
from gsparse.bench.tables.rows import Row
from gsparse.linalg import (
    exact_resistance,
    jl_resistance,
    pair_resistance,
    tree_resistance,
)
from gsparse.transforms import EffectiveResistance

TREES = (4, 8, 16, 32, 64, 128, 256)
COLUMNS = (16, 64, 256)
TOLERANCES = (0.05,)
LONGER = 20
"""Factor by which the reference has more trees where exact resistances cost much."""
EXACT_PAIRS = 2_000_000
"""Pairs above which there is no exact reference."""
SEEDS = (41603, 80687)
"""Seeds of ours and of the peers."""


def contenders(problem: Problem) -> list[Contender]:
    """Return ours and all installed peers at several settings.

    With ``problem.memory`` one more scores and cuts the graph, as users do.
    """
    graph, peers = pairs_of(problem.graph, problem.root), find_peers()
    exact = len(graph.row) <= EXACT_PAIRS
    facts: Row = {"num_nodes": graph.num_nodes, "num_pairs": len(graph.row)}
    facts["reference"] = "exact" if exact else f"{LONGER * TREES[1]} trees"
    facts["peers"] = versions_of(peers)
    reference = cache(partial(reference_resistance, graph, exact))
    most = 1 if problem.quick else None
    theirs = peer_entries(
        problem.graph, graph, peers, SEEDS[1], limit=problem.limit, most=most
    )
    found = [
        Contender(
            method,
            {"seconds": partial(_call, run)},
            {"setting": setting, "is_peer": is_peer},
            is_peer=is_peer,
            facts=facts,
            check=lambda found: error_of(found, reference()),
        )
        for is_peer, entries in (
            (False, own_entries(graph, SEEDS[0], exact, 2 if problem.quick else None)),
            (True, theirs),
        )
        for method, setting, run in entries
    ]
    return found + ([_sparsifier(problem, graph)] if problem.memory else [])


def _call(run: Callable[[], Tensor], _: int) -> Tensor:
    return run()


def own_entries(
    graph: Planted, seed: int, exact: bool, most: int | None
) -> list[Entry]:
    """Return our methods, each at ``most`` settings from coarse to fine."""
    ends: tuple[Any, ...] = graph.graph

    def tree(count: int) -> Tensor:
        return tree_resistance(*ends, num_trees=count, seed=seed).resistance

    def jl(count: int) -> Tensor:
        return jl_resistance(*ends, num_columns=count, seed=seed).resistance

    def auto(tolerance: float) -> Tensor:
        return pair_resistance(*ends, tolerance=tolerance, seed=seed).resistance

    methods: Any = {tree: TREES, jl: COLUMNS, auto: TOLERANCES}
    found: list[Entry] = [
        (run.__name__, setting, partial(run, setting))
        for run, settings in methods.items()
        for setting in settings[:most]
    ]
    if exact:
        found.append(("exact", 0.0, partial(exact_resistance, *ends)))
    return found


def _sparsifier(problem: Problem, graph: Planted) -> Contender:
    """Return a contender that scores, and scores and cuts, the graph."""
    edge_index = torch.stack([graph.row, graph.col])
    edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    data = Data(edge_index=edge_index, num_nodes=graph.num_nodes)
    transform = EffectiveResistance(sparsity=0.5, seed=1)
    return Contender(
        "memory",
        {
            "score_seconds": lambda _: transform.importance(data),
            "seconds": lambda _: transform(data),
        },
        {"quick": problem.quick},
        facts={"edge_index_bytes": edge_index.nbytes},
        max_turns=1,
    )


def reference_resistance(graph: Planted, exact: bool) -> Tensor:
    """Return exact resistances, or the estimate from many more trees."""
    if exact:
        return exact_resistance(*graph.graph)
    count = LONGER * TREES[1]
    return tree_resistance(*graph.graph, num_trees=count, seed=977).resistance


def error_of(resistance: Tensor, reference: Tensor) -> dict[str, float]:
    """Return the root mean square and the largest relative error, and the largest
    absolute one.
    """
    difference = resistance.double() - reference
    relative = difference / reference
    return {
        "rms_relative_error": float(relative.square().mean().sqrt()),
        "max_relative_error": float(relative.abs().max()),
        "max_absolute_error": float(difference.abs().max()),
    }


def finish(rows: list[Row]) -> list[Row]:
    """Relate the memory of scoring and cutting to that of the edges."""
    for row in rows:
        if row["method"] == "memory" and row.get("peak_bytes") is not None:
            row["peak_ratio"] = row["peak_bytes"] / row["edge_index_bytes"]
    return rows


def summary(rows: list[Row]) -> str:
    """Return who is faster at equal error, and the peers that are missing."""
    lines = [format_targets(rows), *missing_peers(rows, ("networkit", "pyamg"))]
    return "\n".join(lines)


CONTEST = Contest(
    name="resistance",
    about="effective resistances: errors against seconds, with peers",
    contenders=contenders,
    graphs=("PubMed", "Physics", "tolokers", "chung_lu"),
    quick_graphs=("toy",),
    keys=("setting",),
    columns={
        "seconds": "ms",
        "rms_relative_error": "rms error",
        "max_relative_error": "largest",
        "peak_bytes": "peak MB",
        "peak_ratio": "of edges",
    },
    baseline="exact",
    warm_up=0,
    toy="toy",
    probed=("memory",),
    finish=finish,
    summary=summary,
)
