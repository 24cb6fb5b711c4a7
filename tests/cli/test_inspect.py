"""``gsparse inspect``: one screen, JSON, or one line for bad input."""

import json

import pytest
from torch_geometric.data import Data

from gsparse.data import karate, write_graph
from tests.cli import command


def run(capsys, *args):
    return command.run(capsys, "inspect", *args)


def test_a_data_set_fills_one_screen(capsys):
    code, out, _err = run(capsys, "digits", "--threads", 1, "--seed", 3)
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("digits: 1,797 nodes")
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40


def test_json_of_a_file(tmp_path, capsys):
    write_graph(karate(), tmp_path / "karate.npz")
    code, out, _err = run(capsys, tmp_path / "karate.npz", "--json", "--threads", 1)
    record = json.loads(out)
    assert code == 0
    assert record["name"] == "karate.npz"
    assert record["facts"]["num_edges"] == 78
    assert record["num_threads"] == 1
    assert record["busy"] is None


def test_labels_of_a_file_of_edges(tmp_path, capsys, caplog):
    data = karate()
    write_graph(Data(edge_index=data.edge_index, num_nodes=34), tmp_path / "k.csv")
    (tmp_path / "labels.csv").write_text("\n".join(["0", "1"] * 17) + "\n")
    args = (tmp_path / "k.csv", "--labels", tmp_path / "labels.csv", "--threads", 1)
    code, out, _err = run(capsys, *args)
    assert code == 0
    assert "one-hot degrees are the features" in caplog.text
    assert "GCN, all edges" in out
    code, _out, err = run(capsys, "digits", "--labels", tmp_path / "labels.csv")
    assert code == 2
    assert "--labels are for graph files" in err


def test_names_and_single_directions_have_their_options(tmp_path, capsys):
    path = tmp_path / "names.csv"
    path.write_text("source,target\nAnn,Bob\nBob,Cem\n")
    code, out, _err = run(capsys, path, "--relabel", "--symmetrize")
    assert code == 0
    assert "3 nodes, 2 undirected edges" in out


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["missing.npz"], "error: no such file: missing.npz"),
        (["Pubmad"], "did you mean PubMed"),
        (["digits", "--relabel"], "are for graph files"),
        (["digits", "--split", "half"], "'split' must be one of"),
    ],
)
def test_bad_input_is_one_line_and_code_two(capsys, args, text):
    code, out, err = run(capsys, *args)
    assert (code, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1
