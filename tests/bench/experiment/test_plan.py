"""Estimated run time of a grid."""

from dataclasses import replace

import pytest
import torch

from gsparse.bench import Config, Workspace, append_row, run_one, tasks
from gsparse.bench.experiment import recorded
from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.cost_model import times_dense
from gsparse.bench.experiment.plan import PlanPart, format_plan, make_plan
from gsparse.bench.findings import paper, reproducible
from gsparse.data import cycle, write_graph

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
    rough = plan[0]._replace(source="sizes")
    assert "about 0.50 hours" in format_plan([guess, rough])
    short = plan[0]._replace(runs=1, seconds_per_run=2.5)
    assert format_plan([short]).endswith("1 runs, 2.50s in one process")
    assert format_plan([]) == "nothing to run: every row is there"


def test_names_of_usual_length_fit_into_80_columns():
    own = PlanPart("graph.pt", "60-20-20", "my_models:build", "", 10, 1e4, "probe")
    parts = [own._replace(method="EffectiveResistance"), own._replace(method="DSpar")]
    assert max(map(len, format_plan(parts).splitlines())) <= 80


@pytest.fixture
def loads_nothing(monkeypatch):
    def refuse(*given):
        raise AssertionError("a graph is loaded")

    monkeypatch.setattr(Workspace, "graphs", refuse)


@pytest.fixture
def unpublished(monkeypatch, tmp_path):
    monkeypatch.setattr(recorded, "PUBLISHED", tmp_path / "none")


@pytest.mark.usefixtures("unpublished")
def test_rows_are_believed_and_the_rest_follows_from_dense_or_sizes(tmp_path):
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
    assert plan["DSpar"].source == "dense"
    dspar = replace(CONFIG, method="DSpar", sparsity=0.5)
    assert plan["DSpar"].seconds_per_run == pytest.approx(7200 * times_dense(dspar))
    assert plan["MLP"].source == "sizes"
    assert 0 < plan["MLP"].seconds_per_run < 60


@pytest.mark.usefixtures("unpublished")
def test_the_same_experiment_counts_more_than_its_kind(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    grid = [replace(CONFIG, method="DSpar", sparsity=s) for s in (0.5, 0.8, 0.9)]
    first = run_one(CONFIG, 0)
    for config, value in zip(grid[:2], (10.0, 30.0), strict=True):
        own = {"method": "DSpar", "sparsity_target": config.sparsity}
        own |= {"config_hash": config.hash, "run_seconds": value}
        append_row(path, first | own)
    monkeypatch.setattr(Workspace, "graphs", None)  # loads nothing
    for config, value in zip(grid, (10.0, 30.0, 20.0), strict=True):
        (part,) = make_plan(tasks([config], [1]), path)
        assert (part.seconds_per_run, part.source) == (value, "rows")
    (part,) = make_plan(tasks(grid[:2], [1, 2]), path)
    assert (part.runs, part.seconds_per_run) == (4, 20.0)


@pytest.mark.usefixtures("unpublished")
def test_only_a_graph_without_a_card_is_timed(tmp_path):
    data = cycle(30)
    data.x, data.y = torch.rand(30, 4), torch.arange(30) % 2
    write_graph(data, tmp_path / "g.npz")
    cells = configs([str(tmp_path / "g.npz")], ["gcn"], ["KEdge"], [0.5, 0.8], epochs=4)
    lines = []
    plan = make_plan(tasks(cells, [0]), tmp_path / "a.jsonl", report=lines.append)
    assert {part.source for part in plan} == {"probe"}
    assert lines[0] == "timing a few epochs of g.npz 60-20-20 gcn Dense"
    assert len(lines) == 3


@pytest.mark.usefixtures("loads_nothing")
@pytest.mark.parametrize("name", reproducible())
def test_papers_are_planned_without_loading_a_graph(name, tmp_path):
    module = paper(name)
    plan = make_plan(module.runs(False), tmp_path / "none.jsonl")
    plan += module.plan(tmp_path, False) if hasattr(module, "plan") else []
    assert sum(part.runs for part in plan) > 10
    assert 0.01 < sum(part.hours for part in plan) < 100


@pytest.mark.usefixtures("unpublished")
def test_rows_of_one_depth_say_nothing_of_another(tmp_path):
    path = tmp_path / "a.jsonl"
    short = replace(CONFIG, num_layers=2, backbone="plain")
    append_row(path, run_one(short, 0) | {"run_seconds": 7200.0})
    deep = replace(short, num_layers=3)
    same, other, standard = make_plan(tasks([short, deep, CONFIG], [1]), path)
    assert (same.model, same.source) == ("gcn, 2 layers, plain", "rows")
    assert (other.model, other.source) == ("gcn, 3 layers, plain", "sizes")
    assert (standard.model, standard.source) == ("gcn", "sizes")
