"""``gsparse bench`` with a graph file and a model function, from end to end."""

import pytest
import torch
from torch_geometric.data import Data

from gsparse import cli
from gsparse.bench.stale import is_stale
from gsparse.bench.tables.rows import read_rows
from gsparse.data import planted_partition, write_graph

QUICK = ("--epochs", "4", "--seeds", "2", "--sparsity", "0.5", "--threads", "1")
MODEL = """
from torch_geometric.nn import GCNConv

def make(in_channels, num_classes):
    return GCNConv(in_channels, num_classes)
"""


def bench(capsys, *args):
    """Exit code, standard output and standard error of one command."""
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "--method", "RandomEdge", *QUICK, *map(str, args)])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with ``graph.npz``, ``edges.csv`` and ``labels.csv``."""
    data = planted_partition(60, 2, 6.0, 0.9, num_features=4, seed=3)
    write_graph(data, tmp_path / "graph.npz")
    edges = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    write_graph(Data(edge_index=edges, num_nodes=60), tmp_path / "edges.csv")
    names = "\n".join("ab"[label] for label in data.y.tolist())
    (tmp_path / "labels.csv").write_text(f"label\n{names}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def rows(folder):
    return read_rows(folder / "runs" / "bench.jsonl")


def test_a_file_with_everything(folder, capsys):
    args = ("--dataset", "graph.npz", "--model", "gcn")
    code, out, _ = bench(capsys, *args)
    assert code == 0
    assert "graph.npz (own), gcn 2x64" in out
    found = rows(folder)
    assert [(row["method"], row["seed"]) for row in found] == [
        (method, seed) for seed in (0, 1) for method in ("Dense", "RandomEdge", "MLP")
    ]
    assert {row["graph_file"] for row in found} == {"graph.npz"}
    assert not any(map(is_stale, found))
    assert bench(capsys, *args)[0] == 0  # finished runs are skipped
    assert rows(folder) == found
    data = planted_partition(60, 2, 6.0, 0.9, num_features=4, seed=4)
    write_graph(data, folder / "graph.npz")
    assert bench(capsys, *args)[0] == 0
    assert len(rows(folder)) == 12


@pytest.mark.slow
def test_edges_and_labels_in_two_processes(folder, capsys, caplog):
    (folder / "own_two.py").write_text(MODEL)
    args = ("--dataset", "edges.csv", "--labels", "labels.csv", "--jobs", "2")
    code, out, _ = bench(capsys, *args, "--model", "own_two:make")
    assert code == 0
    assert "edges.csv (60-20-20), own_two:make: accuracy" in out
    assert [record.message for record in caplog.records] == [
        "edges.csv: 180 missing reverse edges added",
        "edges.csv: no features 'x', so one-hot degrees are the features",
    ]
    assert len(rows(folder)) == 6


def test_a_model_of_a_module_runs_again_after_an_edit(folder, capsys):
    (folder / "own_one.py").write_text(MODEL)
    args = ("--dataset", "graph.npz", "--model", "own_one:make")
    assert bench(capsys, *args)[0] == 0
    assert {row["model"] for row in rows(folder)} == {"own_one:make", "mlp"}
    (folder / "own_one.py").write_text(f"{MODEL}# edited\n")
    assert bench(capsys, *args)[0] == 0
    again = [row["method"] for row in rows(folder)[6:]]
    assert again == ["Dense", "RandomEdge"] * 2  # but not the MLP


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--dataset", "edges.csv"), "edges.csv must have a label for every node"),
        (("--dataset", "none.csv"), "no such file: none.csv"),
        (("--dataset", "a/b.gml"), "a graph file must end in .pt, .npz"),
        (("--model", "no_such_module:f"), "No module named 'no_such_module'"),
        (("--labels", "labels.csv"), "one graph file (got labels.csv and 0 graph"),
    ],
)
def test_one_line_for_bad_input(args, text, folder, capsys):
    code, out, err = bench(capsys, *args)
    assert code == 2
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert text in last
    assert not (folder / "runs").exists()


def test_a_missing_data_set_is_one_line(folder, capsys, monkeypatch):
    monkeypatch.setenv("GSPARSE_OFFLINE", "1")
    monkeypatch.setenv("GSPARSE_DATA", str(folder))
    code, _, err = bench(capsys, "--dataset", "Physics", "--data-root", folder)
    assert code == 2
    assert err.count("no raw files of Physics") == 1
    assert len(err.splitlines()) == 1


def test_weights_of_the_file_reach_the_model(folder, capsys):
    data = planted_partition(60, 2, 6.0, 0.9, num_features=4, seed=3)
    data.edge_weight = torch.zeros(data.num_edges)
    write_graph(data, folder / "zero.npz")
    for name in ("zero.npz", "graph.npz"):
        assert bench(capsys, "--dataset", name, "--model", "gcn")[0] == 0
    scores = {
        name: [
            row["val_score"]
            for row in rows(folder)
            if (row["dataset"], row["method"]) == (name, "Dense")
        ]
        for name in ("zero.npz", "graph.npz")
    }
    assert scores["zero.npz"] != scores["graph.npz"]


def test_names_of_nodes_are_refused_with_the_command_that_numbers_them(folder, capsys):
    (folder / "named.txt").write_text("a b\nb c\n")
    args = ("--dataset", "named.txt", "--labels", "labels.csv", "--model", "gcn")
    code, _, err = bench(capsys, *args)
    assert code == 2
    assert "(got 'b'); number them first: gsparse sparsify IN OUT.npz --relabel" in err
    (folder / "named.csv").write_text("node,label\nann,0\n")
    args = ("--dataset", "graph.npz", "--labels", "named.csv", "--model", "gcn")
    code, _, err = bench(capsys, *args)
    assert code == 2
    assert "(got 'ann'); write the number of each node, as in the OUT.nodes.csv" in err
