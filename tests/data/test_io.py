"""Graph files: written graphs are read back, and only data is read."""

import gzip
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import Data

from gsparse.data import path, random_graph, read_graph, star, write_graph
from gsparse.data.io import FORMATS


class Bomb:
    """Leaves a trace if it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return self.trace.touch, ()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_round_trip(tmp_path, suffix, p, weighted):
    data = random_graph(20, p, seed=50227, weighted=weighted)
    write_graph(data, tmp_path / f"graph{suffix}")
    back = read_graph(tmp_path / f"graph{suffix}")
    assert back.edge_index.equal(data.edge_index)
    if weighted and p:
        assert back.edge_weight.equal(data.edge_weight)
    else:
        assert weighted or "edge_weight" not in back
    assert back.num_nodes == 20
    if suffix in (".pt", ".npz"):
        assert back.x.equal(data.x)
        assert back.train_mask.equal(data.train_mask)
    assert [file.name for file in tmp_path.iterdir()] == [f"graph{suffix}"]


def test_isolated_last_nodes_survive_in_a_list(tmp_path):
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=7)
    write_graph(data, tmp_path / "graph.txt")
    assert read_graph(tmp_path / "graph.txt").num_nodes == 7


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.txt", "# a comment\n% another\n0 1 0.5\n\n2\t1  2\n"),
        ("g.csv", "source,target,weight\n0,1,0.5\n2,1,2\n"),
        ("g.tsv", "0\t1\t0.5\n2\t1\t2\n"),
        ("g.TSV.GZ", "0\t1\t0.5\n2\t1\t2\n"),
    ],
)
def test_edge_list_by_hand(tmp_path, name, text):
    content = text.encode()
    file = tmp_path / name
    file.write_bytes(gzip.compress(content) if name.endswith("GZ") else content)
    data = read_graph(file)
    assert data.edge_index.tolist() == [[0, 2], [1, 1]]
    assert data.edge_weight.tolist() == [0.5, 2]
    assert data.num_nodes == 3


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_scipy_matrix(tmp_path, layout):
    dense = np.array([[0, 2.0, 0], [0, 0, 3], [0, 0, 0]])
    sp.save_npz(tmp_path / "m.npz", sp.coo_array(dense).asformat(layout))
    data = read_graph(tmp_path / "m.npz")
    edges = zip(*data.edge_index.tolist(), data.edge_weight.tolist(), strict=True)
    assert sorted(edges) == [(0, 1, 2.0), (1, 2, 3.0)]
    assert data.num_nodes == 3


def test_dictionary_of_tensors(tmp_path):
    torch.save(
        {"edge_index": path(3).edge_index, "y": torch.ones(3)}, tmp_path / "g.pt"
    )
    data = read_graph(tmp_path / "g.pt")
    assert data.edge_index.equal(path(3).edge_index)
    assert data.y.equal(torch.ones(3))


def test_code_in_a_pt_file_is_not_run(tmp_path):
    trace = tmp_path / "trace"
    torch.save({"edge_index": Bomb(trace)}, tmp_path / "g.pt")
    with pytest.raises(ValueError, match=r"g.pt must hold .* and no code \(it names"):
        read_graph(tmp_path / "g.pt")
    assert not trace.exists()


def test_code_in_an_npz_file_is_not_run(tmp_path):
    trace = tmp_path / "trace"
    np.savez(tmp_path / "g.npz", edge_index=np.array([Bomb(trace)], dtype=object))
    with pytest.raises(ValueError, match="must hold plain arrays and no code"):
        read_graph(tmp_path / "g.npz")
    assert not trace.exists()


def test_bare_pickle_is_not_run(tmp_path):
    trace = tmp_path / "trace"
    for name in ("g.pt", "g.npz"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb(trace)))
        with pytest.raises(ValueError, match=name):
            read_graph(tmp_path / name)
    assert not trace.exists()


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".txt.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_truncated(tmp_path, suffix, share):
    file = tmp_path / f"g{suffix}"
    write_graph(random_graph(60, 0.3, seed=4783), file)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    if suffix == ".txt.gz" and share == 0:
        assert read_graph(file).num_edges == 0  # an empty gzip file is valid
        return
    with pytest.raises(ValueError, match=rf"g{suffix} (is truncated|must hold)"):
        read_graph(file)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.txt", "0 1\n1 a\n", "must be non-negative integers"),
        ("g.txt", "0 1\n1 2 3\n", "must have 2 columns in every line"),
        ("g.txt", "0 1 2 3\n", r"must have 2 or 3 columns \(got 4\)"),
        ("g.txt", "7\n", r"must have 2 or 3 columns \(got 1\)"),
        ("g.csv", "0.5,1\n", "must be non-negative integers"),
        ("g.txt", "-1 1\n", "must be non-negative integers"),
        ("g.txt", "nan 1\n", "must be non-negative integers"),
        ("g.json", "{}", r"must end in .pt, .npz, .* \(got g.json\)"),
    ],
)
def test_bad_lists(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_graph(tmp_path / name)


def test_other_refusals(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_graph(tmp_path / "none.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match=r"dictionary with 'edge_index' \(got list\)"):
        read_graph(tmp_path / "list.pt")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match=r"must have 'edge_index', .* \(got \['a'\]\)"):
        read_graph(tmp_path / "other.npz")


def test_fractions_are_no_nodes(tmp_path):
    np.savez(tmp_path / "g.npz", row=np.array([0.5]), col=np.array([1]))
    with pytest.raises(ValueError, match=r"'row' in .* integers \(got float64\)"):
        read_graph(tmp_path / "g.npz")


def test_failed_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "graph.txt"
    write_graph(star(3), file)
    before = file.read_bytes()
    broken = star(3)
    broken.edge_weight = torch.ones(2)  # too short
    with pytest.raises(
        ValueError, match="'edge_weight' in the graph must have one row"
    ):
        write_graph(broken, file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_same_graph_same_bytes(tmp_path):
    for name in ("a.txt.gz", "b.txt.gz"):
        write_graph(star(5), tmp_path / name)
    assert (tmp_path / "a.txt.gz").read_bytes() == (tmp_path / "b.txt.gz").read_bytes()


def test_a_transformed_graph_comes_back(tmp_path):
    """Its storage remembers which attributes belong to edges."""
    data = random_graph(num_nodes=20, p=0.3, seed=15737)
    assert data.is_edge_attr("edge_index")
    assert data.is_node_attr("x")
    write_graph(data, tmp_path / "graph.pt")
    assert read_graph(tmp_path / "graph.pt").edge_index.equal(data.edge_index)


def test_a_path_that_is_no_file(tmp_path):
    (tmp_path / "g.txt").mkdir()
    with pytest.raises(ValueError, match=r"g.txt must be a file \(got a folder\)"):
        read_graph(tmp_path / "g.txt")
    with pytest.raises(ValueError, match=r"g.txt must be a file \(got a folder\)"):
        write_graph(star(3), tmp_path / "g.txt")
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*new"):
        write_graph(star(3), tmp_path / "new" / "g.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["g.txt"]


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".csv"])
def test_relabel_and_symmetrize_any_format(tmp_path, suffix):
    ids = torch.tensor([[40, 10], [10, 30]])
    file = tmp_path / f"g{suffix}"
    if suffix == ".csv":
        file.write_text("40,10\n10,30\n")
    elif suffix == ".npz":
        np.savez(file, edge_index=ids.numpy())
    else:
        torch.save({"edge_index": ids}, file)
    data = read_graph(file, relabel=True, symmetrize=True)
    assert data.edge_index.tolist() == [[2, 0, 0, 1], [0, 1, 2, 0]]
    assert data.node_label.tolist() == [10, 30, 40]


def test_positions_are_not_relabelled(tmp_path):
    write_graph(star(3), tmp_path / "g.npz")
    with pytest.raises(ValueError, match=r"its ids are positions \(got 'num_n"):
        read_graph(tmp_path / "g.npz", relabel=True)


def test_write_does_not_touch_the_graph(tmp_path):
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), y=torch.ones(5))
    keys = data.keys()
    write_graph(data, tmp_path / "g.txt")
    assert data.keys() == keys
    assert read_graph(tmp_path / "g.txt").num_nodes == 5
