"""How long a grid will take, before any of it runs."""

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.grid import Task, pending
from gsparse.bench.experiment.protocol import prepare, probe_seconds
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.rows import Row, read_rows
from gsparse.bench.tables.table import columns, seconds


class PlanPart(NamedTuple):
    """The runs still to do of one method on one data set and model."""

    dataset: str
    split: str
    model: str
    method: str
    runs: int
    seconds_per_run: float
    source: Literal["rows", "probe"]
    """Medians of earlier rows, or an upper bound from a few epochs."""

    @property
    def hours(self) -> float:
        """All these runs one after the other."""
        return self.runs * self.seconds_per_run / 3600


def make_plan(
    tasks: Iterable[Task], path: Path, *, root: Path | None = None
) -> list[PlanPart]:
    """Predict the time of every pending run; trains a few epochs at the most.

    Where ``path`` has rows of the same data set, model and method, their median is
    taken. Elsewhere a few epochs are trained and the recipe's greatest number of
    epochs is counted, so early stopping can only make it shorter; methods without rows
    are taken to be as slow as the dense run, plus one scoring.

    Args:
        tasks: The whole grid.
        path: The file that holds its rows, if there is one.
        root: Folder of the data sets.
    """
    todo: dict[tuple[str, str, str, str], list[Config]] = {}
    for task in pending(tasks, path):
        config = task.config
        key = (
            config.dataset,
            config.split,
            config.architecture,
            _name(config.method, config.pruner),
        )
        todo.setdefault(key, []).append(config)
    known = _known(read_rows(path) if path.exists() else [])
    probe = _Probe(Workspace(root))
    return [
        PlanPart(*key, len(group), known[key], "rows")
        if key in known
        else PlanPart(*key, len(group), probe(group[0]), "probe")
        for key, group in todo.items()
    ]


def format_plan(plan: list[PlanPart]) -> str:
    """The plan as plain text with its sum."""
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


def _known(rows: list[Row]) -> dict[tuple[str, str, str, str], float]:
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for row in rows:
        if "run_seconds" in row:
            config = Config.from_row(row)
            name = _name(config.method, config.pruner)
            key = (config.dataset, config.split, config.architecture, name)
            found.setdefault(key, []).append(row["run_seconds"])
    return {key: median(values) for key, values in found.items()}


def _name(method: str, pruner: str | None) -> str:
    return method if pruner is None else f"{method} + {pruner}"


class _Probe:
    """Seconds of a run from a few epochs of the dense one, measured once."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.seconds: dict[tuple, float] = {}

    def __call__(self, config: Config) -> float:
        own = getattr(config, "probe_seconds", None)  # of another kind
        if own is not None:
            return own(self.workspace)
        model = (config.dataset, config.split, config.architecture)
        if model not in self.seconds:
            self.seconds[model] = probe_seconds(config.as_dense(), self.workspace)
        if config.pruner is not None:  # trained, pruned, trained again
            return 2 * self.seconds[model]
        method = (config.dataset, config.split, config.method)
        if method not in self.seconds:
            self.seconds[method] = prepare(config, 0, self.workspace).preprocess_seconds
        return self.seconds[model] + self.seconds[method]
