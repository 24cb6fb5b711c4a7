"""Structured pruning: shapes, costs, rows and verdicts."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.grid import Task, grid_rows, run_grid
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.papers import structured as paper
from gsparse.bench.structured import StructuredConfig, _check_shape
from gsparse.bench.structured_costs import (
    MOST_DENSE,
    Seconds,
    file_bytes,
    infer_peak_bytes,
    take_turns,
    timings,
)
from gsparse.bench.structured_models import (
    AT_ONCE,
    METHODS,
    RANDOM,
    SMALL,
    STRUCTURED,
    UNSTRUCTURED,
    prune_units,
    prune_weights,
)
from gsparse.bench.structured_shapes import (
    Shape,
    fewest_heads,
    most_units,
    shape_for,
)
from gsparse.bench.tables.measurement import is_measurement
from gsparse.bench.tables.rows import KEYS, append_row
from gsparse.compaction import compact, multiply_adds
from gsparse.data import planted_partition, split
from gsparse.nn.calling import model_arguments
from gsparse.train import GAT, GCN, FitConfig, recipe, sparse_features
from gsparse.train.fit import seeded

CASES = [("gcn", 64, 1), ("gat", 8, 8), ("sage", 64, 1)]


@pytest.fixture(scope="module")
def graph():
    data = planted_partition(60, num_classes=3, seed=31847)
    return split(data, "60-20-20", seed=31847)


def built(model, data, seed=40213):
    chosen = recipe("digits", model)
    return chosen, chosen.build(data, seed)


# Shapes


@pytest.mark.parametrize(("model", "width", "heads"), CASES)
@pytest.mark.parametrize("fewer", [2.0, 4.0])
def test_no_wider_shape_has_so_many_times_fewer(graph, model, width, heads, fewer):
    """By the definition: every number of units is built and counted."""
    chosen, dense = built(model, graph)
    example = model_arguments(graph)
    shape = shape_for(dense, chosen, graph, example, fewer)
    total = multiply_adds(dense, example)
    counts = {
        (h, c): multiply_adds(Shape(h, c).of(chosen).build(graph, 0), example)
        for h in {1, shape.heads, heads}
        for c in {shape.width, min(shape.width + 1, width)}
    }
    assert fewer * counts[shape.heads, shape.width] <= total
    most = most_units(total, *rest_and_each(chosen, graph, example), fewer)
    assert shape.num_units <= most < shape.num_units + shape.heads
    assert (shape.heads - 1) * width < most  # fewer heads do not hold them
    if model != "gat":
        assert fewer * counts[1, shape.width + 1] > total


def rest_and_each(chosen, data, example):
    """Multiply-adds without hidden units, and of one, from models of one and of two."""
    one, two = (
        multiply_adds(Shape(1, c).of(chosen).build(data, 0), example) for c in (1, 2)
    )
    return 2 * one - two, two - one


def test_too_few_multiply_adds_are_refused():
    assert most_units(total=100, rest=10, each=1, fewer=9.0) == 1
    with pytest.raises(ValueError, match=r"'fewer' must leave .* \(got 9.5\).* 10.0"):
        most_units(total=100, rest=10, each=1, fewer=9.5)


def test_fewest_heads_hold_no_more():
    for most, heads, width in itertools.product(range(1, 70), (1, 2, 8), (3, 8)):
        shape = fewest_heads(most, heads, width)
        assert 1 <= shape.num_units <= most
        assert shape.heads <= heads
        assert shape.width <= width


# Ways to a shape

QUICK = FitConfig(epochs=6, lr=0.01)


@pytest.mark.parametrize("method", [*STRUCTURED, RANDOM])
@pytest.mark.parametrize(("model", "width", "heads"), CASES)
def test_every_way_ends_in_the_shape(graph, model, width, heads, method):
    chosen, dense = built(model, graph)
    before = copy.deepcopy(dense.state_dict())
    shape = Shape(2, 3) if heads > 1 else Shape(1, 5)
    example = model_arguments(graph)
    found = prune_units(method, dense, graph, example, shape, QUICK, 71933)
    small = compact(found.model, example)
    other = shape.of(chosen).build(graph, 0)
    assert [p.shape for p in small.parameters()] == [
        p.shape for p in other.parameters()
    ]
    assert multiply_adds(small, example) == multiply_adds(other, example)
    for name, value in dense.state_dict().items():
        assert value.equal(before[name]), name


def averaging(graph):
    """A recipe of an output layer of four heads, and its model."""
    chosen = recipe("digits", "gat")
    chosen = replace(chosen, options=chosen.options | {"output_heads": 4})
    return chosen, chosen.build(graph, 40213)


@pytest.mark.parametrize("method", ["Structured", "ADMM"])
def test_output_heads_go_with_the_units(graph, method):
    chosen, dense = averaging(graph)
    example = model_arguments(graph)
    shape = shape_for(dense, chosen, graph, example, 4.0, output_heads=1)
    assert shape.output_heads == 1
    assert shape.num_units > shape_for(dense, chosen, graph, example, 4.0).num_units
    found = prune_units(method, dense, graph, example, shape, QUICK, 71933)
    small, other = compact(found.model, example), shape.of(chosen).build(graph, 0)
    sizes = [p.shape for p in small.parameters()]
    assert sizes == [p.shape for p in other.parameters()]
    assert 4.0 * multiply_adds(small, example) <= multiply_adds(dense, example)


def test_what_is_kept_at_once_are_the_largest_units(graph):
    _, dense = built("gcn", graph)
    example, shape = model_arguments(graph), Shape(1, 5)
    with torch.no_grad():
        dense.layers[0].lin.weight[[3, 8, 21, 40, 63]] *= 50
    for method in (AT_ONCE, "Structured+U"):
        found = prune_units(method, dense, graph, example, shape, QUICK, 71933)
        alive = found.model.layers[0].lin.weight.detach().abs().sum(1) > 0
        assert alive.nonzero().view(-1).tolist() == [3, 8, 21, 40, 63]
    other = prune_units(RANDOM, dense, graph, example, shape, QUICK, 71933)
    assert not (other.model.layers[0].lin.weight.detach().abs().sum(1) > 0).equal(alive)


def test_units_that_are_sums_of_others_are_made_up_for(graph):
    """Every hidden unit is there twice; the layer above reads both."""
    chosen = recipe("digits", "gcn")
    model = chosen.build(graph, 40213)
    with torch.no_grad():
        first, second = model.layers[0], model.layers[1]
        first.lin.weight[32:] = 0.99 * first.lin.weight[:32]
        second.lin.weight[:, 32:] = torch.randn(3, 32, generator=seed_of(60133))
    example = model_arguments(graph)
    settings, shape = replace(QUICK, epochs=1, lr=1e-9), Shape(1, 32)
    with torch.no_grad():
        wanted = model.eval()(*example)
        errors = [
            float((compacted(method, model, graph, shape, settings) - wanted).norm())
            for method in (AT_ONCE, "Structured+U")
        ]
    assert errors[1] < 0.3 * errors[0]  # the ridge takes a part


def seed_of(number):
    return torch.Generator().manual_seed(number)


def compacted(method, model, data, shape, settings):
    example = model_arguments(data)
    with torch.enable_grad():
        found = prune_units(method, model, data, example, shape, settings, 71933)
    return compact(found.model, example).eval()(*example)


def test_single_weights_leave_as_many_parameters(graph):
    _, dense = built("gat", graph)
    found = prune_weights(dense, graph, 234, QUICK, 71933).model
    left = sum(int(p.count_nonzero()) for _, p in effective(found))
    zeros = sum(int((p == 0).sum()) for p in dense.parameters())
    assert left == pytest.approx(234, abs=1 + zeros)


def effective(model):
    plain = copy.deepcopy(model)
    for module in plain.modules():
        for name, p in module._parameters.items():
            if p is not None:
                yield name, getattr(module, name)


# Costs


def test_turns_are_fair_and_the_first_does_not_count(monkeypatch):
    """On a clock of our own: the first call of each takes 100, others 6 and 2."""
    from gsparse.bench import structured_costs

    now, calls = [0.0], []
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(structured_costs, name, lambda: now[0])

    class Noted(torch.nn.Module):
        def __init__(self, name, seconds):
            super().__init__()
            self.name, self.seconds = name, seconds

        def forward(self, x):
            assert not torch.is_grad_enabled()
            assert not self.training
            now[0] += self.seconds if self.name in calls else 100.0
            calls.append(self.name)

    found = take_turns(Noted("a", 6.0), Noted("b", 2.0), (1,), rounds=1)
    assert found == (6.0, 2.0, 6.0, 2.0)
    assert (found.ratio, found.cpu_ratio) == (3.0, 3.0)
    assert "".join(calls) == "baab"
    calls.clear()
    take_turns(Noted("a", 0.5), Noted("b", 0.25), (1,), rounds=20)
    assert len(calls) == 8  # ten seconds are over; three rounds there are
    with pytest.raises(ValueError, match=r"'rounds' must be at least 1 \(got 0\)"):
        take_turns(Noted("a", 1.0), Noted("b", 1.0), (1,), rounds=0)


def test_ratios_are_of_the_first_to_the_second():
    found = Seconds(6.0, 2.0, 5.0, 1.0)
    assert (found.ratio, found.cpu_ratio) == (3.0, 5.0)


def test_both_storages_of_sparse_features_are_timed(graph):
    model = GCN(20, 4, 2)
    x = torch.rand(graph.num_nodes, 20, generator=seed_of(60133))
    stored = sparse_features(x * (x > 0.9))
    one = timings(model, model, (x, graph.edge_index), rounds=1)
    two = timings(model, model, (stored, graph.edge_index), rounds=1)
    assert set(two) == set(one) | {f"{key}_dense_x" for key in one}
    assert 4 * stored.numel() < MOST_DENSE


def test_a_smaller_model_has_a_smaller_file():
    pytest.importorskip("safetensors")
    with seeded(60133):
        models = [GAT(50, 8, 3, heads=heads) for heads in (1, 8)]
    small, large = (file_bytes(model) for model in models)
    sizes = [sum(p.nbytes for p in model.parameters()) for model in models]
    assert sizes[0] < small < sizes[0] + 4096
    assert sizes[1] < large < sizes[1] + 4096


@pytest.mark.parametrize("conversion", ["plain", "sparse", "8 bit"])
def test_peaks_of_a_fresh_process(conversion, monkeypatch):
    """Asked for once; in the child, random weights of the shape are run."""
    from gsparse.bench import structured_costs

    asked = []

    def here(function, request, purpose):
        asked.append(request)
        return function(request)

    monkeypatch.setattr(structured_costs, "ask", here)
    structured_costs._measured.cache_clear()
    config = Config("digits", "random", "sage", "Dense", 0.0)
    options = {"hidden_channels": 16}
    peaks = [
        infer_peak_bytes(config, options, conversion, 0.9, seed) for seed in (0, 1)
    ]
    structured_costs._measured.cache_clear()
    assert len(asked) == 1
    assert peaks[0] == peaks[1] >= 0


# Rows


@pytest.mark.parametrize("model", ["gat", "gcn"])
def test_one_run_of_each_on_toy_data(tmp_path, model):
    """Rows have all that the findings read; a finished one is not run again."""
    pytest.importorskip("safetensors")
    path = tmp_path / "structured.jsonl"
    methods = METHODS if model == "gat" else ("Dense", AT_ONCE)
    cells = [
        StructuredConfig(
            "digits", model, method, bits=bits, epochs=4, measure=False, rounds=1
        )
        for method in methods
        for bits in ((None, 8) if method == AT_ONCE else (None,))
    ]
    grid = [Task(cell, 20411) for cell in cells]
    assert [outcome.error for outcome in run_grid(grid, path)] == [None] * len(grid)
    rows = {row["method"]: row for row in grid_rows(grid, path)}
    assert not list(run_grid(grid, path))
    assert list(rows) == [cell.name for cell in cells]
    dense = rows["Dense"]
    for name, row in rows.items():
        assert is_measurement(row)  # stands in no table of models
        assert row["parameters_before"] == dense["parameters"]
        assert row["multiply_adds_before"] == dense["multiply_adds"]
        assert row["file_bytes_before"] == dense["file_bytes"]
        assert 0 < row["val_best"] <= 1
        assert 0 < row["test_score"] <= 1
        if name not in ("Dense", UNSTRUCTURED):
            assert 4 * row["multiply_adds"] <= dense["multiply_adds"]
            assert row["parameters"] == rows[AT_ONCE]["parameters"]
    assert 3 * rows[f"{AT_ONCE}+8 bit"]["file_bytes"] < 4 * rows[AT_ONCE]["file_bytes"]
    if model == "gat":
        assert abs(rows[UNSTRUCTURED]["parameters"] - rows[SMALL]["parameters"]) < 100


def test_tuning_runs_look_at_no_test_node():
    pytest.importorskip("safetensors")
    row = StructuredConfig(
        "digits", "gcn", AT_ONCE, epochs=2, final=False, measure=False, rounds=1
    ).run(Workspace(), 20411)
    assert row["test_score"] is None
    assert "test_pruned" not in row
    assert 0 < row["val_best"] <= 1


def test_eight_bits_train_nothing_anew(monkeypatch):
    pytest.importorskip("safetensors")
    count = []
    from gsparse.bench import structured

    before = structured.prune_units
    monkeypatch.setattr(
        structured, "prune_units", lambda *a: count.append(a) or before(*a)
    )
    workspace = Workspace()
    base = StructuredConfig("digits", "gcn", AT_ONCE, epochs=2, measure=False, rounds=1)
    plain = base.run(workspace, 20411)
    small = replace(base, bits=8).run(workspace, 20411)
    assert len(count) == 1
    assert small["best_epoch"] == plain["best_epoch"]
    base.run(workspace, 20412)
    replace(base, method=RANDOM).run(workspace, 20412)
    assert len(count) == 3


def test_a_model_that_did_not_shrink_is_refused():
    _check_shape(GCN(5, 4, 2), GCN(5, 4, 2))
    _check_shape(GCN(4, 4, 2), GCN(5, 4, 2))
    with pytest.raises(RuntimeError, match=r"\[\[4\], \[4, 5\].* \(got \[\[5"):
        _check_shape(GCN(5, 5, 2), GCN(5, 4, 2))


def test_what_enters_the_hash():
    base = StructuredConfig("PubMed", "gat", AT_ONCE)
    others = [
        replace(base, dataset="Cora"),
        replace(base, model="gcn"),
        replace(base, method="ADMM"),
        replace(base, hidden=4),
        replace(base, fewer=2.0),
        replace(base, bits=8),
        replace(base, epochs=7),
        replace(base, final=False),
    ]
    assert len({it.hash for it in [base, *others]}) == 9
    assert base.recipe().options["hidden_channels"] == 8
    assert others[3].recipe().options["hidden_channels"] == 4
    with pytest.raises(ValueError, match=r"'method' must be one of .* \(got Lion\)"):
        StructuredConfig("PubMed", "gat", "Lion")
    with pytest.raises(ValueError, match=r"'bits' .* \(got 8 after Dense\)"):
        StructuredConfig("PubMed", "gat", "Dense", bits=8)
    with pytest.raises(ValueError, match=r"'bits' .* \(got 4 after Structured\)"):
        StructuredConfig("PubMed", "gat", AT_ONCE, bits=4)


# The paper

LOST = {"Structured": 0.004, "Small": 0.02, "RandomWeight": 0.03, "ADMM": 0.01}
SPEED = {"Dense": 1.0, "Magnitude": 1.2}


def write_rows(out, quick=False, lost=LOST, speed=3.0, fewer=4.5, smaller=13.0):
    for task in paper.runs(quick):
        config = task.config
        score = 0.8 - lost.get(config.method, 0.02)
        score -= 0.0005 * (config.bits is not None)
        row = dict.fromkeys(KEYS, "x") | {
            "dataset": config.dataset,
            "method": config.name,
            "seed": task.seed,
            "config_hash": config.hash,
            "val_best": score,
            "test_score": (0.8 if config.method == "Dense" else score)
            + 0.01 * task.seed,
            "multiply_adds": 1000,
            "multiply_adds_before": int(1000 * fewer),
            "file_bytes": 1000,
            "file_bytes_before": int(1000 * (smaller if config.bits else 5)),
            "speedup_cpu": SPEED.get(config.method, speed + task.seed),
        }
        append_row(out / "structured.jsonl", row)


def claims(out, quick=False):
    return {(it.dataset, it.claim): it for it in paper.findings(out, quick)}


def test_the_whole_table():
    full, quick = paper.runs(quick=False), paper.runs(quick=True)
    seeds = {}
    for task in full:
        seeds.setdefault(task.config, set()).add(task.seed)
    assert len(seeds) == 3 * (len(METHODS) + len(STRUCTURED))
    assert all(found == set(range(10)) for found in seeds.values())
    assert {task.seed for task in quick} == {0, 1}
    assert {task.config.dataset for task in quick} == {"PubMed"}
    assert set(quick) < set(full)


def test_differences_by_hand(tmp_path):
    write_rows(tmp_path)
    found = claims(tmp_path)
    assert len(found) == 3 * 8
    assert all(it.holds for it in found.values())
    assert found["PubMed", "lost, Structured"].ours == pytest.approx(0.4)
    assert found["PubMed", "lost, 8 bit"].ours == pytest.approx(0.45)
    assert found["Physics", "speed, ours / dense"].ours == pytest.approx(3 + 4.5)
    assert found["Physics", "Structured - Small"].ours == pytest.approx(1.6)
    assert found["cornell5", "Structured - RandomWeight"].ours == pytest.approx(2.6)
    assert found["cornell5", "file bytes, dense / ours"].ours == pytest.approx(13)
    beside = found["PubMed", "speed; wanted: unstructured"]
    assert (beside.wanted, beside.ours) == (1.2, 7.5)
    assert all(len(it.claim) <= 30 for it in found.values())


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"lost": LOST | {"Structured": 0.009}}, "lost, Structured"),
        ({"lost": LOST | {"Structured": 0.0048}}, "lost, 8 bit"),
        ({"lost": LOST | {"Small": 0.0}}, "Structured - Small"),
        ({"lost": LOST | {"RandomWeight": 0.0}}, "Structured - RandomWeight"),
        ({"speed": -3.0}, "speed, ours / dense"),
        ({"speed": -4.0}, "speed; wanted: unstructured"),
        ({"fewer": 3.9}, "multiply adds, dense / ours"),
        ({"smaller": 11.9}, "file bytes, dense / ours"),
    ],
)
def test_claims_that_fail(tmp_path, change, claim):
    write_rows(tmp_path, **change)
    failed = {it.claim for it in claims(tmp_path).values() if it.verdict != "holds"}
    assert claim in failed
    assert len(failed) < 8


def test_validation_chooses_the_method(tmp_path):
    write_rows(tmp_path, quick=True, lost=LOST | {"ADMM": 0.001})
    assert ("PubMed", "lost, ADMM") in claims(tmp_path, quick=True)


def test_missing_rows_are_named(tmp_path):
    with pytest.raises(ValueError, match="no rows of Structured; run them first"):
        paper.findings(tmp_path, quick=True)
