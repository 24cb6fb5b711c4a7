"""`"Incremental Task Learning with Incremental Rank Updates"
<https://arxiv.org/abs/2207.09074>`_ on tasks of graphs.

The paper learns tasks of images; its numbers say nothing of graphs, so the targets are
ours. GCN with the recipe of each graph; ranks are half of its hidden channels for the
first task, a quarter for each later one. :mod:`gsparse.bench.incremental` says what the
tasks are, and why those of Cora are not of disjoint classes.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from gsparse.bench.experiment.grid import Task, grid_rows, tasks
from gsparse.bench.findings import Finding, target
from gsparse.bench.incremental import SEQUENCES, TaskConfig
from gsparse.bench.paired import scores
from gsparse.bench.tables.rows import Row
from gsparse.bench.verdicts import exact, gap
from gsparse.train.incremental.fit_tasks import METHODS

TABLE = TaskConfig.table
CLAIM = "nothing forgotten; within 1 point of separate models in 40 % of their room"
DATA, MINUTES = "Cora, Cora-disjoint, CS, Twitch", (2, 35)
QUICK_SEEDS, FULL_SEEDS = 2, 5
MOST_LOST, MOST_STORAGE = 1.0, 40.0
OURS = "RankUpdate"


def runs(quick: bool) -> list[Task]:
    """Return the runs of Cora with two seeds, or of all sequences with five."""
    names = ["Cora"] if quick else list(SEQUENCES)
    cells = [TaskConfig(name, method) for name in names for method in METHODS]
    return tasks(cells, range(QUICK_SEEDS if quick else FULL_SEEDS))


def findings(out: Path, quick: bool, root: Path | None = None) -> list[Finding]:
    """Return what is forgotten, lost to separate models, and stored.

    Args:
        out: Folder of ``incremental.jsonl``, which holds the rows of :func:`runs`.
        quick: As for :func:`runs`.
        root: Not used.
    """
    grid = runs(quick)
    rows, found = grid_rows(grid, out / f"{TABLE}.jsonl"), []
    for name in dict.fromkeys(task.config.key.dataset for task in grid):
        cell = [row for row in rows if row["dataset"] == name]
        found += [_forgotten(cell, name), _lost(cell, name), _storage(cell, name)]
        found += [_above(cell, name, it) for it in ("FineTune", "FrozenBody")]
    return found


def _of(rows: Sequence[Row], method: str) -> list[Row]:
    return [row for row in rows if row["method"] == method]


def _forgotten(rows: Sequence[Row], name: str) -> Finding:
    """Check that no logit of an earlier task has changed by a single bit."""
    ours = _of(rows, OURS)
    mean = fmean(100 * row["forgetting"] for row in ours)
    unchanged = all(row["forgetting"] == row["output_change"] == 0 for row in ours)
    return target(name, "forgotten", 0.0, mean, exact(unchanged))


def _lost(rows: Sequence[Row], name: str) -> Finding:
    """Compare with separate models, in points."""
    found = gap(scores(rows, method="Separate"), scores(rows, method=OURS))
    claim, verdict = "lost to separate models", found.at_most(MOST_LOST)
    return target(name, claim, MOST_LOST, found.mean, verdict, found.half)


def _storage(rows: Sequence[Row], name: str) -> Finding:
    ours, separate = (
        fmean(row["storage"] for row in _of(rows, it)) for it in (OURS, "Separate")
    )
    share = 100 * ours / separate
    claim, verdict = "storage of separate models", exact(share <= MOST_STORAGE)
    return target(name, claim, MOST_STORAGE, share, verdict, unit="%")


def _above(rows: Sequence[Row], name: str, method: str) -> Finding:
    """Check that ours is above another method in the mean."""
    found = gap(scores(rows, method=OURS), scores(rows, method=method))
    claim, verdict = f"{OURS} - {method}", found.above()
    return target(name, claim, 0.0, found.mean, verdict, found.half)
