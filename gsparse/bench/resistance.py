"""Effective resistances side by side with networkit: error against seconds.

Run as ``python -m gsparse.bench.resistance``. All contenders run in this process on
as many threads as torch uses, taking turns, so that a busy machine is unfair to all.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from gsparse.bench.resistance_contenders import (
    GRAPHS,
    TREES,
    Contender,
    Problem,
    make_problem,
    own_contenders,
    peer_contenders,
)
from gsparse.bench.resistance_memory import peak_row
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.linalg import exact_resistance, tree_resistance

#: Errors at which the peers' seconds are compared with ours.
TARGETS = (0.16, 0.06, 0.03, 0.01)
#: The reference of a graph too large for exact resistances: so many times more trees.
LONGER = 20
#: Above this many pairs there is no exact reference.
EXACT_PAIRS = 2_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its tables, and append its rows to a file."""
    options = _parser().parse_args(arguments)
    try:
        import networkit  # an optional peer; imported only where it is compared with
    except ImportError:
        networkit = None
        _say("networkit is not installed: ours only (pip install networkit)")
    else:
        networkit.setNumberOfThreads(torch.get_num_threads())
    for name in options.graphs.split(","):
        problem = make_problem(name, options.root, quick=options.quick)
        _say(f"\n{name}: {problem.num_nodes} nodes, {len(problem.row)} pairs")
        rows = compare(problem, networkit, options.repeats, options.quick)
        if options.memory:
            rows.append(peak_row(problem.name, options.root, quick=options.quick))
        _say(format_rows(rows))
        if networkit is not None:
            _say(format_targets(rows))
        append_rows(options.out, rows)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gsparse.bench.resistance")
    add = parser.add_argument
    add("--graphs", default=",".join(GRAPHS), help="names, with commas")
    add("--repeats", type=int, default=3, help="turns of each contender")
    add("--quick", action="store_true", help="few, coarse settings")
    add("--memory", action="store_true", help="peak of a fresh process")
    add("--root", type=Path, help="folder of the data sets")
    add("--out", type=Path, help="file for one JSON line per setting")
    return parser


def compare(
    problem: Problem,
    networkit: Any,  # noqa: ANN401
    repeats: int = 3,
    quick: bool = False,
) -> list[Row]:
    """Time all contenders on one graph.

    Args:
        problem: The graph.
        networkit: The module, or None to leave the peers out.
        repeats: How often everybody has a turn; medians are reported.
        quick: Fewer settings.

    Returns:
        One row per contender, in the order in which they ran.
    """
    is_small = len(problem.row) <= EXACT_PAIRS
    contenders = own_contenders(problem, 41603, exact=is_small, quick=quick)
    if networkit is not None:
        contenders += peer_contenders(problem, networkit, quick=quick)
    reference, kind = reference_resistance(problem, is_small)
    seconds: list[list[float]] = [[] for _ in contenders]
    errors: list[list[tuple[float, float]]] = [[] for _ in contenders]
    for contender in own_contenders(problem, 1, exact=is_small, quick=True):
        contender.run()  # compiles
    for _ in range(repeats):
        for k, contender in enumerate(contenders):
            start = time.perf_counter()
            try:
                resistance = contender.run()
            except MemoryError:  # a peer may need more than there is
                _say(f"{contender.method} {contender.setting:g}: out of memory")
                continue
            seconds[k].append(time.perf_counter() - start)
            errors[k].append(error_of(resistance, reference))
    return [
        _row(problem, contender, seconds[k], errors[k], kind)
        for k, contender in enumerate(contenders)
        if seconds[k]
    ]


def reference_resistance(problem: Problem, is_small: bool) -> tuple[Tensor, str]:
    """Exact resistances, or the estimate from many more trees, and which it is."""
    ends = problem.row, problem.col, None, problem.num_nodes
    if is_small:
        return exact_resistance(*ends), "exact"
    count = LONGER * TREES[1]
    run = tree_resistance(*ends, num_trees=count, seed=977)
    return run.resistance, f"{count} trees"


