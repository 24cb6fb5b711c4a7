"""Read and write graphs as NumPy archives, including SciPy matrices."""

import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.check_graph import check_num_nodes, make_data
from gsparse.data.file_bytes import check_bytes

Arrays = dict[str, NDArray[Any]]

_OF_MATRIX = ("row", "col", "indices", "indptr", "data", "shape", "format", "_is_array")
logger = logging.getLogger("gsparse.data")


def read_npz(path: Path) -> Data:
    """Read a graph from a NumPy archive.

    The edges are ``edge_index``, or ``row`` and ``col``, or a SciPy matrix. All other
    arrays become attributes: numbers as tensors and text as lists. Other types are
    skipped with a warning.

    Raises:
        ValueError: If the archive is broken or contains pickled objects, ids are not
            integers, or the matrix is not square.
    """
    arrays = _load(path)
    if "edge_index" not in arrays:
        arrays = _from_matrix(arrays, path)
    arrays["edge_index"] = _integers(arrays["edge_index"], "edge_index", path)
    values: dict[str, Any] = {}
    for key, array in arrays.items():
        if array.dtype.kind in "biufc":
            values[key] = _tensor(array, key, path)
        elif array.dtype.kind == "U":
            values[key] = array.tolist()
        else:
            logger.warning("%s: %r is skipped (%s)", path, key, array.dtype)
    return make_data(values, path)


def write_npz(data: Data, path: Path) -> None:
    """Write all tensors and lists of strings; others are skipped with a warning.

    Raises:
        ValueError: If NumPy cannot hold a tensor (sparse or ``bfloat16``).
    """
    arrays: dict[str, Any] = {"num_nodes": data.num_nodes}
    for key, value in data:
        if isinstance(value, Tensor):
            arrays[key] = _array(value, key)
        elif isinstance(value, list) and all(isinstance(text, str) for text in value):
            arrays[key] = np.array(value)
        elif key != "num_nodes":
            logger.warning(
                "%r is not written to .npz (%s); .pt keeps it",
                key,
                type(value).__name__,
            )
    if "file" in arrays:
        raise ValueError(
            "an attribute in .npz must not be named 'file'; rename it, or write .pt"
        )
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _load(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            check_bytes(sum(part.file_size for part in archive.infolist()), path)
        with np.load(path, allow_pickle=False) as file:
            return {key: np.asarray(file[key]) for key in file.files}
    except Exception as error:  # many types, from zipfile, zlib, ast and NumPy
        if "allow_pickle" in str(error):
            raise ValueError(f"{path} must hold plain arrays and no code") from error
        if isinstance(error, ValueError) and str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} is truncated or not a .npz file") from error


def _from_matrix(arrays: Arrays, path: Path) -> Arrays:
    """Convert ``row`` and ``col``, or a matrix, to ``edge_index``."""
    shape = _square_shape(arrays, path)
    if "indptr" in arrays and "indices" in arrays:
        row, col = _compressed(arrays, shape, path)
    elif "row" in arrays and "col" in arrays:
        row, col = (_integers(arrays[key], key, path) for key in ("row", "col"))
    else:
        raise ValueError(
            f"{path} must have 'edge_index', 'row' and 'col', or the keys of a scipy "
            f"matrix (got {sorted(arrays)})"
        )
    if row.ndim != 1 or row.shape != col.shape:
        raise ValueError(
            f"'row' and 'col' in {path} must be vectors of equal length "
            f"(got shapes {list(row.shape)} and {list(col.shape)})"
        )
    out = {key: a for key, a in arrays.items() if key not in _OF_MATRIX}
    out["edge_index"] = np.stack([row, col])
    if "data" in arrays:
        if (weight := arrays["data"]).dtype.kind not in "biuf":
            raise ValueError(
                f"'data' in {path} must hold real numbers (got {weight.dtype})"
            )
        out["edge_weight"] = weight.astype(np.float32)
    if shape is not None:
        out.setdefault("num_nodes", np.array(shape))
    return out


def _square_shape(arrays: Arrays, path: Path) -> int | None:
    if "shape" not in arrays:
        return None
    shape = _integers(arrays["shape"], "shape", path)
    if shape.shape != (2,) or shape[0] != shape[1]:
        sizes = " x ".join(map(str, shape.ravel()[:4].tolist()))
        raise ValueError(f"{path} must hold a square adjacency matrix (got {sizes})")
    check_num_nodes(int(shape[0]), path)
    return int(shape[0])


def _compressed(
    arrays: Arrays, shape: int | None, path: Path
) -> tuple[NDArray[Any], NDArray[Any]]:
    layout = _text(arrays.get("format", np.array(b"csr")))
    if layout not in ("csr", "csc"):
        raise ValueError(
            f"matrix in {path} must be csr, csc or coo (got {layout!r:.40})"
        )
    indptr = _integers(arrays["indptr"], "indptr", path)
    indices = _integers(arrays["indices"], "indices", path)
    lengths = np.diff(indptr) if indptr.ndim == 1 else np.array([-1])
    fits = indptr.size > 0 and indices.ndim == 1 and (lengths >= 0).all()
    if not fits or indptr[0] != 0 or indptr[-1] != indices.size:
        raise ValueError(
            f"'indptr' in {path} must increase from 0 to the length of 'indices'"
        )
    if shape is not None and indptr.size != shape + 1:
        raise ValueError(f"'indptr' in {path} must have {shape + 1} entries")
    index = np.repeat(np.arange(indptr.size - 1), lengths)
    return (index, indices) if layout == "csr" else (indices, index)


def _text(array: NDArray[Any]) -> str:
    value = array.item() if array.size == 1 else array
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _integers(array: NDArray[Any], key: str, path: Path) -> NDArray[Any]:
    if array.dtype.kind not in "iu":
        raise ValueError(f"{key!r} in {path} must hold integers (got {array.dtype})")
    if array.dtype.kind == "u" and array.size and array.max() > 2**63 - 1:
        raise ValueError(f"{key!r} in {path} must be below 2**63 (got {array.max()})")
    return array.astype(np.int64) if array.dtype.kind == "u" else array


def _tensor(array: NDArray[Any], key: str, path: Path) -> Tensor:
    try:
        return torch.as_tensor(array.astype(array.dtype.newbyteorder("="), copy=False))
    except TypeError:
        raise ValueError(
            f"{key!r} in {path} must have a dtype of torch (got {array.dtype})"
        ) from None


def _array(tensor: Tensor, key: str) -> NDArray[Any]:
    try:
        return tensor.detach().cpu().resolve_conj().resolve_neg().numpy()
    except (TypeError, RuntimeError, NotImplementedError):
        kind = tensor.dtype if tensor.layout == torch.strided else tensor.layout
        raise ValueError(
            f"{key!r} must be a dense tensor with a dtype of NumPy to be written to "
            f".npz (got {kind}); convert it, or write .pt"
        ) from None
