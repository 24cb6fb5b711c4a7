"""Effective resistances side by side with others: errors against seconds.

Run it as a module. All contenders run in this process on
as many threads as torch uses (those that can), taking turns, so that a busy machine is
unfair to all.
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from torch import Tensor

from gsparse.bench.contests.resistance_contenders import (
    GRAPHS,
    TREES,
    Contender,
    Problem,
    make_problem,
    own_contenders,
)
from gsparse.bench.contests.resistance_memory import peak_row
from gsparse.bench.contests.resistance_rivals import Peers, find_peers, peer_contenders
from gsparse.bench.contests.resistance_targets import format_rows, format_targets
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.data import random_graph
from gsparse.edges import undirected_pairs
from gsparse.linalg import exact_resistance, tree_resistance

#: The reference of a graph too large for exact resistances: so many times more trees.
LONGER = 20
#: Above this many pairs there is no exact reference.
EXACT_PAIRS = 2_000_000
#: Seeds of ours and of the peers.
SEEDS = (41603, 80687)


class Errors(NamedTuple):
    """How far estimates are from a reference."""

    rms_relative_error: float
    max_relative_error: float
    max_absolute_error: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its tables, and append its rows to a file."""
    options = _parser().parse_args(arguments)
    peers = find_peers()
    for name, peer in peers._asdict().items():
        if peer is None:
            _say(f"{name} is not installed: left out (pip install {name})")
    for name in options.graphs.split(","):
        problem = make_problem(name, options.root, quick=options.quick)
        _say(f"\n{name}: {problem.num_nodes} nodes, {len(problem.row)} pairs")
        rows = compare(problem, peers, options.repeats, options.quick, options.limit)
        if options.memory:
            rows.append(peak_row(problem.name, options.root, quick=options.quick))
        _say(format_rows(rows))
        _say(format_targets(rows))
        append_rows(options.out, rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="resistance")
    add = parser.add_argument
    add("--graphs", default=",".join(GRAPHS), help="names, with commas")
    add("--repeats", type=int, default=3, help="turns of each contender")
    add("--limit", type=float, default=120.0, help="seconds that end a contender")
    add("--quick", action="store_true", help="few, coarse settings")
    add("--memory", action="store_true", help="peak of a fresh process")
    add("--root", type=Path, help="folder of the data sets")
    add("--out", type=Path, help="file for one JSON line per setting")
    return parser


def compare(
    problem: Problem,
    peers: Peers,
    repeats: int = 3,
    quick: bool = False,
    limit: float = 120.0,
) -> list[Row]:
    """Time all contenders on one graph.

    Args:
        problem: The graph.
        peers: The modules of the peers; those that are None are left out.
        repeats: How often everybody has a turn; medians are reported.
        quick: Fewer settings.
        limit: A contender that takes more seconds has no second turn.

    Returns:
        One row per contender, in the order in which they ran. Those that ran out of
        time or memory have an ``outcome`` and neither seconds nor errors.
    """
    is_small = len(problem.row) <= EXACT_PAIRS
    reference, kind = reference_resistance(problem, is_small)
    for contender in contenders_of(_toy(), peers, True, True, math.inf):
        contender.run()  # compiles
    contenders = contenders_of(problem, peers, is_small, quick, limit)
    runs = [_Runs([], []) for _ in contenders]
    outcome = ["ran"] * len(contenders)
    for _ in range(repeats):
        for k, contender in enumerate(contenders):
            if outcome[k] != "ran":
                continue
            start = time.perf_counter()
            try:
                resistance = contender.run()
            except (MemoryError, TimeoutError) as error:
                outcome[k] = _reason(error, limit)
                continue
            runs[k].seconds.append(time.perf_counter() - start)
            runs[k].errors.append(error_of(resistance, reference))
            if runs[k].seconds[-1] > limit:
                outcome[k] = f"slower than {limit:g} s"
    facts = {"reference": kind, "peers": peers.versions}
    return [
        _row(problem, contender, runs[k], outcome[k], facts)
        for k, contender in enumerate(contenders)
    ]


def contenders_of(
    problem: Problem, peers: Peers, exact: bool, quick: bool, limit: float
) -> list[Contender]:
    """Ours and the peers', in the order in which they run."""
    own = own_contenders(problem, SEEDS[0], exact=exact, quick=quick)
    return own + peer_contenders(problem, peers, SEEDS[1], limit=limit, quick=quick)


def _toy() -> Problem:
    data = random_graph(num_nodes=100, p=0.1, seed=23011)
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return Problem("toy", pairs.row, pairs.col, pairs.num_nodes)


def _reason(error: Exception, limit: float) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory: {error}".rstrip(": ")
    return f"gave up after {limit:g} s: {error}"


def reference_resistance(problem: Problem, is_small: bool) -> tuple[Tensor, str]:
    """Exact resistances, or the estimate from many more trees, and which it is."""
    ends = problem.row, problem.col, None, problem.num_nodes
    if is_small:
        return exact_resistance(*ends), "exact"
    count = LONGER * TREES[1]
    run = tree_resistance(*ends, num_trees=count, seed=977)
    return run.resistance, f"{count} trees"


def error_of(resistance: Tensor, reference: Tensor) -> Errors:
    """Root mean square and largest relative error, and the largest absolute one."""
    difference = resistance.double() - reference
    relative = difference / reference
    return Errors(
        rms_relative_error=float(relative.square().mean().sqrt()),
        max_relative_error=float(relative.abs().max()),
        max_absolute_error=float(difference.abs().max()),
    )


class _Runs(NamedTuple):
    seconds: list[float]
    errors: list[Errors]


def _row(
    problem: Problem,
    contender: Contender,
    runs: _Runs,
    outcome: str,
    facts: dict[str, str],
) -> Row:
    found: Row = dict.fromkeys(("seconds", "seconds_min", "seconds_max"))
    found |= {"repeats": len(runs.seconds)} | dict.fromkeys(Errors._fields)
    if runs.seconds:
        found["seconds"] = median(runs.seconds)
        found["seconds_min"] = min(runs.seconds)
        found["seconds_max"] = max(runs.seconds)
        errors = zip(*runs.errors, strict=True)
        found |= dict(zip(Errors._fields, map(median, errors), strict=True))
    return measurement(
        "resistance",
        problem.name,
        contender.method,
        {"setting": contender.setting, "is_peer": contender.is_peer},
        num_nodes=problem.num_nodes,
        num_pairs=len(problem.row),
        **found,
        outcome=outcome,
        **facts,
    )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
