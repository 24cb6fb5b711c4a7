"""Seconds of runs from the rows of earlier ones."""

from collections.abc import Hashable, Iterable
from pathlib import Path
from statistics import median

from gsparse.bench.experiment.experiment import Experiment
from gsparse.bench.stale import experiment_of
from gsparse.bench.tables.rows import Row, read_rows

PUBLISHED = Path(__file__).parents[3] / "docs" / "results"
"""Folder of the published rows; only checkouts have it."""


class RecordedSeconds:
    """Median seconds of recorded runs of the same experiment, or of similar ones.

    Args:
        rows: Rows; those without ``run_seconds`` do not count.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._same: dict[Hashable, list[float]] = {}
        self._like: dict[Hashable, list[float]] = {}
        for row in rows:
            if row.get("run_seconds") is None:
                continue
            same = row["config_hash"], row["device"]
            self._same.setdefault(same, []).append(row["run_seconds"])
            experiment = experiment_of(row)
            if experiment is not None:
                self._like.setdefault(_kind(experiment), []).append(row["run_seconds"])

    def find(self, experiment: Experiment) -> float | None:
        """Return the median of runs of the experiment, or else of its kind.

        The kind is the key, the device and the maximum number of epochs: sparsities and
        uses of a teacher may differ.
        """
        device = _device(experiment)
        known = [self._same.get((it, device)) for it in experiment.hashes]
        found = [*known, self._like.get(_kind(experiment))]
        return next((median(it) for it in found if it), None)


def published_seconds() -> RecordedSeconds:
    """Return the seconds of the published rows; none outside of a checkout."""
    return RecordedSeconds(read_rows(PUBLISHED) if PUBLISHED.is_dir() else [])


def _kind(experiment: Experiment) -> Hashable:
    epochs = getattr(experiment, "epochs", None)
    width = getattr(experiment, "hidden_channels", None)
    return experiment.key, _device(experiment), epochs, width


def _device(experiment: Experiment) -> str:
    return getattr(experiment, "device", "cpu")
