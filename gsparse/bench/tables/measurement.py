"""Rows of measurements: seconds, bytes, errors."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from gsparse.bench.experiment.facts import run_facts
from gsparse.bench.experiment.machine import allocator, has_own_allocator
from gsparse.bench.tables.rows import KEYS, Row, append_row, content_hash


def measurement(
    table: str,
    dataset: str,
    method: str,
    settings: Row,
    *,
    device: str = "cpu",
    **found: Any,  # noqa: ANN401 (scalars, which mypy cannot see in a mapping)
) -> Row:
    """Return a row with all keys of an experiment's; those that do not apply are null.

    A row without a validation score is a measurement. Rows of different settings,
    threads or allocators have different hashes.

    Args:
        table: Name of the table.
        dataset: Name of the graph.
        method: What was measured.
        settings: All other settings that may change the outcome.
        device: Device of the measurement.
        **found: The measured numbers.
    """
    shared = {"table": table, "dataset": dataset, "method": method, "device": device}
    what = {**shared, **settings, "threads": torch.get_num_threads()}
    facts: Row = {"teacher": "none"} | run_facts()
    hashed = what | ({"allocator": allocator()} if has_own_allocator() else {})
    facts["config_hash"] = content_hash(hashed)
    return dict.fromkeys(KEYS) | {"seed": 0} | what | found | facts


def is_measurement(row: Row) -> bool:
    """Whether a row holds a measurement instead of a trained model's score."""
    return row["val_score"] is None


def split_measurements(rows: Iterable[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows of trained models, and the names of the other tables."""
    rows = list(rows)
    trained = [row for row in rows if not is_measurement(row)]
    return trained, sorted({row["table"] for row in rows if is_measurement(row)})


def append_rows(path: Path | None, rows: Iterable[Row]) -> None:
    """Append rows to a file, if there is one."""
    if path is not None:
        for row in rows:
            append_row(path, row)
