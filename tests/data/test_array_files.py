"""NumPy archives: written graphs are read back, and headers are checked."""

import io
import logging
import zipfile

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Data

from gsparse.data import path, read_graph, write_graph

EDGES = torch.tensor([[0, 1], [1, 0]])


def save(tmp_path, **arrays):
    np.savez(tmp_path / "g.npz", **arrays)
    return tmp_path / "g.npz"


@pytest.mark.parametrize("dtype", [">i8", "<u8", "<i4", "u2"])
def test_ids_of_any_integers(tmp_path, dtype):
    data = read_graph(save(tmp_path, edge_index=EDGES.numpy().astype(dtype)))
    assert data.edge_index.tolist() == EDGES.tolist()
    data = read_graph(save(tmp_path, row=np.array([0, 7], dtype), col=np.ones(2, "i8")))
    assert data.edge_index.tolist() == [[0, 7], [1, 1]]
    assert data.num_nodes == 8


def test_other_arrays_stay_beside_row_and_col(tmp_path):
    file = save(tmp_path, row=[0], col=[2], data=[0.5], x=np.eye(4), name=["a", "b"])
    data = read_graph(file)
    assert data.num_nodes == 4
    assert data.edge_weight.tolist() == [0.5]
    assert data.name == ["a", "b"]


def broken_matrix(**changes):
    matrix = sp.csr_array(np.array([[0, 2.0], [1, 0]]))
    parts = {"indptr": matrix.indptr, "indices": matrix.indices, "data": matrix.data}
    return parts | {"shape": np.array([2, 2])} | changes


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (broken_matrix(shape=[2, 5]), r"a square adjacency matrix \(got 2 x 5\)"),
        (broken_matrix(shape=[2]), r"a square adjacency matrix \(got 2\)"),
        (broken_matrix(shape=[10**15] * 2), "at most 3,037,000,499 nodes"),
        (broken_matrix(format="bsr"), r"must be csr, csc or coo \(got 'bsr'\)"),
        (broken_matrix(indptr=[0, 2, 1]), "'indptr' in .* must increase from 0"),
        (broken_matrix(indptr=[0, 1, 1]), "'indptr' in .* must increase from 0"),
        (broken_matrix(indptr=[0, 2]), "'indptr' in .* must have 3 entries"),
        (broken_matrix(indices=[0, 2]), r"below num_nodes=2 \(got 2\)"),
        (broken_matrix(indices=[0, -1]), "must not hold negative ids"),
        (broken_matrix(data=[1j, 2]), "'data' in .* must hold real numbers"),
        (broken_matrix(data=["a", "b"]), "'data' in .* must hold real numbers"),
        (broken_matrix(data=[1.0]), r"'edge_weight' in .* each of the 2 edges"),
        (broken_matrix(data=[1.0, np.nan]), "'edge_weight' in .* must be finite"),
        ({"row": [0, 1], "col": [1]}, "must be vectors of equal length"),
        ({"row": [[0]], "col": [[1]]}, "must be vectors of equal length"),
        ({"edge_index": [0, 1]}, r"must have shape \[2, E\] \(got \[2\]\)"),
        ({"edge_index": [[0.0], [1]]}, r"'edge_index' .* integers \(got float64\)"),
        ({"edge_index": np.array([[2**64 - 1], [1]], "u8")}, "must be below 2\\*\\*63"),
        ({"edge_index": [[0], [1]], "num_nodes": 1.5}, "a non-negative integer"),
        ({"edge_index": [[0], [1]], "num_nodes": -1}, "a non-negative integer"),
        ({"edge_index": [[0], [1]], "num_nodes": [2, 2]}, "a non-negative integer"),
        ({"edge_index": [[0], [1]], "x": np.ones((1, 3))}, r"below num_nodes=1"),
        ({"edge_index": [[0], [1]], "_mapping": 1}, r"must name .* \(got '_mapping'\)"),
    ],
)
def test_refusals(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        read_graph(save(tmp_path, **arrays))


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', 'fortran_order': False, 'shape': (2, 1000000000000)}",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (2, ",
        "{'descr': '<i8', 'fortran_order' False, 'shape': (2, 1)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (2, 1)}",
        "[]",
    ],
)
def test_headers_that_lie(tmp_path, header):
    text = header.encode() + b"\n"
    size = len(text).to_bytes(2, "little")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("edge_index.npy", b"\x93NUMPY\1\0" + size + text + b"\0" * 16)
    (tmp_path / "g.npz").write_bytes(out.getvalue())
    with pytest.raises(ValueError, match=r"g.npz (is truncated|must hold plain)"):
        read_graph(tmp_path / "g.npz")


