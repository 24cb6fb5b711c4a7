"""Processed data sets as plain tensors in one file, read without unpickling."""

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
    """What is kept of a ``Data``: edges, labels, masks and features.

    Features of which fewer than 25 % are not zero are kept as compressed rows.
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
    """The ``Data`` of :func:`to_tensors`, masks as they came."""
    data = Data(num_nodes=int(tensors["num_nodes"]))
    for key in _KEYS:
        if key in tensors:
            data[key] = tensors[key]
    if "x" in tensors:
        data.x = to_csr(tensors["x"]) if sparse_features else tensors["x"]
    elif "x_crow" in tensors:
        crow, col, value, shape = (tensors[key] for key in _CSR)
        num_rows, num_columns = shape.tolist()
        if sparse_features:
            data.x = csr_matrix(crow, col, value, (num_rows, num_columns))
        else:
            row = torch.arange(num_rows).repeat_interleave(crow.diff())
            data.x = torch.zeros(num_rows, num_columns)
            data.x[row, col] = value
    return data


def write_tensors(tensors: Tensors, path: Path) -> None:
    """Writes the file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(tensors, temporary)


def read_tensors(path: Path) -> Tensors | None:
    """The tensors, or ``None`` where there is no such file or a broken one."""
    try:
        return torch.load(path, weights_only=True)
    except Exception:  # torch raises half a dozen types for a broken file
        return None
