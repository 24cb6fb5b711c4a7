"""Cut data sets come back as data sets, and pickles are not read."""

import os
import pickle

import pytest
import torch
from torch_geometric.data import Batch, HeteroData
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Constant

from gsparse.data import SavedDataset, karate, planted_partition, write_dataset
from gsparse.train import sparse_features
from gsparse.transforms import RandomEdge

GRAPHS = [
    RandomEdge(0.5, seed=seed)(planted_partition(30 + seed, num_classes=3, seed=seed))
    for seed in (3, 5, 8)
]


def equal(a, b):
    return {*a.keys()} - {"num_nodes"} == {*b.keys()} - {"num_nodes"} and all(
        torch.equal(torch.as_tensor(value), torch.as_tensor(b[key])) for key, value in a
    )


@pytest.mark.parametrize("graphs", [GRAPHS, GRAPHS[:1], GRAPHS[1]])
def test_a_data_set_comes_back(tmp_path, graphs):
    wanted = graphs if isinstance(graphs, list) else [graphs]
    assert write_dataset(graphs, tmp_path / "deep" / "thin") == len(wanted)
    dataset = SavedDataset(tmp_path / "deep" / "thin")
    assert len(dataset) == len(wanted)
    assert all(map(equal, dataset, wanted))
    assert (dataset.num_classes, dataset.num_features) == (3, 200)
    batch = next(iter(DataLoader(dataset, batch_size=3)))
    assert batch.num_edges == sum(it.num_edges for it in wanted)
    again = SavedDataset(tmp_path / "deep" / "thin", transform=Constant())
    assert again[0].num_features == 201


def test_a_smaller_data_set_replaces_a_larger_one(tmp_path):
    write_dataset(GRAPHS, tmp_path)
    write_dataset(iter(GRAPHS[:2]), tmp_path)
    assert len(SavedDataset(tmp_path)) == 2
    (tmp_path / "processed" / "graph_1.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"graph_1.npz"):
        SavedDataset(tmp_path)


def test_half_written_is_no_data_set(tmp_path):
    write_dataset(GRAPHS, tmp_path)
    bad = GRAPHS[2].clone()
    bad.x = bad.x.to(torch.bfloat16)
    with pytest.raises(ValueError, match=r"'x' must be a dense tensor with a dtype of"):
        write_dataset([GRAPHS[0], bad], tmp_path)
    with pytest.raises(FileNotFoundError, match="no data set of write_dataset"):
        SavedDataset(tmp_path)


def test_sparse_features_are_written_dense(tmp_path):
    for x in (sparse_features(torch.eye(34)), torch.eye(34).to_sparse_csr()):
        graph = karate()
        graph.x = x
        write_dataset(graph, tmp_path)
        assert SavedDataset(tmp_path)[0].x.equal(torch.eye(34))
        assert graph.x is x


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def test_no_pickle_is_read(tmp_path, monkeypatch):
    """PyG would unpickle these files; ours are not even opened."""
    monkeypatch.chdir(tmp_path)
    write_dataset(GRAPHS, tmp_path)
    for name in ("pre_transform.pt", "pre_filter.pt", "data.pt"):
        (tmp_path / "processed" / name).write_bytes(pickle.dumps(Trap()))
    assert len(SavedDataset(tmp_path)) == 3
    assert not (tmp_path / "trapped").exists()
    (tmp_path / "processed" / "graph_0.npz").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match=r"graph_0.npz is truncated or not a .npz"):
        SavedDataset(tmp_path)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"format": 2, "num_graphs": 1}', r"format 1 at most \(got 2\)"),
        ('{"format": 1, "num_graphs": 0}', "is damaged"),
        ('{"format": 1, "num_graphs": 1e9}', "is damaged"),
        ('{"format": 1, "num_graphs": 99999999999}', "is damaged"),
        ('{"format": "1", "num_graphs": 1}', "is damaged"),
        ("[]", "is damaged"),
        ("[" * 99_999, "is damaged"),
        ("", "is damaged"),
    ],
)
def test_damaged_contents(tmp_path, text, error):
    write_dataset(GRAPHS, tmp_path)
    (tmp_path / "processed" / "graphs.json").write_text(text)
    with pytest.raises(ValueError, match=error):
        SavedDataset(tmp_path)


def test_what_is_no_graph(tmp_path):
    for bad in (HeteroData(), Batch.from_data_list(GRAPHS), "text"):
        with pytest.raises(TypeError, match=r"each a Data \(got"):
            write_dataset([bad], tmp_path)
    with pytest.raises(ValueError, match=r"must hold a graph \(got none\)"):
        write_dataset([], tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no data set"):
        SavedDataset(tmp_path)
