"""Matrix Market text: the matrix that SciPy reads, as a graph."""

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp
import torch
from torch_geometric.utils import to_scipy_sparse_matrix

from gsparse.data import random_graph, read_graph, write_graph

BANNER = "%%MatrixMarket matrix coordinate"


@pytest.mark.parametrize("name", ["m.mtx", "m.txt"])
@pytest.mark.parametrize(
    ("field", "symmetry"),
    [
        ("real", "general"),
        ("integer", "skew-symmetric"),
        ("real", "symmetric"),
        ("pattern", "general"),
        ("pattern", "symmetric"),
    ],
)
def test_the_matrix_of_scipy(tmp_path, name, symmetry, field):
    rng = np.random.default_rng(41257)
    dense = np.triu(rng.integers(-3, 4, (9, 9)), k=1).astype(float)
    if symmetry != "general":
        dense = dense + (dense.T if symmetry == "symmetric" else -dense.T)
    with (tmp_path / name).open("wb") as file:
        scipy.io.mmwrite(file, sp.coo_matrix(dense), symmetry=symmetry, field=field)
    expected = scipy.io.mmread(tmp_path / name).toarray()
    data = read_graph(tmp_path / name)
    assert data.num_nodes == 9
    assert (data.get("edge_weight") is None) == (field == "pattern")
    found = to_scipy_sparse_matrix(data.edge_index, data.get("edge_weight"), 9)
    assert (found.toarray() == expected).all()


def test_scipy_reads_what_is_written(tmp_path):
    data = random_graph(num_nodes=12, p=0.3, seed=3319, weighted=True)
    write_graph(data, tmp_path / "m.mtx")
    found = scipy.io.mmread(tmp_path / "m.mtx").toarray()
    adjacency = to_scipy_sparse_matrix(data.edge_index, data.edge_weight, 12)
    assert np.allclose(found, adjacency.toarray(), rtol=1e-7)


def test_isolated_nodes_and_loops(tmp_path):
    text = f"{BANNER} pattern symmetric\n% a comment\n\n4 4 2\n1 1\n2 1\n"
    (tmp_path / "m.mtx").write_text(text)
    data = read_graph(tmp_path / "m.mtx")
    assert data.edge_index.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert data.num_nodes == 4
    (tmp_path / "m.mtx").write_text(f"{BANNER} real general\n3 3 0\n")
    data = read_graph(tmp_path / "m.mtx")
    assert data.edge_index.equal(torch.empty(2, 0, dtype=torch.long))
    assert data.num_nodes == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{BANNER} real general\n2 3 1\n1 1 1\n", r"square .* \(got 2 x 3\)"),
        (
            f"{BANNER} complex general\n2 2 1\n1 2 1 1\n",
            "must be a matrix of one of real",
        ),
        (f"{BANNER} complex hermitian\n2 2 0\n", "must be a matrix of one of real"),
        ("%%MatrixMarket matrix array real general\n1 1\n1\n", "a sparse matrix"),
        ("0 1\n", "a sparse matrix"),
        (f"{BANNER} real general\n", "must declare its rows, columns"),
        (f"{BANNER} real general\n2 2 9\n1 2 1\n", r"the 9 entries .* \(got 1\)"),
        (f"{BANNER} real general\n2 2 1\n1 2 1\n2 1 1\n", r"1 entries .* \(got 2\)"),
        (f"{BANNER} real general\n2 2 1\n0 1 1\n", r"indices from 1 to 2 \(got 0"),
        (f"{BANNER} real general\n2 2 1\n1 3 1\n", r"1 to 2 \(got 1 to 3\)"),
        (f"{BANNER} real symmetric\n2 2 2\n1 2 1\n2 1 1\n", "list one triangle"),
        (f"{BANNER} real general\n2 2 1\n1 2\n", "must have 3 columns"),
        (f"{BANNER} real general\n2 2 1\n1 2 nan\n", "must be finite"),
        (f"{BANNER} real general\n1{'0' * 16} 1{'0' * 16} 0\n", "at most 3,037,000"),
    ],
)
def test_refusals(tmp_path, text, message):
    (tmp_path / "m.mtx").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_graph(tmp_path / "m.mtx")
