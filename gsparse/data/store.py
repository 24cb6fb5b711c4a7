"""Store processed data sets as plain tensors that are read without unpickling."""

from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.features import csr_matrix, to_csr
from gsparse.data.places import replacing

Tensors = dict[str, Tensor]

_KEYS = ("edge_index", "y", "train_mask", "val_mask", "test_mask")
_CSR = ("x_crow", "x_col", "x_value", "x_shape")
SPARSE_BELOW = 0.25


def to_tensors(data: Data) -> Tensors:
    """Return the edges, labels, masks and features of a graph as plain tensors.

    Features are compressed if fewer than 25 % of them are not zero.
    """
    num_nodes = int(data.num_nodes or 0)
    tensors: Tensors = {"num_nodes": torch.tensor(num_nodes)}
    for key in _KEYS:
        if key in data and data[key] is not None:
            tensors[key] = data[key].contiguous()
    y = tensors.get("y")
    if y is not None:
        y = y.flatten() if y.dim() == 2 and y.size(1) == 1 else y
        tensors["y"] = y.long() if y.dim() == 1 else y.float()
    if data.x is not None:
        tensors.update(_features(data.x))
    return tensors


def _features(x: Tensor) -> Tensors:
    if x.layout == torch.strided and x.count_nonzero() >= SPARSE_BELOW * x.numel():
        return {"x": x.float().contiguous()}
    x = to_csr(x)
    parts = x.crow_indices(), x.col_indices(), x.values(), torch.tensor(x.shape)
    return dict(zip(_CSR, parts, strict=True))


def to_data(tensors: Tensors, *, sparse_features: bool = False) -> Data:
    """Build the graph from the result of :func:`to_tensors`."""
    data = Data(num_nodes=int(tensors["num_nodes"]))
    for key in _KEYS:
        if key in tensors:
            data[key] = tensors[key]
    if "x" in tensors:
        data.x = to_csr(tensors["x"]) if sparse_features else tensors["x"]
    elif "x_crow" in tensors:
        crow, col, value, shape = (tensors[key] for key in _CSR)
        x = csr_matrix(crow, col, value, shape.tolist())
        data.x = x if sparse_features else x.to_dense()
    return data


def write_tensors(tensors: Tensors, path: Path) -> None:
    """Write the tensors to a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(tensors, temporary)


def read_tensors(path: Path) -> Tensors | None:
    """Read the tensors; return ``None`` if the file is missing or broken."""
    try:
        return torch.load(path, weights_only=True)
    except Exception:  # many types, depending on the damage
        return None
