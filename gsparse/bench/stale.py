"""Rebuild experiments from their rows, and find the rows that are out of date."""

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.experiment import Experiment
from gsparse.bench.implicit import DecayConfig
from gsparse.bench.incremental import TaskConfig
from gsparse.bench.structured import StructuredConfig
from gsparse.bench.tables.rows import Row

OWN_TABLES: dict[str, type[Experiment]] = {
    kind.table: kind for kind in (StructuredConfig, DecayConfig, TaskConfig)
}


def is_experiment(row: Row) -> bool:
    """Whether a row comes from an experiment and not from a measurement of speed."""
    return row["val_score"] is not None or row["table"] in OWN_TABLES


def experiment_of(row: Row) -> Experiment | None:
    """Return the experiment that would be run today in place of a row.

    Returns:
        None for a measurement, and if the method of the row no longer exists.
    """
    if not is_experiment(row):
        return None
    own = row["val_score"] is None
    kind = OWN_TABLES[row["table"]] if own else Config
    try:
        return kind.from_row(row)
    except ValueError:
        return None


def is_stale(row: Row) -> bool:
    """Whether a run of today would differ from the one that made this row.

    That is so if the method's ``revision`` or the recipe has changed since, or if the
    method no longer exists. Measurements have no revision and are never stale.
    """
    if not is_experiment(row):
        return False
    found = experiment_of(row)
    try:
        return found is None or row["config_hash"] not in found.hashes
    except ValueError:  # the method no longer exists
        return True