def test_damage_that_only_unpacking_finds(tmp_path):
    data = Data(edge_index=torch.randint(99, (2, 500)), num_nodes=99)
    write_graph(data, tmp_path / "g.npz")
    content = bytearray((tmp_path / "g.npz").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = b"\xff" * 40
    (tmp_path / "g.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"is truncated or not a .npz file"):
        read_graph(tmp_path / "g.npz")


@pytest.mark.parametrize(
    "x",
    [
        torch.eye(2).requires_grad_(),
        torch.eye(2).requires_grad_() * 2,
        torch.eye(2, dtype=torch.complex64).conj(),
        torch.nn.Parameter(torch.eye(2)),
        torch.eye(2).half(),
    ],
)
def test_tensors_are_kept(tmp_path, x):
    for suffix in (".npz", ".pt"):
        write_graph(Data(x=x, edge_index=EDGES), tmp_path / f"g{suffix}")
        assert read_graph(tmp_path / f"g{suffix}").x.equal(x)


@pytest.mark.parametrize(
    "x",
    [torch.eye(2).bfloat16(), torch.eye(2).to_sparse(), torch.eye(2).to_sparse_csr()],
)
def test_what_numpy_lacks_is_refused_and_kept_in_pt(tmp_path, x):
    data = Data(x=x, edge_index=EDGES)
    (tmp_path / "g.npz").write_text("as it was")
    with pytest.raises(ValueError, match=r"'x' must be a dense tensor .* write .pt"):
        write_graph(data, tmp_path / "g.npz")
    assert (tmp_path / "g.npz").read_text() == "as it was"
    write_graph(data, tmp_path / "g.pt")
    back = read_graph(tmp_path / "g.pt").x
    assert (back.dtype, back.layout) == (x.dtype, x.layout)
    assert back.to_dense().equal(x.to_dense())


def test_texts_are_kept_and_others_named(tmp_path, caplog):
    data = Data(edge_index=EDGES, node_label=["ä", "b c"], size_of={"a": 1})
    with caplog.at_level(logging.WARNING):
        write_graph(data, tmp_path / "g.npz")
    assert "'size_of' is not written to .npz (dict); .pt keeps it" in caplog.text
    assert read_graph(tmp_path / "g.npz").node_label == ["ä", "b c"]
    assert "size_of" not in read_graph(tmp_path / "g.npz")
    write_graph(data, tmp_path / "g.pt")
    assert read_graph(tmp_path / "g.pt").size_of == {"a": 1}


def test_an_edge_index_of_pyg_is_written(tmp_path):
    data = Data(edge_index=EdgeIndex(EDGES), num_nodes=2)
    for suffix in (".npz", ".pt", ".txt", ".mtx"):
        write_graph(data, tmp_path / f"g{suffix}")
        back = read_graph(tmp_path / f"g{suffix}").edge_index
        assert (type(back) is EdgeIndex) == (suffix == ".pt")
        assert back.tolist() == EDGES.tolist()


def test_a_name_in_capitals(tmp_path):
    write_graph(path(3), tmp_path / "G.NPZ")
    assert read_graph(tmp_path / "G.NPZ").edge_index.equal(path(3).edge_index)
    assert [file.name for file in tmp_path.iterdir()] == ["G.NPZ"]
