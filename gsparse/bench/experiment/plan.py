"""Estimate how long a grid will take, before any of it runs."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from gsparse.bench.experiment.experiment import Experiment, Key
from gsparse.bench.experiment.grid import Task, pending
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.stale import experiment_of
from gsparse.bench.tables.rows import Row, read_rows
from gsparse.bench.tables.table import columns, seconds


class PlanPart(NamedTuple):
    """The pending runs of one method on one dataset and model."""

    dataset: str
    split: str
    model: str
    method: str
    runs: int
    seconds_per_run: float
    source: Literal["rows", "probe"]
    """Whether the seconds are a median of rows or an upper bound from a few epochs."""

    @property
    def hours(self) -> float:
        """Hours of all these runs, one after the other."""
        return self.runs * self.seconds_per_run / 3600


def make_plan(
    tasks: Iterable[Task], path: Path, *, root: Path | None = None
) -> list[PlanPart]:
    """Predict the time of every pending run.

    If ``path`` has rows of the same dataset, model and method, their median is taken.
    Otherwise a few epochs are trained and multiplied by the recipe's maximum number of
    epochs, so that early stopping can only make a run shorter. Methods without rows are
    assumed to be as slow as the dense run, plus one scoring.

    Args:
        tasks: The whole grid.
        path: The file that holds its rows, if there is one.
        root: Folder of the data sets.
    """
    todo: dict[Key, list[Experiment]] = {}
    for task in pending(tasks, path):
        todo.setdefault(task.config.key, []).append(task.config)
    known = seconds_of_rows(read_rows(path) if path.exists() else [])
    workspace = Workspace(root)
    return [
        PlanPart(*key[:3], key.name, len(group), known[key], "rows")
        if key in known
        else PlanPart(
            *key[:3], key.name, len(group), group[0].estimate(workspace), "probe"
        )
        for key, group in todo.items()
    ]


def format_plan(plan: list[PlanPart]) -> str:
    """Return the plan as plain text with its sum."""
    if not plan:
        return "nothing to run: every row is there"
    records = [
        {
            "data set": part.dataset,
            "model": part.model,
            "method": part.method,
            "runs": str(part.runs),
            "each": seconds(part.seconds_per_run),
            "all": seconds(part.runs * part.seconds_per_run),
            "from": "rows" if part.source == "rows" else "probe (at most)",
        }
        for part in plan
    ]
    total, runs = sum(part.hours for part in plan), sum(part.runs for part in plan)
    at_most = "" if all(part.source == "rows" for part in plan) else "at most "
    return f"{columns(records)}\n{runs} runs, {at_most}{total:.2f} hours in one process"


def seconds_of_rows(rows: list[Row]) -> dict[Key, float]:
    """Return the median seconds of a run, for every cell that has rows."""
    found: dict[Key, list[float]] = {}
    for row in rows:
        experiment = experiment_of(row) if "run_seconds" in row else None
        if experiment is not None:
            found.setdefault(experiment.key, []).append(row["run_seconds"])
    return {key: median(values) for key, values in found.items()}
