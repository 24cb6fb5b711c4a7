"""Sparsifying graph files: a new file, or one error and no file."""

import pytest
import torch

from gsparse.data import random_graph, read_graph, write_graph
from gsparse.deploy.cut_file import sparsify_file

SOURCE = random_graph(num_nodes=40, p=0.3, seed=70111)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.pt"
    write_graph(SOURCE, path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".txt", ".csv.gz"])
@pytest.mark.parametrize("method", ["EffectiveResistance", "RandomEdge"])
def test_budget_is_hit_in_every_format(source, tmp_path, suffix, method):
    target = tmp_path / f"out{suffix}"
    record = sparsify_file(source, target, method, sparsity=0.75, seed=5)
    out, pairs = read_graph(target), SOURCE.num_edges // 2
    assert record["num_pairs_before"] == pairs
    assert record["num_pairs_after"] == out.num_edges // 2
    assert abs(record["num_pairs_after"] - 0.25 * pairs) <= 0.5
    assert (out.get("edge_weight") is not None) == (method != "RandomEdge")


def test_same_seed_same_edges(source, tmp_path):
    for name, seed in [("a.txt", 3), ("b.txt", 3), ("c.txt", 4)]:
        sparsify_file(source, tmp_path / name, "DSpar", sparsity=0.5, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in ("a.txt", "b.txt", "c.txt"))
    assert a == b
    assert a != c


def test_a_directed_graph_needs_its_word_and_its_method(tmp_path):
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("0 1\n1 2\n2 3\n3 0\n")
    with pytest.raises(ValueError, match="must list both directions"):
        sparsify_file(source, target, "RandomEdge", sparsity=0.5)
    with pytest.raises(ValueError, match="DSpar needs an undirected graph"):
        sparsify_file(source, target, "DSpar", sparsity=0.5, undirected=False)
    assert not target.exists()
    sparsify_file(source, target, "RandomEdge", sparsity=0.5, undirected=False)
    assert read_graph(target).num_edges == 2


def test_names_are_numbered_and_written_beside_the_output(tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "cut.csv.gz"
    names = ["Ann", "Bob, B", "Cem", "Dee"]
    edges = [(0, 1), (1, 2), (2, 3), (3, 0)]  # as many as there are nodes
    source.write_text("".join(f'"{names[u]}","{names[v]}"\n' for u, v in edges))
    options = {"sparsity": 0.5, "relabel": True, "symmetrize": True}
    record = sparsify_file(source, target, "RandomEdge", **options)
    assert record["labels"] == str(tmp_path / "cut.nodes.csv")
    text = 'node,label\n0,Ann\n1,"Bob, B"\n2,Cem\n3,Dee\n'
    assert (tmp_path / "cut.nodes.csv").read_text() == text
    kept = read_graph(target).edge_index.t().tolist()
    assert len(kept) == 4
    assert {tuple(sorted(edge)) for edge in kept} < {tuple(sorted(e)) for e in edges}


def test_graph_and_names_are_written_both_or_neither(tmp_path):
    source, target = tmp_path / "in.csv", tmp_path / "cut.csv"
    source.write_text("a,b\nb,c\n")
    (tmp_path / "cut.nodes.csv").mkdir()
    options = {"sparsity": 0.5, "relabel": True, "symmetrize": True}
    with pytest.raises(ValueError, match=r"cut.nodes.csv must be a file"):
        sparsify_file(source, target, "RandomEdge", **options)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "cut.nodes.csv",
        "in.csv",
    ]


def test_a_list_of_single_edges_needs_its_reverses(tmp_path):
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("0 1\n1 2\n2 0\n2 3\n")
    with pytest.raises(ValueError, match="use --symmetrize if it lists each edge once"):
        sparsify_file(source, target, "DSpar", sparsity=0.5)
    with pytest.raises(ValueError, match="got --directed too"):
        sparsify_file(
            source, target, "RandomEdge", sparsity=0, symmetrize=True, undirected=False
        )
    record = sparsify_file(source, target, "DSpar", sparsity=0.5, symmetrize=True)
    assert (record["num_pairs_before"], record["num_pairs_after"]) == (4, 2)
    assert (record["num_edges_before"], record["num_edges_after"]) == (8, 4)


def test_directed_edges_are_counted_one_by_one(tmp_path):
    source, target = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("0 1\n1 0\n1 2\n2 2\n")
    record = sparsify_file(source, target, "RandomEdge", sparsity=0, undirected=False)
    assert (record["num_pairs_before"], record["num_edges_before"]) == (2, 3)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"method": "Best"}, r"'method' must be one of DSpar.* \(got Best\)"),
        ({"sparsity": None}, "give --sparsity"),
        ({"sparsity": 1.0}, r"'sparsity' must be in \[0, 1\) \(got 1.0\)"),
        ({"epsilon": 0.5}, "exactly one of 'sparsity' and 'epsilon'"),
        ({"method": "RandomEdge", "epsilon": 0.5}, "RandomEdge does not take epsilon"),
        ({"target": "out.xls"}, "must end in"),
        ({"target": "in.pt"}, "the output must be another file"),
        ({"relabel": True}, "must not be relabelled, because its ids are positions"),
        ({"source": "absent.pt"}, "no such file"),
        ({"source": "short.pt"}, "truncated|broken"),
        ({"source": "nan.pt"}, "finite|nan"),
        ({"source": "float.pt"}, "int64|integer|long"),
        ({"source": "far.pt"}, "num_nodes|out of range|below"),
        ({"source": "negative.pt"}, "negative"),
    ],
)
def test_a_refusal_leaves_the_output_alone(source, tmp_path, changes, text):
    (tmp_path / "short.pt").write_bytes(source.read_bytes()[:-300])
    weight = torch.ones(SOURCE.num_edges)
    bad = {
        "nan.pt": {"edge_weight": weight.clone().index_fill_(0, torch.tensor(3), -0.0)},
        "float.pt": {"edge_index": SOURCE.edge_index.float()},
        "far.pt": {"edge_index": SOURCE.edge_index + 5},
        "negative.pt": {"edge_weight": -weight},
    }
    bad["nan.pt"]["edge_weight"][3] = float("nan")
    for name, tensors in bad.items():
        start = {"edge_index": SOURCE.edge_index, "num_nodes": torch.tensor(40)}
        torch.save(start | tensors, tmp_path / name)
    target = tmp_path / changes.pop("target", "out.pt")
    before = target.read_bytes() if target.exists() else b"as it was"
    target.write_bytes(before)
    name = changes.pop("source", "in.pt")
    given = {"method": "EffectiveResistance", "sparsity": 0.5} | changes
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=text):
        sparsify_file(tmp_path / name, target, **given)
    assert target.read_bytes() == before
    assert not list(tmp_path.glob(".out*"))
