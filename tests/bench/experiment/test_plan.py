"""Estimated run time of a grid."""

from dataclasses import replace

import pytest

from gsparse.bench import Config, append_row, run_one, tasks
from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.plan import PlanPart, format_plan, make_plan

CONFIG = Config("digits", "random-5-30", "gcn", "Dense", 0.0, epochs=3)


def test_sum_by_hand():
    plan = [
        PlanPart("digits", "random", "gcn", "Dense", 10, 90.0, "rows"),
        PlanPart("digits", "random", "gcn", "DSpar", 30, 60.0, "rows"),
    ]
    assert sum(part.hours for part in plan) == pytest.approx(0.75)
    assert format_plan(plan).endswith("40 runs, 0.75 hours in one process")
    guess = plan[0]._replace(source="probe")
    assert "at most 0.25 hours" in format_plan([guess])
    assert format_plan([]) == "nothing to run: every row is there"


def test_rows_are_believed_and_the_rest_is_probed(tmp_path):
    path = tmp_path / "a.jsonl"
    row = run_one(CONFIG, 0)
    append_row(path, row | {"run_seconds": 7200.0})
    grid = tasks(configs(["digits"], ["gcn"], ["DSpar"], [0.5, 0.8], epochs=3), [0, 1])
    before = path.read_bytes()
    plan = {part.method: part for part in make_plan(grid, path)}
    assert path.read_bytes() == before
    assert {name: part.runs for name, part in plan.items()} == {
        "Dense": 1,
        "DSpar": 4,
        "MLP": 2,
    }
    assert plan["Dense"].hours == pytest.approx(2.0)
    assert plan["Dense"].source == "rows"
    assert plan["DSpar"].source == "probe"
    assert 0 < plan["DSpar"].seconds_per_run < 60


def test_rows_of_one_depth_say_nothing_of_another(tmp_path):
    path = tmp_path / "a.jsonl"
    short = replace(CONFIG, num_layers=2, backbone="plain")
    append_row(path, run_one(short, 0) | {"run_seconds": 7200.0})
    deep = replace(short, num_layers=3)
    same, other, standard = make_plan(tasks([short, deep, CONFIG], [1]), path)
    assert (same.model, same.source) == ("gcn, 2 layers, plain", "rows")
    assert (other.model, other.source) == ("gcn, 3 layers, plain", "probe")
    assert (standard.model, standard.source) == ("gcn", "probe")
