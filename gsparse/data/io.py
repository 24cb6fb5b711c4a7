"""Graphs in files: ``.pt``, ``.npz`` and lists of edges. No reader runs code."""

import gzip
import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from gsparse.data.places import replacing

_DELIMITERS = {".txt": None, ".csv": ",", ".tsv": "\t"}
FORMATS = (".pt", ".npz", *_DELIMITERS, *(f"{suffix}.gz" for suffix in _DELIMITERS))
_SAFE: list[Any] = [GlobalStorage, DataEdgeAttr, DataTensorAttr]
_NUM_NODES = re.compile(rb"#.*nodes:\s*(\d+)", re.IGNORECASE)


def read_graph(path: str | Path) -> Data:
    """Reads a graph; the format follows from the end of the name.

    - ``.pt``: a ``Data`` or a dictionary of tensors, read with ``weights_only=True``.
    - ``.npz``: ``edge_index`` with any other arrays of numbers, or ``row``, ``col`` and
      perhaps ``data``, or a matrix saved by ``scipy.sparse.save_npz``.
    - ``.txt``, ``.csv``, ``.tsv``, also with ``.gz``: one edge a line, two node numbers
      and perhaps a weight. ``#`` and ``%`` begin comments; the number of nodes is read
      from a comment ``# nodes: 5``, or else the largest number plus one. The first
      line of a ``.csv`` or ``.tsv`` may name the columns.

    Edges are returned as they stand in the file: a list that names every undirected
    edge once gives a graph with one direction only.

    Raises:
        ValueError: Unknown format, broken file, or one that could run code.
        FileNotFoundError: No such file.
    """
    path = Path(path)
    suffix = _format(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    if suffix == ".pt":
        return _read_pt(path)
    return _read_npz(path) if suffix == ".npz" else _read_edge_list(path, suffix)


def write_graph(data: Data, path: str | Path) -> None:
    """Writes a graph in the format that the name ends with, at once or not at all.

    A list of edges keeps ``edge_index`` and ``edge_weight`` only. ``.pt`` and ``.npz``
    keep every tensor, ``.pt`` as a ``Data``.

    Raises:
        ValueError: Unknown format.
    """
    path = Path(path)
    suffix = _format(path)
    with replacing(path) as temporary:
        if suffix == ".pt":
            # Without what its storage remembers, which a safe load would refuse.
            torch.save(Data.from_dict(data.to_dict()), temporary)
        elif suffix == ".npz":
            tensors = {key: value for key, value in data if isinstance(value, Tensor)}
            arrays = {key: value.cpu().numpy() for key, value in tensors.items()}
            np.savez_compressed(temporary, **{"num_nodes": data.num_nodes, **arrays})
        else:
            _write_edge_list(data, temporary, suffix)


def _format(path: Path) -> str:
    name = path.name.lower()
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"a graph file must end in {', '.join(FORMATS)} (got {path.name})")


