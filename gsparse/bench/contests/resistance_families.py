"""How far off resistances are where bottlenecks decide, and whether they say so.

Run it as a module.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median, stdev

import torch
from torch import Tensor

from gsparse.bench.contests.planted_pairs import FAMILIES, Planted
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.edges import undirected_pairs
from gsparse.linalg import ResistanceResult, exact_resistance, pair_resistance
from gsparse.linalg.resistance import Method

METHODS: tuple[Method, ...] = ("jl", "tree", "exact", "auto")
#: Real graphs whose exact resistances take seconds.
REAL = ("PubMed", "Computers", "tolokers")
#: Pairs that stand out most from what their degrees say.
CRITICAL = 100
#: Above so many nodes there is no exact reference, but what the planted cut must carry.
MOST_NODES, SPARSE_DEGREE = 20_000, 16


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print one line per graph and method, and append rows to a file."""
    parser = argparse.ArgumentParser(prog="resistance_families")
    add = parser.add_argument
    add("--graphs", default="", help="part of the names; all if left out")
    add("--methods", default=",".join(METHODS), help="names, with commas")
    add("--seeds", type=int, default=20)
    add("--root", type=Path, help="folder of the data sets")
    add("--out", type=Path, help="file for one JSON line per graph and method")
    options = parser.parse_args(arguments)
    for name in [*FAMILIES, *REAL]:
        if options.graphs not in name:
            continue
        planted = make(name, options.root)
        exact = _reference(planted)
        for method in options.methods.split(","):
            row = measure(name, planted, exact, method, options.seeds)
            if row is not None:
                sys.stdout.write(format_row(row) + "\n")
                sys.stdout.flush()
                append_rows(options.out, [row])
    return 0


def make(name: str, root: Path | None = None) -> Planted:
    """A graph of a family, or a data set."""
    if name in FAMILIES:
        return FAMILIES[name]()
    data = load(name, root=root)
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    none = torch.zeros(pairs.num_pairs, dtype=torch.bool)
    return Planted(pairs.row, pairs.col, None, pairs.num_nodes, none)


def _reference(planted: Planted) -> Tensor | None:
    degree = 2 * len(planted.row) / planted.num_nodes
    if planted.num_nodes > MOST_NODES and degree > SPARSE_DEGREE:
        return None
    return exact_resistance(*planted.graph)


def measure(
    name: str, planted: Planted, exact: Tensor | None, method: Method, seeds: int
) -> Row | None:
    """One row for a method on a graph; ``None`` where it is refused or gives up."""
    found: list[ResistanceResult] = []
    seconds = []
    for seed in range(seeds if method == "jl" else min(seeds, 3)):
        start = time.perf_counter()
        try:
            found.append(pair_resistance(*planted.graph, method=method, seed=seed))
        except (ValueError, RuntimeError) as error:
            sys.stdout.write(f"{name}: {method} gives up: {error}\n")
            return None
        seconds.append(time.perf_counter() - start)
        if seconds[-1] > 20 or found[-1].method == "exact":
            break
    size: Row = {"num_nodes": planted.num_nodes, "num_pairs": len(planted.row)}
    size |= {"used": found[0].method, "seconds": median(seconds)}
    size |= {"reported_error": mean(one.error for one in found)}
    errors = {} if exact is None else _errors(planted, exact, found)
    settings = {"seeds": len(found)}
    row = measurement("resistance_families", name, method, settings)
    return row | size | errors | _cuts(planted, exact, found)


def _errors(
    planted: Planted, exact: Tensor, found: Sequence[ResistanceResult]
) -> dict[str, float]:
    row, col, weight, n, _ = planted
    w = torch.ones(len(row), dtype=torch.float64) if weight is None else weight
    strength = torch.zeros(n, dtype=torch.float64)
    strength.index_add_(0, row, w).index_add_(0, col, w)
    joined = torch.isfinite(exact).nonzero().view(-1)
    ratio = exact[joined] / (1 / strength[row] + 1 / strength[col])[joined]
    critical = joined[ratio.argsort(descending=True)[:CRITICAL]]
    relative = [one.resistance / exact - 1 for one in found]
    covered = torch.stack([_covers(one, exact) for one in found]).double()
    true = [_rms(value[joined]) for value in relative]
    reported = [one.error for one in found]
    return {
        "rms_relative_error": mean(true),
        "true_over_reported": max(
            t / max(r, 1e-9) for t, r in zip(true, reported, strict=True)
        ),
        "max_relative_error": max(float(v[joined].abs().max()) for v in relative),
        "critical_rms_error": mean(_rms(value[critical]) for value in relative),
        "covered": float(covered[:, joined].mean()),
        "critical_covered": float(covered[:, critical].mean()),
    }


def _covers(one: ResistanceResult, exact: Tensor) -> Tensor:
    width = 2 * one.solver_error * exact + 1e-9 * exact
    if one.std is not None:
        width += 2 * one.std
    return (one.resistance - exact).abs() <= width


def _cuts(
    planted: Planted, exact: Tensor | None, found: Sequence[ResistanceResult]
) -> dict[str, float]:
    if not planted.cut.any():
        return {}
    w = planted.weight
    w = torch.ones(len(planted.row), dtype=torch.float64) if w is None else w
    sums = [float((w * one.resistance)[planted.cut].sum()) for one in found]
    known = {} if exact is None else {"cut": float((w * exact)[planted.cut].sum())}
    spread = stdev(sums) if len(sums) > 1 else 0.0
    return known | {"cut_mean": mean(sums), "cut_std": spread, "cut_least": min(sums)}


def _rms(value: Tensor) -> float:
    return float(value.square().mean().sqrt())


def format_row(row: Row) -> str:
    """One line."""
    text = f"{row['dataset']:29}{row['method']:6}{row['used']:6}{row['seconds']:7.2f} s"
    text += f" reported {row['reported_error']:.4f}"
    if "covered" in row:
        text += (
            f" rms {row['rms_relative_error']:.4f} max {row['max_relative_error']:.3f}"
            f" critical {row['critical_rms_error']:.4f} covered {row['covered']:.3f}"
            f" {row['critical_covered']:.3f}"
        )
    if "cut_mean" in row:
        text += f" cut {row['cut_mean']:.3f} +- {row['cut_std']:.3f}"
    return text


if __name__ == "__main__":
    sys.exit(main())
