"""Read and write graphs as ``.pt`` files without running code from them."""

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from gsparse.data.check_graph import make_data

_SAFE: list[Any] = [GlobalStorage, DataEdgeAttr, DataTensorAttr]
_PLAIN = {type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device}
_PLAIN |= {Tensor, torch.nn.Parameter, EdgeIndex, torch.Size}
_NESTED = {list, tuple, set}


def read_pt(path: Path) -> Data:
    """Read a ``Data`` or a dictionary of tensors with ``weights_only=True``.

    Raises:
        ValueError: If the file is broken or has other contents.
    """
    content = _load(path)
    if not (isinstance(content, dict) and "edge_index" in content):
        raise ValueError(
            f"{path} must hold a Data or a dictionary with 'edge_index' "
            f"(got {type(content).__name__})"
        )
    return make_data(content, path)


def write_pt(data: Data, path: Path) -> None:
    """Write a graph with all of its attributes.

    Raises:
        ValueError: If :func:`read_pt` could not read an attribute.
    """
    values = data.to_dict()
    for key, value in values.items():
        if not _is_plain(value):
            raise ValueError(
                f"{key!r} must be a tensor, a number, a string or a list of them to be "
                f"written to .pt (got {type(value).__name__})"
            )
    # A new Data, because read_pt refuses the internal state of some old ones.
    torch.save(Data.from_dict(values), path)


def _load(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(_SAFE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about other pickle protocols
            content = torch.load(path, map_location="cpu", weights_only=True)
            return content.to_dict() if isinstance(content, Data) else content
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it names {found[1]}" if found else "it is broken or of an old format"
        raise ValueError(
            f"{path} must hold a Data or a dictionary of tensors and no code ({what})"
        ) from error
    except Exception as error:  # many types, depending on the damage
        raise ValueError(f"{path} is truncated or not a .pt file") from error


def _is_plain(value: object) -> bool:
    if type(value) in _NESTED:
        return all(map(_is_plain, value))  # type: ignore[call-overload]
    if type(value) is dict:
        return all(_is_plain(key) and _is_plain(value[key]) for key in value)
    return type(value) in _PLAIN
