"""Comparisons of a graph and a model in memory."""

import copy

import pytest
import torch
from torch_geometric.nn import GCNConv

from gsparse.bench import compare, read_rows
from gsparse.data import planted_partition
from gsparse.train import sparse_features

QUICK = {"methods": ["RandomEdge"], "sparsities": [0.5], "seeds": 2, "epochs": 4}


@pytest.fixture
def data():
    return planted_partition(60, 2, 6.0, 0.9, num_features=4, seed=3)


def make(in_channels, num_classes):
    return GCNConv(in_channels, num_classes)


def test_a_function_and_a_graph(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = copy.copy(data)
    found = compare(data, make, **QUICK)
    assert [(row["method"], row["seed"]) for row in found.rows] == [
        (method, seed) for method in ("Dense", "RandomEdge", "MLP") for seed in (0, 1)
    ]
    assert {row["model"] for row in found.rows} == {f"{__name__}:make", "mlp"}
    assert {row["split"] for row in found.rows} == {"own"}
    assert str(found).startswith(f"data (own), {__name__}:make: accuracy in %")
    assert data.keys() == before.keys()
    assert all(data[key] is before[key] for key in data.keys())  # noqa: SIM118 (PyG)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_a_file_are_used_again(data, tmp_path):
    path = tmp_path / "rows.jsonl"
    first = compare(data, "gcn", **QUICK, out=path)
    again = compare(data, "gcn", **QUICK, out=path)
    assert again.rows == first.rows
    assert len(read_rows(path)) == 6
    data.y = data.y.roll(1)
    compare(data, "gcn", **QUICK, out=path)
    assert len(read_rows(path)) == 12


@pytest.mark.slow
def test_learned_masks_and_teachers(data):
    chosen = QUICK | {"methods": ["KEdge", "PredictionAgreement"], "seeds": [5]}
    rows = compare(data, make, **chosen, trainings=["finetune"]).rows
    found = [(row["method"], row["teacher"], row["training"]) for row in rows]
    assert found == [
        ("Dense", "none", "scratch"),
        ("KEdge", "edges", "finetune"),
        ("PredictionAgreement", "edges", "finetune"),
        ("MLP", "none", "scratch"),
    ]
    assert all(abs(row["sparsity"] - 0.5) < 0.01 for row in rows[1:3])


def test_sparse_features_and_dense_ones_are_one_graph(data):
    data.x = torch.eye(60)
    one = compare(data, "gcn", **QUICK).rows
    data.x = sparse_features(data.x)
    two = compare(data, "gcn", **QUICK).rows
    assert [it["config_hash"] for it in one] == [it["config_hash"] for it in two]


def test_the_name_of_a_data_set(data):
    rows = compare("digits", "gcn", **(QUICK | {"seeds": 1})).rows
    assert {row["dataset"] for row in rows} == {"digits"}


def test_a_graph_without_labels(data):
    del data.y
    with pytest.raises(ValueError, match="mine must have a label for every node"):
        compare(data, "gcn", **QUICK, name="mine")


def test_refuses_a_name_or_a_number_in_place_of_a_list(data):
    with pytest.raises(TypeError, match=r"'methods' must be a list.*got 'DSpar'"):
        compare(data, make, "DSpar")
    with pytest.raises(TypeError, match=r"'sparsities' must be a list.*got 0\.8"):
        compare(data, make, ["DSpar"], 0.8)


def test_a_module_in_place_of_a_function_is_refused():
    with pytest.raises(TypeError, match=r"builds a model .* \(got a GCNConv\)"):
        compare(planted_partition(60, 2, 6.0, 0.9, num_features=4), GCNConv(4, 2))