def error_of(resistance: Tensor, reference: Tensor) -> tuple[float, float]:
    """Root mean square of the relative error, and the largest absolute error."""
    difference = resistance.double() - reference
    relative = (difference / reference).square().mean().sqrt()
    return float(relative), float(difference.abs().max())


def _row(
    problem: Problem,
    contender: Contender,
    seconds: list[float],
    errors: list[tuple[float, float]],
    kind: str,
) -> Row:
    return measurement(
        "resistance",
        problem.name,
        contender.method,
        {"setting": contender.setting, "is_peer": contender.is_peer},
        num_nodes=problem.num_nodes,
        num_pairs=len(problem.row),
        seconds=median(seconds),
        seconds_min=min(seconds),
        seconds_max=max(seconds),
        repeats=len(seconds),
        rms_relative_error=median(rms for rms, _ in errors),
        max_absolute_error=median(largest for _, largest in errors),
        reference=kind,
    )


def format_rows(rows: Iterable[Row]) -> str:
    """One line per contender, and one for the memory."""
    titles = ("method", "setting", "seconds", "rms error", "largest")
    lines = ["{:24}{:>9}{:>10}{:>11}{:>9}".format(*titles)]
    for row in rows:
        if row["method"] == "memory":
            megabytes = row["peak_bytes"] / 1e6, row["edge_index_bytes"] / 1e6
            lines.append(
                "scored and cut in a fresh process: peak {:.0f} MB above {:.0f} MB of "
                "edge_index, {:.2f} times as much".format(*megabytes, row["peak_ratio"])
            )
            continue
        lines.append(
            f"{row['method']:24}{row['setting']:>9g}{row['seconds']:>10.3f}"
            f"{row['rms_relative_error']:>11.5f}{row['max_absolute_error']:>9.5f}"
        )
    return "\n".join(lines)


def format_targets(rows: list[Row]) -> str:
    """For each target error: the peers' seconds, ours, and the ratio.

    Ours is the fastest setting that meets the target, once also with a largest
    absolute error no worse than the peer's. The peers' seconds are interpolated, and
    beyond their settings extrapolated by the law of their sampling: errors fall with
    the root of the time.
    """
    timed = [row for row in rows if row["method"] != "memory"]
    lines = [f"{'rms error':>9}{'networkit':>11}{'ours':>9}{'ratio':>8}   ours by"]
    for target in TARGETS:
        seconds, largest = peer_at(timed, target)
        for limit, what in ((math.inf, ""), (largest, ", largest error no worse")):
            best = ours_at(timed, target, limit)
            if best is None or not math.isfinite(seconds):
                continue
            lines.append(
                f"{target:>9g}{seconds:>11.3f}{best['seconds']:>9.3f}"
                f"{seconds / best['seconds']:>7.1f}x   {best['method']} "
                f"{best['setting']:g} (rms {best['rms_relative_error']:.4f}){what}"
            )
    return "\n".join(lines)


def peer_at(rows: list[Row], target: float) -> tuple[float, float]:
    """Seconds of the fastest peer at an error, and its largest absolute error there."""
    found = []
    for method in {row["method"] for row in rows if row["is_peer"]}:
        mine = [row for row in rows if row["method"] == method]
        near = min(mine, key=lambda r: abs(math.log(r["rms_relative_error"] / target)))
        scale = near["rms_relative_error"] / target
        found.append((near["seconds"] * scale**2, near["max_absolute_error"] / scale))
    return min(found, default=(math.inf, math.inf))


def ours_at(rows: list[Row], target: float, limit: float) -> Row | None:
    """Our fastest row whose rms error meets ``target`` and whose largest ``limit``."""
    good = [
        row
        for row in rows
        if not row["is_peer"]
        and row["rms_relative_error"] <= target
        and row["max_absolute_error"] <= limit
    ]
    return min(good, key=lambda row: row["seconds"], default=None)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
