"""Graphs made ready for training: both directions, labels, features, masks."""

import pytest
import torch
from torch_geometric.data import Data

from gsparse.data.labelled_graph import MAX_DEGREE, degree_features, labelled_graph

EDGES = torch.tensor([[0, 0, 1], [1, 2, 2]])


def graph(**changes):
    given = {"edge_index": EDGES, "y": torch.tensor([0, 1, 1]), "num_nodes": 3}
    return Data(**(given | {"x": torch.ones(3, 2)} | changes))


def test_missing_reverses_are_added_with_their_weights():
    data = graph(edge_weight=torch.tensor([1.0, 2.0, 3.0]))
    found, notes = labelled_graph(data, where="g")
    assert found.edge_index.tolist() == [[0, 0, 1, 1, 2, 2], [1, 2, 2, 0, 0, 1]]
    assert found.edge_weight.tolist() == [1, 2, 3, 1, 2, 3]
    assert notes == ("g: 3 missing reverse edges added",)
    assert data.num_edges == 3  # not changed


def test_a_complete_graph_is_left_alone():
    both = torch.cat([EDGES, EDGES.flip(0)], dim=1)
    found, notes = labelled_graph(graph(edge_index=both))
    assert torch.equal(found.edge_index, both)
    assert notes == ()


def test_features_are_one_hot_degrees():
    star = torch.tensor([[0, 0, 0], [1, 2, 3]])
    y = torch.tensor([0, 1, 1, 1])
    data = Data(edge_index=star, y=y, num_nodes=4)
    found, notes = labelled_graph(data, where="g")
    assert found.x.to_dense().argmax(1).tolist() == [3, 1, 1, 1]
    assert (found.x.to_dense().sum(1) == 1).all()
    assert notes[1] == "g: no features 'x', so one-hot degrees are the features"


def test_large_degrees_share_a_column():
    edge_index = torch.zeros(2, 5000, dtype=torch.long)
    found = degree_features(Data(edge_index=edge_index, num_nodes=2))
    assert found.shape == (2, MAX_DEGREE + 1)
    assert found.to_dense().argmax(1).tolist() == [MAX_DEGREE, 0]


@pytest.mark.parametrize(
    "y",
    [
        torch.tensor([[0], [1], [-1]]),
        torch.tensor([0.0, 1.0, float("nan")]),
        ["a", "b", ""],
    ],
    ids=["column", "floats", "text"],
)
def test_labels_become_class_numbers(y):
    assert labelled_graph(graph(y=y)).data.y.tolist() == [0, 1, -1]


def test_labels_of_a_file_replace_those_of_the_graph(tmp_path):
    path = tmp_path / "y.csv"
    path.write_text("b\na\na\n")
    both = torch.cat([EDGES, EDGES.flip(0)], dim=1)
    found, notes = labelled_graph(graph(edge_index=both), path, "g")
    assert found.y.tolist() == [1, 0, 0]
    assert notes == (f"g: labels of {path} replace 'y'",)


def test_masks_of_numbers_become_boolean():
    found = labelled_graph(graph(train_mask=torch.tensor([1, 0, 0]))).data
    assert found.train_mask.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"y": None}, r"g must have a label for every node .*\(--labels labels.csv\)"),
        ({"y": torch.zeros(3, 2)}, r"one label for each of the 3 nodes \(got shape"),
        ({"y": torch.tensor([0.5, 1, 1])}, r"class numbers \(got fractions\)"),
        ({"y": torch.tensor([1, 1, -1])}, r"at least two classes.* \(got \[1\]\)"),
        ({"y": torch.tensor([0, 1, 7])}, r"numbered from 0"),
        ({"x": torch.ones(3)}, r"'x' in g must have shape \[N, F\] \(got \[3\]\)"),
        ({"x": torch.full((3, 1), float("nan"))}, "'x' in g must be finite"),
        ({"val_mask": torch.tensor([2, 0, 0])}, "'val_mask' in g must hold 0 and 1"),
    ],
)
def test_refusals(changes, match):
    with pytest.raises(ValueError, match=match):
        labelled_graph(graph(**changes), where="g")


@pytest.mark.parametrize(
    ("node_label", "text"),
    [
        (torch.tensor([1, 2, 7]), "1,b\n7,a\n2,a\n"),
        (["x", "y", "z"], "z,a\nx,b\ny,a\n"),
        (torch.tensor([4, 4, 5]), "0,b\n2,a\n1,a\n"),  # no ids: two are equal
        (torch.tensor([4, 5]), "0,b\n2,a\n1,a\n"),
    ],
)
def test_a_file_of_labels_names_the_nodes_of_a_relabelled_graph(
    node_label, text, tmp_path
):
    (tmp_path / "y.csv").write_text(text)
    found, _ = labelled_graph(graph(node_label=node_label), tmp_path / "y.csv")
    assert found.y.tolist() == [1, 0, 0]
