"""Training epochs side by side."""

import json

import pytest

from gsparse.bench.contests.training_steps import CONTENDERS, format_rows, main, measure
from gsparse.bench.tables.measurement import is_measurement


def test_a_row_for_each_contender(tmp_path, capsys):
    out = tmp_path / "a.jsonl"
    arguments = ["--graphs", "digits", "--models", "gcn", "--rounds", "1"]
    assert main([*arguments, "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["method"] for row in rows] == list(CONTENDERS)
    assert all(is_measurement(row) and row["infer_seconds"] > 0 for row in rows)
    assert capsys.readouterr().out.count("digits") == len(CONTENDERS)


def test_ratios_are_to_the_whole_graph():
    seconds = {"whole": 0.02, "part": 0.005, "ProbMask": 0.05}
    rows = [
        {"dataset": "a", "model": "gcn", "method": name, "infer_seconds": 0.001}
        | {"train_epoch_seconds": value}
        for name, value in seconds.items()
    ]
    ratios = [line.split()[-1] for line in format_rows(rows).splitlines()[1:]]
    assert ratios == ["1.00x", "0.25x", "2.50x"]


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match=r"'rounds' must be at least 1 \(got 0\)"):
        measure("digits", "gcn", rounds=0)
