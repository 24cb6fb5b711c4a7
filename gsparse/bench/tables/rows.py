"""Rows of experiments: one flat JSON line per finished run."""

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

try:
    import fcntl
except ModuleNotFoundError:  # Windows: appends are still one write each
    fcntl = None  # type: ignore[assignment]

Row = dict[str, Any]
Filter = Mapping[str, object]

KEYS = (
    "table",
    "dataset",
    "split",
    "features_fingerprint",
    "model",
    "num_layers",
    "hidden",
    "method",
    "seed",
    "config_hash",
    "sparsity",
    "teacher",
    "metric",
    "val_score",
    "test_score",
    "best_epoch",
    "device",
    "threads",
    "versions",
    "command",
)
"""Present in every row, in this order; further keys follow where they apply."""

_log = logging.getLogger(__name__)


def content_hash(content: Mapping[str, Any]) -> str:
    """Hash a flat mapping to twelve hexadecimal digits, whatever its key order.

    Example:
        >>> content_hash({"a": 1, "b": 0.5}) == content_hash({"b": 0.5, "a": 1})
        True
    """
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def append_row(path: Path, row: Row) -> None:
    """Append one row as one line, safely for several processes at once.

    The line goes out in a single write under a file lock. What a killed process
    left behind after the last full line is cut away first.

    Args:
        path: A ``.jsonl`` file; it and its folders are created when missing.
        row: Flat mapping with all of :data:`KEYS`.

    Raises:
        ValueError: A key is missing, a value is not a scalar, or not finite.
    """
    line = _encode(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # released by close
        _mend_tail(descriptor)
        if os.write(descriptor, line) != len(line):
            raise OSError(f"could not write a whole row to {path}: is the disk full?")
    finally:
        os.close(descriptor)


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a file, or of every ``.jsonl`` file of a folder.

    A last line cut short by a killed process is skipped (and logged).

    Args:
        path: File or folder. A missing one is an error; an empty one is not.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: A line other than the last is no row.
    """
    if path.is_dir():
        return [row for file in sorted(path.glob("*.jsonl")) for row in read_rows(file)]
    if not path.exists():
        raise FileNotFoundError(f"no rows at {path} (no such file or folder)")
    lines = path.read_bytes().split(b"\n")
    rows = [_decode(line, path, i) for i, line in enumerate(lines[:-1], 1) if line]
    if lines[-1]:
        try:
            rows.append(_decode(lines[-1], path, len(lines)))
        except ValueError:
            _log.warning("%s ends in a line cut short; it is skipped", path)
    return rows


def latest(rows: Iterable[Row]) -> list[Row]:
    """Keep the last row of every (config, seed), in the order of first appearance."""
    return list({(row["config_hash"], row["seed"]): row for row in rows}.values())


def finished(rows: Iterable[Row]) -> set[tuple[str, int]]:
    """Return the (config_hash, seed) pairs that need not run again."""
    return {(row["config_hash"], row["seed"]) for row in rows}


def _encode(row: Row) -> bytes:
    missing = [key for key in KEYS if key not in row]
    if missing:
        raise ValueError(f"a row must have all keys of KEYS (missing {missing})")
    for key, value in row.items():
        if not isinstance(value, str | int | float | None):
            raise ValueError(f"'{key}' must be a scalar (got {type(value).__name__})")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"'{key}' must be finite (got {value})")
    ordered = {key: row[key] for key in KEYS} | row
    return json.dumps(ordered, ensure_ascii=False).encode() + b"\n"


def _decode(line: bytes, path: Path, number: int) -> Row:
    try:
        row = json.loads(line)
    except ValueError:
        raise ValueError(f"{path}, line {number}: not a JSON row") from None
    if not isinstance(row, dict) or not row.keys() >= set(KEYS):
        raise ValueError(f"{path}, line {number}: not a row with all keys of KEYS")
    if row["val_score"] is not None:
        row.setdefault("training", "scratch")  # rows did not always say so
    return row


def _mend_tail(descriptor: int) -> None:
    """Complete the last line of a file if it is a row; otherwise cut it off."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    start, tail = size, b""
    while start and b"\n" not in tail:
        step = min(start, 65536)
        start -= step
        os.lseek(descriptor, start, os.SEEK_SET)
        tail = os.read(descriptor, step) + tail
    end = tail.rfind(b"\n") + 1
    if end == len(tail):
        return
    try:
        json.loads(tail[end:])
    except ValueError:
        os.ftruncate(descriptor, start + end)
    else:
        os.write(descriptor, b"\n")


def select(rows: Iterable[Row], wanted: Filter) -> list[Row]:
    """Return the rows that have all these values.

    A wanted sparsity is compared with the target, and keys that a row lacks count as
    None.

    Example:
        >>> rows = [{"sparsity": 0.51, "sparsity_target": 0.5}, {"sparsity": 0.0}]
        >>> select(rows, {"sparsity": 0.5, "pruner": None})
        [{'sparsity': 0.51, 'sparsity_target': 0.5}]
    """

    def value(row: Row, key: str) -> object:
        if key == "sparsity" and "sparsity_target" in row:
            return row["sparsity_target"]
        return row.get(key)

    return [row for row in rows if all(value(row, k) == v for k, v in wanted.items())]
