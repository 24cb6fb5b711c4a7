"""`"On implicit filter level sparsity in Convolutional Neural Networks"
<https://arxiv.org/abs/1811.12495>`_: which optimiser switches units off.

The paper's networks classify images. Here its directions are tested on GCNs of three
layers with batch normalisation: Adam with L2 switches more units off than AdamW and
SGD, more with a stronger penalty, none without one, and more in the early layers. These
units are then removed. Units are counted by activation after the last epoch;
:mod:`gsparse.bench.implicit` describes the training.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from gsparse.bench.experiment.grid import Task, grid_rows, tasks
from gsparse.bench.findings import Finding, target
from gsparse.bench.implicit import METHODS, DecayConfig
from gsparse.bench.tables.rows import Row
from gsparse.bench.verdicts import exact, gap

TABLE = DecayConfig.table
CLAIM = "Adam with L2 switches units off; SGD and AdamW fewer; removal costs nothing"
DATA, MINUTES = "PubMed, Computers, Physics", (6, 90)
GRAPHS = ("PubMed", "Computers", "Physics")
WEAK, STRONG = 5e-4, 5e-3  # the usual penalty of GNNs, and ten times that
QUICK_SEEDS, FULL_SEEDS = 2, 5
MOST_WITHOUT = 1.0  # percent of the units


def runs(quick: bool) -> list[Task]:
    """Return the runs of PubMed with two seeds, or of three graphs with five."""
    cells = [
        DecayConfig(graph, method, decay)
        for graph in (GRAPHS[:1] if quick else GRAPHS)
        for method in METHODS
        for decay in (0.0, WEAK, STRONG)
        if decay or method == "Adam"
    ]
    return tasks(cells, range(QUICK_SEEDS if quick else FULL_SEEDS))


def findings(out: Path, quick: bool, root: Path | None = None) -> list[Finding]:
    """Return the directions of the paper, and the cost of the removal.

    Args:
        out: Folder of ``implicit.jsonl``, which holds the rows of :func:`runs`.
        quick: As for :func:`runs`.
        root: Not used.
    """
    rows, found = grid_rows(runs(quick), out / f"{TABLE}.jsonl"), []
    for graph in GRAPHS[:1] if quick else GRAPHS:
        cell = [row for row in rows if row["dataset"] == graph]
        strong = _share(cell, "Adam", STRONG)
        found += [
            _more(graph, f"Adam - {other}, both {STRONG:g}", strong, theirs)
            for other in ("AdamW", "SGD")
            for theirs in [_share(cell, other, STRONG)]
        ]
        weak = _share(cell, "Adam", WEAK)
        found.append(_more(graph, f"Adam {STRONG:g} - {WEAK:g}", strong, weak))
        found.append(_none_without(cell, graph))
        first = _by_seed(cell, "Adam", STRONG, lambda r: r["dead_activation_first"])
        last = _by_seed(cell, "Adam", STRONG, lambda r: r["dead_activation_last"])
        found.append(_more(graph, "first - last layer, Adam", first, last))
        found.append(_free(cell, graph))
    return found


def _by_seed(
    rows: Sequence[Row], method: str, decay: float, value: Callable[[Row], float]
) -> dict[int, float]:
    """Return a share in percent, by seed."""
    return {
        row["seed"]: 100 * value(row)
        for row in rows
        if (row["method"], row["decay"]) == (method, decay)
    }


def _share(rows: Sequence[Row], method: str, decay: float) -> dict[int, float]:
    """Return the dead units in percent, by seed."""
    return _by_seed(
        rows, method, decay, lambda row: row["num_dead_activation"] / row["num_units"]
    )


def _more(
    graph: str, claim: str, first: dict[int, float], second: dict[int, float]
) -> Finding:
    """Check that the first has more dead units, in percent of all units."""
    found = gap(first, second)
    verdict = found.above()
    return Finding(graph, claim, 0.0, found.mean, verdict, found.half, unit="%")


def _none_without(rows: Sequence[Row], graph: str) -> Finding:
    """Check that Adam switches no units off without a penalty."""
    found, claim = gap(_share(rows, "Adam", 0.0), 0.0), "Adam without a penalty"
    verdict, most = found.at_most(MOST_WITHOUT), MOST_WITHOUT
    return Finding(graph, claim, most, found.mean, verdict, found.half, unit="%")


def _free(rows: Sequence[Row], graph: str) -> Finding:
    """Check that removing all dead units costs no points anywhere."""
    cost = max(100 * abs(r["test_score"] - r["test_removed_activation"]) for r in rows)
    return target(graph, "most that removal changes", 0.0, cost, exact(cost == 0))
