"""Errors of resistances where bottlenecks decide, beside the errors reported."""

from collections.abc import Callable
from functools import cache, partial
from statistics import fmean
from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.bench.contests.contest import Contender, Contest, Problem, spread
from gsparse.bench.contests.planted_pairs import FAMILIES, Planted, pairs_of
from gsparse.bench.tables.rows import Row
from gsparse.linalg import ResistanceResult, exact_resistance, pair_resistance
from gsparse.linalg.resistance import Method

METHODS: dict[Method, int | None] = {"jl": None, "tree": 3, "exact": 1, "auto": 3}
"""Maximum number of random seeds of each method."""
CRITICAL = 100
"""Number of pairs that stand out most from what their degrees say."""
MOST_NODES, SPARSE_DEGREE = 20_000, 16
"""Size above which only the planted cut, not every resistance, is checked."""


class Reference(NamedTuple):
    """Exact resistances, and the pairs in the same component with the critical ones."""

    exact: Tensor  # [M]
    joined: Tensor
    critical: Tensor


def contenders(problem: Problem) -> list[Contender]:
    """Return each method; the number of the turn is its random seed."""
    graph = pairs_of(problem.graph, problem.root)
    check = partial(errors, graph, cache(partial(reference_of, graph)))
    size = {"num_nodes": graph.num_nodes, "num_pairs": len(graph.row)}

    def run(method: Method, seed: int) -> ResistanceResult:
        return pair_resistance(*graph.graph, method=method, seed=seed)

    return [
        Contender(
            method,
            {"seconds": partial(run, method)},
            {"seeds": min(problem.repeats, most or problem.repeats)},
            facts=size,
            check=check,
            max_turns=most,
        )
        for method, most in METHODS.items()
    ]


def _weight(graph: Planted) -> Tensor:
    if graph.weight is None:
        return torch.ones(len(graph.row), dtype=torch.float64)
    return graph.weight


def reference_of(graph: Planted) -> Reference | None:
    """Return the exact resistances; None where they would cost too much."""
    row, col, _, n, _ = graph
    if n > MOST_NODES and 2 * len(row) / n > SPARSE_DEGREE:
        return None
    exact, w = exact_resistance(*graph.graph), _weight(graph)
    strength = torch.zeros(n, dtype=torch.float64)
    strength.index_add_(0, row, w).index_add_(0, col, w)
    joined = torch.isfinite(exact).nonzero().view(-1)
    ratio = exact[joined] / (1 / strength[row] + 1 / strength[col])[joined]
    return Reference(exact, joined, joined[ratio.argsort(descending=True)[:CRITICAL]])


def errors(
    graph: Planted, reference: Callable[[], Reference | None], found: ResistanceResult
) -> Row:
    """Return the error reported, the true ones, and the sum over the planted cut."""
    facts: Row = {"used": found.method, "reported_error": found.error}
    known, w, cut = reference(), _weight(graph), graph.cut
    if known is not None:
        exact, joined, critical = known
        relative = found.resistance / exact - 1
        width = 2 * found.solver_error * exact + 1e-9 * exact
        if found.std is not None:
            width += 2 * found.std
        covered = ((found.resistance - exact).abs() <= width).double()
        true = _rms(relative[joined])
        facts |= {
            "rms_relative_error": true,
            "true_over_reported": true / max(found.error, 1e-9),
            "max_relative_error": float(relative[joined].abs().max()),
            "critical_rms_error": _rms(relative[critical]),
            "covered": float(covered[joined].mean()),
            "critical_covered": float(covered[critical].mean()),
        }
        if cut.any():
            facts["cut"] = float((w * exact)[cut].sum())
    if cut.any():
        total = float((w * found.resistance)[cut].sum())
        facts |= dict.fromkeys(("cut_mean", "cut_std", "cut_least"), total)
    return facts


def _rms(value: Tensor) -> float:
    return float(value.square().mean().sqrt())


CONTEST = Contest(
    name="resistance_families",
    about="effective resistances: errors where bottlenecks decide",
    contenders=contenders,
    graphs=(*FAMILIES, "PubMed", "Computers", "tolokers"),
    quick_graphs=("lollipop, 100 + 100",),
    columns={
        "seconds": "ms",
        "reported_error": "reported",
        "rms_relative_error": "rms",
        "max_relative_error": "largest",
        "critical_rms_error": "critical",
        "covered": "covered",
        "cut_mean": "cut",
    },
    repeats=20,
    limit=20.0,
    warm_up=0,
    average=fmean,
    combine={
        "true_over_reported": max,
        "max_relative_error": max,
        "cut_std": spread,
        "cut_least": min,
    },
)
