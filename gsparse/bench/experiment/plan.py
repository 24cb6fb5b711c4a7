"""Estimate how long a grid will take, before any of it runs."""

from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Literal, NamedTuple

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.cost_model import rough_seconds, times_dense
from gsparse.bench.experiment.experiment import Experiment, Key
from gsparse.bench.experiment.grid import Task, pending
from gsparse.bench.experiment.own_table import OwnTable
from gsparse.bench.experiment.recorded import RecordedSeconds, published_seconds
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.rows import read_rows
from gsparse.bench.tables.table import columns, seconds

Source = Literal["rows", "published", "measured", "dense", "sizes", "probe"]

ORIGINS: dict[Source, str] = {
    "rows": "rows",
    "published": "published",
    "measured": "measured",
    "dense": "Dense, rough",
    "sizes": "sizes, rough",
    "probe": "probe",
}
"""Where seconds come from: the rows of this file, those of the project, a constant, the
dense run times a factor, the sizes of graph and model, or a few epochs times their
maximum."""

_ORDER = tuple(ORIGINS)


class PlanPart(NamedTuple):
    """The pending runs of one method on one dataset and model."""

    dataset: str
    split: str
    model: str
    method: str
    runs: int
    seconds_per_run: float
    source: Source
    """The least certain of the sources of its runs, see :data:`ORIGINS`."""

    @property
    def hours(self) -> float:
        """Hours of all these runs, one after the other."""
        return self.runs * self.seconds_per_run / 3600


class Estimator:
    """Predicts the seconds of runs, from the best source that there is for each.

    Args:
        path: File of the rows, if there is one.
        root: Folder of the data sets.
        report: Called with a line before anything is timed.
    """

    def __init__(
        self, path: Path, root: Path | None, report: Callable[[str], None]
    ) -> None:
        self._rows = RecordedSeconds(read_rows(path) if path.exists() else [])
        self._published = published_seconds()
        self._workspace, self._report = Workspace(root), report
        self._known: dict[Experiment, tuple[float, Source]] = {}
        self._said: set[str] = set()

    def __call__(self, experiment: Experiment) -> tuple[float, Source]:
        """Return the seconds of a run and their source."""
        if experiment not in self._known:
            self._known[experiment] = self._estimate(experiment)
        return self._known[experiment]

    def _estimate(self, experiment: Experiment) -> tuple[float, Source]:
        recorded = self._recorded(experiment)
        if recorded is not None:
            return recorded
        if isinstance(experiment, OwnTable):
            value, source = self(experiment.dense)
            value *= experiment.num_trainings
            return value, "dense" if source in ("rows", "published") else source
        if isinstance(experiment, Config):
            dense = self._recorded(experiment.as_dense())
            if dense is not None:
                return dense[0] * times_dense(experiment), "dense"
            rough = rough_seconds(experiment)
            if rough is not None:
                return rough, "sizes"
        self._say(f"timing a few epochs of {' '.join(map(str, experiment.key[:4]))}")
        return experiment.estimate(self._workspace), "probe"

    def _say(self, line: str) -> None:
        """Report a line once, also for several sparsities of a method."""
        if line not in self._said:
            self._said.add(line)
            self._report(line)

    def _recorded(self, experiment: Experiment) -> tuple[float, Source] | None:
        own = self._rows.find(experiment)
        if own is not None:
            return own, "rows"
        published = self._published.find(experiment)
        return None if published is None else (published, "published")


def make_plan(
    tasks: Iterable[Task],
    path: Path,
    *,
    root: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[PlanPart]:
    """Predict the time of every pending run.

    The first source that has an answer is taken: rows of the same experiment in
    ``path``, or of its method with other sparsities; published rows; the dense run of
    the same model times a factor for the method; the sizes of the graph. Only for a
    graph, a model or a device without any of these a few epochs are trained and
    multiplied by the maximum number of epochs, so that early stopping can only make a
    run shorter.

    Args:
        tasks: The whole grid.
        path: The file that holds its rows, if there is one.
        root: Folder of the data sets.
        report: Called with a line of text before anything is timed.
    """
    todo: dict[Key, list[Experiment]] = {}
    for task in pending(tasks, path):
        todo.setdefault(task.config.key, []).append(task.config)
    estimate = Estimator(path, root, report)
    plan = []
    for key, group in todo.items():
        values, sources = zip(*map(estimate, group), strict=True)
        source = max(sources, key=_ORDER.index)
        part = PlanPart(*key[:3], key.name, len(group), fmean(values), source)
        plan.append(part)
    return plan


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
            "from": ORIGINS[part.source],
        }
        for part in plan
    ]
    total, runs = sum(part.hours for part in plan), sum(part.runs for part in plan)
    found = {part.source for part in plan}
    about = "at most " if "probe" in found else ""
    about = "about " if found & {"dense", "sizes"} else about
    time = f"{total:.2f} hours" if total >= 0.005 else seconds(3600 * total)
    return f"{columns(records)}\n{runs} runs, {about}{time} in one process"
