"""Measurements and experiments in the same files are distinguished."""

from gsparse.bench.tables.measurement import (
    append_rows,
    is_measurement,
    measurement,
    split_measurements,
)
from gsparse.bench.tables.rows import KEYS, latest, read_rows


def test_rows_have_all_keys_and_come_back(tmp_path):
    rows = [
        measurement("speed", "PubMed", name, {"shape": shape}, seconds=0.5)
        for name in ("ours", "theirs")
        for shape in ("8x8", "4x64")
    ]
    append_rows(tmp_path / "speed.jsonl", rows)
    append_rows(None, rows)
    assert read_rows(tmp_path) == rows
    assert all(row.keys() >= set(KEYS) for row in rows)
    assert all(map(is_measurement, rows))
    assert not is_measurement(rows[0] | {"val_score": 0.5})


def test_what_was_measured_does_not_decide_which_row_counts():
    rows = [
        measurement("speed", "PubMed", "ours", {"shape": "8x8"}, seconds=seconds)
        for seconds in (1.0, 2.0)
    ]
    other = measurement("speed", "PubMed", "ours", {"shape": "4x64"}, seconds=3.0)
    assert [row["seconds"] for row in latest([*rows, other])] == [2.0, 3.0]


def test_trained_rows_are_told_from_the_rest():
    speed, size = (measurement(name, "PubMed", "ours", {}) for name in ("b", "a"))
    trained = speed | {"val_score": 0.5}
    assert split_measurements([speed, trained, size]) == ([trained], ["a", "b"])