def _read_pt(path: Path) -> Data:
    try:
        with torch.serialization.safe_globals(_SAFE):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it names {found[1]}" if found else "it is broken or of an old format"
        raise ValueError(
            f"{path} must hold a Data or a dictionary of tensors and no code ({what})"
        ) from error
    except (RuntimeError, EOFError, OSError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is truncated or not a .pt file") from error
    if isinstance(content, Data):
        return content
    if isinstance(content, dict) and isinstance(content.get("edge_index"), Tensor):
        return Data.from_dict(content)
    raise ValueError(
        f"{path} must hold a Data or a dictionary with 'edge_index' "
        f"(got {type(content).__name__})"
    )


def _read_npz(path: Path) -> Data:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (zipfile.BadZipFile, EOFError, OSError, AttributeError) as error:
        raise ValueError(f"{path} is truncated or not a .npz file") from error
    except ValueError as error:  # what numpy says of object arrays
        raise ValueError(f"{path} must hold plain arrays and no code") from error
    return _from_arrays(arrays, path)


def _from_arrays(arrays: dict[str, NDArray[Any]], path: Path) -> Data:
    for key in ("edge_index", "row", "col"):
        if key in arrays and arrays[key].dtype.kind not in "iu":
            raise ValueError(
                f"{key!r} in {path} must hold integers (got {arrays[key].dtype})"
            )
    if "edge_index" in arrays:
        num_nodes = arrays.pop("num_nodes", None)
        numeric = {key: a for key, a in arrays.items() if a.dtype.kind in "biufc"}
        data = Data.from_dict({key: torch.as_tensor(a) for key, a in numeric.items()})
        if num_nodes is not None:
            data.num_nodes = int(num_nodes)
        return data
    if "indptr" in arrays and "indices" in arrays:
        layout = str(arrays.get("format", np.array(b"csr")).astype("U3"))
        if layout not in ("csr", "csc"):
            raise ValueError(f"matrix in {path} must be csr, csc or coo (got {layout})")
        index = np.arange(arrays["indptr"].size - 1)
        arrays["row"] = np.repeat(index, np.diff(arrays["indptr"]))
        arrays["col"] = arrays["indices"]
        if layout == "csc":
            arrays["row"], arrays["col"] = arrays["col"], arrays["row"]
    if "row" not in arrays or "col" not in arrays:
        raise ValueError(
            f"{path} must have 'edge_index', 'row' and 'col', or the keys of a scipy "
            f"matrix (got {sorted(arrays)})"
        )
    edge_index = torch.from_numpy(np.stack([arrays["row"], arrays["col"]]))
    data = Data(edge_index=edge_index.long())
    if "data" in arrays:
        data.edge_weight = torch.as_tensor(arrays["data"]).float()
    largest = int(edge_index.max()) + 1 if edge_index.numel() else 0
    shape = arrays.get("shape", np.array([largest]))
    data.num_nodes = int(arrays.get("num_nodes", shape.max()))
    return data


def _read_edge_list(path: Path, suffix: str) -> Data:
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if suffix.endswith(".gz") else content
    except (EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path} is truncated or not compressed by gzip") from error
    lines = content.splitlines()
    nodes = [_NUM_NODES.match(line) for line in lines if line.startswith((b"#", b"%"))]
    rows = [line for line in lines if line.strip() and line[:1] not in b"#%"]
    delimiter = _DELIMITERS[suffix.removesuffix(".gz")]
    if rows and delimiter and not rows[0].lstrip()[:1].isdigit():
        rows = rows[1:]
    table = _parse(rows, delimiter, path)
    ids = table[:, :2]
    if (ids < 0).any() or (ids != np.floor(ids)).any():
        raise ValueError(f"nodes in {path} must be whole numbers from 0 on")
    data = Data(edge_index=torch.from_numpy(ids.astype(np.int64).T.copy()))
    if table.shape[1] == 3:
        data.edge_weight = torch.from_numpy(table[:, 2]).float()
    said = max((int(match[1]) for match in nodes if match), default=0)
    data.num_nodes = max(said, int(ids.max()) + 1 if ids.size else 0)
    return data


def _parse(rows: list[bytes], delimiter: str | None, path: Path) -> NDArray[np.float64]:
    if not rows:
        return np.empty((0, 2))
    try:
        table = np.loadtxt(io.BytesIO(b"\n".join(rows)), delimiter=delimiter, ndmin=2)
    except ValueError as error:
        raise ValueError(
            f"{path} must hold numbers, one edge a line ({error})"
        ) from None
    if table.shape[1] not in (2, 3):
        raise ValueError(f"{path} must have 2 or 3 columns (got {table.shape[1]})")
    return table


def _write_edge_list(data: Data, path: Path, suffix: str) -> None:
    delimiter = _DELIMITERS[suffix.removesuffix(".gz")]
    columns = [column.tolist() for column in data.edge_index]
    if data.get("edge_weight") is not None:
        columns.append([repr(weight) for weight in data.edge_weight.tolist()])
    lines = (
        (delimiter or " ").join(map(str, row)) for row in zip(*columns, strict=True)
    )
    head = "" if delimiter == "," else f"# nodes: {data.num_nodes}\n"
    text = (head + "".join(f"{line}\n" for line in lines)).encode()
    # Without a time stamp the same graph gives the same file.
    path.write_bytes(gzip.compress(text, mtime=0) if suffix.endswith(".gz") else text)
