"""Dense and compact models side by side."""

import json

import pytest

from gsparse.bench.contests import compact_models
from gsparse.bench.contests.compact_models import format_rows, main, measure
from gsparse.bench.structured import StructuredConfig
from gsparse.bench.tables.measurement import is_measurement

CASE = StructuredConfig("digits", "gcn", "Dense", hidden=32)


def test_a_row_holds_both_models(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compact_models, "CASES", (CASE,))
    out = tmp_path / "a.jsonl"
    assert main(["--graphs", "digits", "--rounds", "2", "--out", str(out)]) == 0
    (row,) = (json.loads(line) for line in out.read_text().splitlines())
    assert is_measurement(row)
    assert row["multiply_adds_before"] >= 4 * row["multiply_adds"]
    assert row["width_after"] < row["hidden"] == 32
    ratio = row["infer_seconds_before"] / row["infer_seconds"]
    assert row["speedup"] == pytest.approx(ratio)
    assert "digits" in capsys.readouterr().out


def test_lines_fit_a_terminal():
    row = measure(CASE, rounds=1) | {"infer_seconds_before": 1.25, "speedup": 12.5}
    lines = format_rows([row, row | {"speedup_dense_x": 3.5}]).splitlines()
    assert max(map(len, lines)) <= 80
    assert "1250.0 ms" in lines[1]
    assert lines[1].endswith("-")
    assert lines[2].endswith("3.50x")


def test_other_graphs_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--graphs", "Cora"])
    assert "must be of PubMed, Physics, cornell5" in capsys.readouterr().err
