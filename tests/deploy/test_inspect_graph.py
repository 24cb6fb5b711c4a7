"""The report of a graph: what is measured, what is left out, and the screen."""

import json
import re
import sys

import pytest
import torch
from torch_geometric.data import Data, HeteroData

from gsparse.data import karate, planted_partition, random_graph, split, write_graph
from gsparse.deploy import GraphReport, inspect_graph
from gsparse.deploy.inspect_graph import inspect_source

SEED = 73019


def labelled(**more):
    data = planted_partition(120, 3, degree=12, num_features=20, seed=SEED)
    for key, value in more.items():
        data[key] = value
    return data


def check_screen(report):
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40


@pytest.fixture(scope="module")
def report():
    return inspect_graph(labelled(), seed=SEED, name="planted")


def test_a_labelled_graph_is_scored_on_a_split(report):
    assert isinstance(report, GraphReport)
    assert report.unscored is None
    assert report.scores.num_nodes == 24
    assert report.advice.method in ("RandomEdge", "DSpar", "EffectiveResistance")
    check_screen(report)


def test_the_screen_shows_what_was_measured(report):
    text = str(report)
    assert text.startswith("planted: 120 nodes")
    for it in report.scores.all():
        assert re.search(rf" {100 * it.score:.1f}\b", text)
    for it in report.costs:
        assert re.search(rf"{re.escape(it.name)} +{it.seconds:.2g}", text)
    assert " ".join(text.split()).find(report.advice.reason) > 0


def test_the_record_is_json(report):
    record = json.loads(json.dumps(report.as_record()))
    assert record["facts"]["num_edges"] == report.facts.num_edges
    assert record["advice"]["method"] == report.advice.method
    assert len(record["scores"]["scores"]) == len(report.scores.all())


def test_equal_seeds_give_equal_scores(report):
    again = inspect_graph(labelled(), seed=SEED)
    assert again.scores == report.scores
    assert again.facts == report.facts


def test_given_masks_are_used_and_test_nodes_never():
    data = split(labelled(), "60-20-20", seed=8)
    data.val_mask[data.val_mask.nonzero()[0]] = False
    before = inspect_graph(data, seed=SEED)
    assert before.scores.num_nodes == 23
    del data.test_mask
    assert inspect_graph(data, seed=SEED).scores == before.scores


def test_test_nodes_are_not_split_off_again():
    """With a test mask alone, a new split would hold test nodes."""
    data = split(labelled(), "60-20-20", seed=8)
    del data.val_mask
    found = inspect_graph(data, seed=SEED)
    assert found.unscored == "the graph has 'train_mask' without 'val_mask'"


def test_nodes_without_a_label_are_not_scored():
    data = split(labelled(), "60-20-20", seed=8)
    data.y[data.val_mask.nonzero()[:4]] = -1
    data.y[data.train_mask.nonzero()[:4]] = -1
    assert inspect_graph(data, seed=SEED).scores.num_nodes == 20
    data = labelled(y=torch.full((120,), -1))
    assert inspect_graph(data, seed=SEED).unscored == "no node has a label"


def test_labels_and_masks_of_other_graphs_are_refused():
    for key in ("y", "train_mask"):
        with pytest.raises(ValueError, match=rf"'{key}' must have one row .* \[9\]"):
            inspect_graph(labelled(**{key: torch.zeros(9).long()}))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": None}, "the graph has no features"),
        ({"y": None}, "the graph has no labels"),
        ({"y": torch.ones(120, 4)}, "'y' must hold one class per node (got"),
        ({"y": torch.rand(120)}, "'y' must hold one class per node (got"),
        ({"edge_index": torch.empty(2, 0).long()}, "the graph has no edges"),
        (
            {
                "train_mask": torch.ones(120).bool(),
                "val_mask": torch.zeros(120).bool(),
            },
            "'val_mask' is empty",
        ),
        (
            {
                "train_mask": torch.ones(120).bool(),
                "val_mask": torch.arange(120) < 7,
            },
            "'train_mask' and 'val_mask' share 7 nodes",
        ),
    ],
)
def test_what_cannot_be_scored_is_said_and_the_rest_is_shown(change, text):
    found = inspect_graph(labelled(**change), seed=SEED)
    assert found.scores is None
    assert found.unscored.startswith(text)
    assert found.costs[0].seconds > 0
    assert found.unscored.split()[0] in str(found)
    check_screen(found)


def test_large_graphs_are_not_fitted(monkeypatch):
    module = sys.modules[inspect_graph.__module__]
    monkeypatch.setattr(module, "MOST_WORK", 1.0)
    found = inspect_graph(labelled(), seed=SEED)
    assert "fits would take minutes" in found.unscored
    check_screen(found)


def test_directed_graphs_and_doubles_are_accepted():
    data = labelled()
    data.edge_index = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    data.x = data.x.double()
    found = inspect_graph(data, seed=SEED)
    assert not found.facts.undirected
    assert [it.name for it in found.scores.cuts] == ["RandomEdge"]
    assert data.x.dtype == torch.float64
    check_screen(found)


def test_the_screen_fits_whatever_the_sizes():
    found = inspect_graph(random_graph(50, 0.1, seed=SEED), name="a" * 200)
    check_screen(found)


def test_other_graphs_are_refused():
    with pytest.raises(TypeError, match=r"one homogeneous graph.*got HeteroData"):
        inspect_graph(HeteroData())
    words = Data(edge_index=karate().edge_index, x=torch.ones(34, 2).long())
    with pytest.raises(ValueError, match=r"'x' must be a floating-point matrix"):
        inspect_graph(words)
    meta = Data(edge_index=karate().edge_index.to("meta"), num_nodes=34)
    with pytest.raises(ValueError, match=r"must be on the CPU.*use data.cpu\(\)"):
        inspect_graph(meta)


def test_a_file_gives_the_report_of_its_graph(tmp_path):
    data = split(labelled(), "60-20-20", seed=8)
    write_graph(data, tmp_path / "planted.pt")
    found = inspect_source(str(tmp_path / "planted.pt"), seed=SEED)
    assert found.name == "planted.pt"
    assert found.scores == inspect_graph(data, seed=SEED).scores


def test_the_options_of_files_are_checked(tmp_path):
    path = tmp_path / "once.txt"
    path.write_text("0 1\n1 2\n")
    with pytest.raises(ValueError, match="must list both directions"):
        inspect_source(str(path))
    assert inspect_source(str(path), symmetrize=True).facts.undirected
    assert not inspect_source(str(path), undirected=False).facts.undirected
    with pytest.raises(ValueError, match=r"--labels are for graph files.*got digits"):
        inspect_source("digits", symmetrize=True)
    with pytest.raises(ValueError, match="known data set"):
        inspect_source("no such graph")
    with pytest.raises(FileNotFoundError, match="no such file"):
        inspect_source(str(tmp_path / "missing.npz"))


def test_refuses_a_file_of_another_kind(tmp_path):
    path = tmp_path / "edges.parquet"
    path.write_text("")
    with pytest.raises(ValueError, match=r"a graph file must end in \.pt,.*parquet\)"):
        inspect_source(str(path))
