"""Pruned weights in an experiment."""

import copy
from dataclasses import replace

import pytest
import torch

from gsparse.bench import Config, Workspace, append_row, run_one
from gsparse.bench.experiment import pruning
from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.grid import Task
from gsparse.bench.experiment.plan import make_plan
from gsparse.bench.experiment.pruning import run_pruner
from gsparse.bench.tables.summary import summarise
from gsparse.bench.tables.table import format_blocks
from gsparse.edges import budget
from gsparse.prune import WoodFisher, true_fisher
from gsparse.train import fit
from gsparse.train.make_pruner import make_pruner

DENSE = Config("digits", "random-5-30", "gcn", "Dense", 0.0, epochs=4)
PRUNED = replace(DENSE, pruner="Magnitude", weight_sparsity_target=0.9)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


@pytest.mark.parametrize("name", ["Magnitude", "WeightLottery"])
def test_a_row_says_what_was_pruned(name, workspace, tmp_path):
    config = replace(PRUNED, pruner=name)
    row = run_one(config, 4, workspace)
    append_row(tmp_path / "a.jsonl", row)
    assert Config.from_row(row) == config
    assert row["config_hash"] == config.hash != DENSE.hash
    assert row["num_weights_after"] == budget(row["num_weights_before"], 0.9)
    assert row["weight_sparsity"] == pytest.approx(0.9, abs=0.001)
    assert (row["sparsity"], row["method"]) == (0.0, "Dense")
    assert 0 < row["test_score"] <= 1


@pytest.mark.parametrize("name", ["Magnitude", "GradualThreshold", "SNIP"])
def test_the_weights_left_have_a_training_of_the_whole_length(name, workspace):
    row = run_one(replace(PRUNED, pruner=name), 4, workspace)
    assert row["num_epochs"] == PRUNED.epochs < PRUNED.recipe().fit.patience


def test_the_dense_model_is_pruned_and_not_changed(workspace, monkeypatch):
    dense = workspace.dense(DENSE, 4)
    before = copy.deepcopy(dense.state_dict())
    started = []

    def watched(model, data, **kwargs):
        started.append(model.layers[0].lin.weight.detach().clone())
        return fit(model, data, **kwargs)

    monkeypatch.setattr("gsparse.train.pruning.fit", watched)
    data = workspace.graphs(DENSE, 4).fit
    run_pruner(PRUNED, 4, data, lambda: dense)
    assert dense.state_dict().keys() == before.keys()
    full = before["layers.0.lin.weight"]
    assert full.equal(dense.layers[0].lin.weight)
    kept = started[0] != 0
    assert started[0][kept].equal(full[kept])
    assert full[kept].abs().min() >= full[~kept].abs().max()


def test_grid_of_pruners_and_methods():
    found = configs(
        ["digits"],
        ["gcn"],
        ["RandomEdge"],
        [0.5],
        pruners=["Magnitude"],
        weight_sparsities=[0.9, 0.95],
        hidden_channels=8,
    )
    names = [(it.method, it.pruner, it.weight_sparsity_target) for it in found]
    assert names == [
        ("Dense", None, None),
        ("RandomEdge", None, None),
        ("Dense", "Magnitude", 0.9),
        ("Dense", "Magnitude", 0.95),
        ("RandomEdge", "Magnitude", 0.9),
        ("RandomEdge", "Magnitude", 0.95),
        ("MLP", None, None),
    ]
    assert all(it.recipe().options["hidden_channels"] == 8 for it in found)
    assert found[2].as_dense() == found[0]


def test_keys_of_pruning_are_not_in_older_hashes():
    plain = configs(["digits"], ["gcn"], [], [0.5])[0]
    assert plain.hash == replace(plain, pruner=None).hash
    assert plain.hash != replace(plain, hidden_channels=8).hash


def test_refusals():
    with pytest.raises(ValueError, match=r"'pruner' must be one of .*\(got Smallest\)"):
        configs(["digits"], ["gcn"], [], [], pruners=["Smallest"])
    with pytest.raises(ValueError, match=r"'weight_sparsity' .* \[0, 1\) \(got 1.0\)"):
        configs(
            ["digits"], ["gcn"], [], [], pruners=["Magnitude"], weight_sparsities=[1.0]
        )


def test_table_and_plan_name_the_pruner(workspace, tmp_path):
    rows = [run_one(config, 4, workspace) for config in (DENSE, PRUNED)]
    text = format_blocks(summarise(rows))
    assert [line.split()[0] for line in text.splitlines()[3:5]] == [
        "Dense",
        "Magnitude",
    ]
    assert "90%" in text.splitlines()[4]
    for row in rows:
        append_row(tmp_path / "a.jsonl", row)
    plan = make_plan([Task(PRUNED, 5), Task(DENSE, 5)], tmp_path / "a.jsonl")
    assert {part.method for part in plan} == {"Dense", "Dense + Magnitude"}


@pytest.mark.parametrize("name", ["GradientNorm", "GraSP"])
def test_attention_is_fused_again_after_second_derivatives(name, workspace):
    config = replace(PRUNED, model="gat", pruner=name, epochs=2)
    data = workspace.graphs(DENSE, 4).fit
    model = config.recipe().build(data, 4)
    found = run_pruner(config, 4, data, lambda: model)
    assert found.facts["weight_sparsity"] == pytest.approx(0.9, abs=0.001)
    assert {layer.attention for layer in found.model.layers} == {"fused"}


def test_one_fisher_matrix_serves_all_pruners_of_a_dense_model(workspace, monkeypatch):
    """And is that of a pruner that has it for itself."""
    taken = []

    def counted(*args, **kwargs):
        taken.append(kwargs)
        return true_fisher(*args, **kwargs)

    monkeypatch.setattr(pruning, "true_fisher", counted)
    pruning._FISHERS.clear()
    data, dense = workspace.graphs(DENSE, 4).fit, workspace.dense(DENSE, 4)
    found = {}
    for name in ("WoodFisher", "CombinatorialBrainSurgeon", "Magnitude+U"):
        config = replace(PRUNED, pruner=name)
        found[name] = run_pruner(config, 4, data, lambda: dense)
    assert len(taken) == 1
    model = copy.deepcopy(dense)
    alone = make_pruner(WoodFisher, model, data, sparsity=0.9, num_steps=4, seed=4)
    masks = found["WoodFisher"].model.layers[0].lin.weight != 0
    assert masks.equal(model.layers[0].lin.weight != 0)
    assert alone.report().sparsity == found["WoodFisher"].facts["weight_sparsity"]
