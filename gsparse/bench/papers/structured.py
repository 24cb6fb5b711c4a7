"""Remove whole hidden units and measure the smaller model.

The idea of pruning structures and of ADMM is that of the `"Tiny but Accurate: A Pruned,
Quantized and Optimized Memristor Crossbar Framework for Ultra Efficient DNN
Implementation" <https://arxiv.org/abs/1908.10017>`_ paper. Its networks see images and
its device is not modelled here, so the targets are ours: four times fewer multiply-adds
have to be seen on the clock. :mod:`gsparse.bench.structured` says how it is measured.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median

from gsparse.bench.experiment.grid import Task, grid_rows, tasks
from gsparse.bench.findings import Finding, target
from gsparse.bench.structured import FEWER, StructuredConfig
from gsparse.bench.structured_models import (
    DENSE,
    METHODS,
    RANDOM,
    SMALL,
    STRUCTURED,
    UNSTRUCTURED,
)
from gsparse.bench.tables.rows import Row
from gsparse.bench.verdicts import exact, gap

TABLE = StructuredConfig.table
CLAIM = "4x fewer multiply-adds: 0.5 points, 2.5x the speed; with 8 bits 1/12 of a file"
DATA, MINUTES = "PubMed, Physics, cornell5", (2, 135)
CASES = (
    StructuredConfig("PubMed", "gat", DENSE, fewer=10.0, output_heads=1),
    StructuredConfig("Physics", "gcn", DENSE, hidden=256),
    StructuredConfig("cornell5", "sage", DENSE, hidden=128),
)
"""The dense models. GAT has 8 heads of 8 and 8 averaged ones in the output layer; with
4 times fewer multiply-adds, and all output heads, the softmaxes that are left take most
of the time (1.5x the speed), so more goes: one head of 8 stays, and one output head.
"""

QUICK_SEEDS, FULL_SEEDS = 2, 10
MOST_LOST, LEAST_SPEED, LEAST_FILE = 0.5, 2.5, 12.0
BITS = 8


def runs(quick: bool) -> list[Task]:
    """Return the runs of PubMed with two seeds, or of three graphs with ten."""
    cells = [
        replace(case, method=method, bits=bits)
        for case in (CASES[:1] if quick else CASES)
        for method in METHODS
        for bits in ((None, BITS) if method in STRUCTURED else (None,))
    ]
    return tasks(cells, range(QUICK_SEEDS if quick else FULL_SEEDS))


def findings(out: Path, quick: bool, root: Path | None = None) -> list[Finding]:
    """Return what the structured model costs and gains, compared with four others.

    The structured method is the one of the highest validation score; its test score is
    compared with the others' seed by seed.

    Args:
        out: Folder of ``structured.jsonl``, which holds the rows of :func:`runs`.
        quick: As for :func:`runs`.
        root: Not used.
    """
    rows, found = grid_rows(runs(quick), out / f"{TABLE}.jsonl"), []
    for graph in [case.dataset for case in (CASES[:1] if quick else CASES)]:
        cell = [row for row in rows if row["dataset"] == graph]
        best = max(
            STRUCTURED, key=lambda it: fmean(_by_seed(cell, it, "val_best").values())
        )
        small = f"{best}+{BITS} bit"
        found += [
            _lost(cell, graph, best, f"lost, {best}"),
            _lost(cell, graph, small, f"lost, {BITS} bit"),
            _ratio(cell, graph, best, "multiply_adds", FEWER),
            _fast(cell, graph, best, LEAST_SPEED),
            _ratio(cell, graph, small, "file_bytes", LEAST_FILE),
            _above(cell, graph, best, SMALL),
            _above(cell, graph, best, RANDOM),
            _faster(cell, graph, best),
        ]
    return found


def _by_seed(rows: Sequence[Row], method: str, key: str) -> dict[int, float]:
    found = {row["seed"]: row[key] for row in rows if row["method"] == method}
    if not found:
        raise ValueError(f"there are no rows of {method}; run them first")
    return found


def _points(rows: Sequence[Row], method: str) -> dict[int, float]:
    found = _by_seed(rows, method, "test_score")
    return {seed: 100 * score for seed, score in found.items()}


def _lost(rows: Sequence[Row], graph: str, method: str, claim: str) -> Finding:
    """Compare the points lost to the dense model with the most that may be lost."""
    found = gap(_points(rows, DENSE), _points(rows, method))
    verdict = found.at_most(MOST_LOST)
    return target(graph, claim, MOST_LOST, found.mean, verdict, found.half)


def _above(rows: Sequence[Row], graph: str, method: str, other: str) -> Finding:
    """Compare with another method that has the same shape, in points."""
    found = gap(_points(rows, method), _points(rows, other))
    claim = f"{method[:16]} - {other}"
    return target(graph, claim, 0.0, found.mean, found.above(), found.half)


def _ratio(
    rows: Sequence[Row], graph: str, method: str, key: str, least: float
) -> Finding:
    """Return the smallest ratio of the dense model's size to the smaller one's."""
    before = _by_seed(rows, method, f"{key}_before")
    after = _by_seed(rows, method, key)
    ours = min(before[seed] / after[seed] for seed in after)
    claim = f"{key.replace('_', ' ')}, dense / ours"
    return target(graph, claim, least, ours, exact(ours >= least), unit="x")


def _speed(rows: Sequence[Row], method: str) -> float:
    """Return the median speed relative to the dense model."""
    return median(_by_seed(rows, method, "speedup_cpu").values())


def _fast(rows: Sequence[Row], graph: str, method: str, least: float) -> Finding:
    ours = _speed(rows, method)
    return target(
        graph, "speed, ours / dense", least, ours, exact(ours >= least), unit="x"
    )


def _faster(rows: Sequence[Row], graph: str, method: str) -> Finding:
    """Compare with the speed of as many parameters left as single weights."""
    theirs, ours = _speed(rows, UNSTRUCTURED), _speed(rows, method)
    claim, wanted = "speed; wanted: unstructured", round(theirs, 1)
    return target(graph, claim, wanted, ours, exact(ours > theirs), unit="x")
