"""One label per node, from arrays and from text."""

import numpy as np
import pytest
import torch

from gsparse.data.label_files import read_labels

TEXTS = {
    "in_order.csv": "b\na\n\nb\n",
    "titled.csv": "label\nb\na\nnan\nb\n",
    "blank_line.csv": "b\na\n\nb\n\n",
    "carriage_returns.csv": "b\r\na\r\n\r\nb\r\n",
    "by_node.csv": "node,label\n3,b\n0,b\n1,a\n",
    "without_titles.csv": "3,b\n0,b\n1,a\n",
    "pandas.csv": ",label\n0,b\n1,a\n2,\n3,b\n",
    "semicolons.csv": "# remark\nnode;label\n0;b\n1;a\n3;b\n",
    "tabs.tsv": "node\tlabel\n0\tb\n1\ta\n3\tb\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_with_two_classes_and_one_unlabelled_node(name, tmp_path):
    path = tmp_path / name
    path.write_text(TEXTS[name])
    assert read_labels(path, 4).tolist() == [1, 0, -1, 1]


def test_title_before_a_last_node_without_label(tmp_path):
    (tmp_path / "y.csv").write_text("label\nb\na\nb\n-1\n")
    assert read_labels(tmp_path / "y.csv", 4).tolist() == [1, 0, 1, -1]


@pytest.mark.parametrize(
    "array",
    [
        np.array([7, 5, -1, 7]),
        np.array([7.0, 5.0, np.nan, 7.0]),
        np.array(["b", "a", "", "b"]),
        np.array([[7], [5], [-1], [7]]),
    ],
    ids=["integers", "floats", "text", "column"],
)
def test_arrays(array, tmp_path):
    np.save(tmp_path / "labels.npy", array)
    assert read_labels(tmp_path / "labels.npy", 4).tolist() == [1, 0, -1, 1]


def test_integers_are_sorted_by_value(tmp_path):
    (tmp_path / "y.txt").write_text("10\n9\n10\n")
    assert read_labels(tmp_path / "y.txt", 3).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("y.csv", "a\nb\n", r"one label for each of the 4 nodes \(got 2\)"),
        ("y.csv", "0\n1\n0\n1\n1\n", r"one label for each .* \(got 5\)"),
        ("y.csv", "b\na\nb\na\na\n", r"one label for each .* \(got 5\)"),
        ("y.csv", "label\nb\na\nb\n\n", r"may be a title or a label \(got 'label'"),
        ("y.csv", "-1,a\n0,b\n1,a\n", r"non-negative integers \(got '-1'\)"),
        ("y.csv", "0,a\n4,b\n", r"must be below 4, .* \(got 4\)"),
        ("y.csv", "0,a\n0,b\n", "must list every node once"),
        ("y.csv", "0,a,b\n", r"two, the node and its label \(got lines of \[3\]"),
        ("y.json", "{}", r"must end in .csv, .tsv, .txt, .npy \(got y.json\)"),
        ("y.npy", "no array", "must be an array without objects"),
    ],
)
def test_refusals(name, text, match, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=match):
        read_labels(tmp_path / name, 4)


def test_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "y.npy", np.array(["a", None], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="must be an array without objects"):
        read_labels(tmp_path / "y.npy", 2)


@pytest.mark.parametrize(
    ("node_label", "text"),
    [
        (["ann", "bob", "cem", "dora"], "node,label\ndora,b\nann,b\nbob,a\n"),
        (["ann", "bob", "cem", "dora"], "dora,b\nann,b\nbob,a\n"),
        (torch.tensor([1, 2, 3, 10]), "node,label\n10,b\n1.0,b\n2,a\n"),
        (torch.tensor([-5, 2, 3, 2**62]), f"{2**62},b\n-5,b\n2,a\n"),
    ],
    ids=["names", "without_titles", "integers", "large"],
)
def test_nodes_of_a_relabelled_graph_go_by_their_ids(node_label, text, tmp_path):
    (tmp_path / "y.csv").write_text(text)
    assert read_labels(tmp_path / "y.csv", 4, node_label).tolist() == [1, 0, -1, 1]


@pytest.mark.parametrize(
    ("node_label", "text", "match"),
    [
        (["ann", "bob"], "ann,a\nbib,b\n", r"nodes with an edge.*\(got 'bib'\)"),
        (["ann", "bob"], "enn,a\nann,a\nbob,b\n", r"nodes with an edge.*'enn'"),
        (["ann", "bob"], "a\nb\n", r"two columns.*\['ann'\]"),
        (["ann", "bob"], "ann,a\nann,b\n", "every node once"),
        (torch.tensor([1, 2]), "0,a\n1,b\n2,b\n", r"nodes with an edge.*'0'"),
        (torch.tensor([5, 7]), "0,a\n1,b\n0,b\n", r"nodes with an edge.*'0'"),
    ],
)
def test_other_labels_of_a_relabelled_graph_are_refused(
    node_label, text, match, tmp_path
):
    (tmp_path / "y.csv").write_text(text)
    with pytest.raises(ValueError, match=match):
        read_labels(tmp_path / "y.csv", 2, node_label)
