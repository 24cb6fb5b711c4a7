"""Read raw files for which PyG has no reader."""

from pathlib import Path

import torch
from numpy import loadtxt
from scipy.io import loadmat
from scipy.sparse import load_npz
from torch_geometric.data import Data
from torch_geometric.utils import (
    coalesce,
    from_scipy_sparse_matrix,
    to_undirected,
)

from gsparse.data.cards import Card
from gsparse.data.io import read_graph


def read_structure(card: Card, folder: Path) -> Data:
    """Read the raw file of a card of kind ``"edges"``.

    Reverse edges are added if the card says that the file lists each undirected edge
    once.
    """
    path = folder / card.files[0]
    data = _read_mat(path) if path.suffix == ".mat" else read_graph(path)
    combine = coalesce if card.both_directions else to_undirected
    data.edge_index = combine(data.edge_index, num_nodes=data.num_nodes)
    return data


def _read_mat(path: Path) -> Data:
    """Read the adjacency matrix ``network`` and the label columns ``group``."""
    mat = loadmat(path)
    edge_index, _ = from_scipy_sparse_matrix(mat["network"])
    y = torch.from_numpy(mat["group"].toarray()).float()
    return Data(edge_index=edge_index, y=y, num_nodes=mat["network"].shape[0])


def read_attributed(folder: Path) -> Data:
    """Read the files of ``AttributedGraphDataset`` without pandas, which PyG needs."""
    x = load_npz(folder / "attrs.npz").tocsr().astype("float32")
    edge_index = torch.from_numpy(
        loadtxt(folder / "edgelist.txt", dtype="int64", ndmin=2)
    )
    lines = (folder / "labels.txt").read_text().splitlines()
    y = torch.tensor([[int(label) - 1 for label in line.split()[1:]] for line in lines])
    return Data(
        x=torch.from_numpy(x.toarray()),
        edge_index=edge_index.t().contiguous(),
        y=y.flatten(),
    )
