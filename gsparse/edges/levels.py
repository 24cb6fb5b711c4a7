"""Which attributes of a graph have one value per entry of ``edge_index``."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex, Index
from torch_geometric.data import HeteroData
from torch_geometric.data.data import BaseData
from torch_geometric.data.storage import BaseStorage

EDGE_KEYS = ("edge_index", "edge_weight", "edge_attr", "edge_type", "e_id")
NODE_KEYS = ("x", "y", "pos", "batch", "ptr", "n_id", "node_label", "kept_features")


def require_edge_index(store: BaseStorage) -> Tensor:
    """Return the ``edge_index`` of a store, or refuse with what to do."""
    if "edge_index" not in store or store["edge_index"] is None:
        if "adj_t" in store or "adj" in store:
            raise TypeError(
                "graphs stored as 'adj_t' are not supported; build 'edge_index' "
                "first, or apply ToSparseTensor() after the sparsifier"
            )
        raise ValueError(
            f"'data' must have an 'edge_index' (got {sorted(store.keys())})"
        )
    return store["edge_index"]


def plain(value: Tensor) -> Tensor:
    """Return the plain tensor of an ``EdgeIndex`` or an ``Index``."""
    return value.as_tensor() if isinstance(value, EdgeIndex | Index) else value


def require_single_form(store: BaseStorage) -> None:
    """Refuse a store that holds its edges a second time, as a matrix."""
    for key in ("adj_t", "adj"):
        if key in store:
            raise TypeError(
                f"the edges are stored twice, as 'edge_index' and {key!r}, and only "
                f"'edge_index' would be cut; delete {key!r} first, and apply "
                "ToSparseTensor() after the sparsifier"
            )


def is_edge_level(store: BaseStorage, key: str) -> bool:
    """Return whether this attribute has one value per entry of ``edge_index``.

    Supervision (``edge_label*``, ``y``, ``*_mask``) is excluded by name. The vectors
    that ``follow_batch`` makes follow the attribute they belong to. Everything else is
    decided by length, as in PyG. Where there are as many nodes as entries, a batch
    knows the lengths in its single graphs, and in other graphs the name decides.
    """
    if key in EDGE_KEYS:
        return store[key] is not None
    if is_excluded(key) or (key.endswith("_ptr") and key.removesuffix("_ptr") in store):
        return False
    followed = key.removesuffix("_batch")
    if followed != key and followed in store:
        return is_edge_level(store, followed)
    told = _told_by_collation(store, key)
    if told is not None:
        return told
    return copy.copy(store).is_edge_attr(key)  # a copy: PyG's answers may be outdated


def is_excluded(key: str) -> bool:
    """Return whether the name says that this is node-level or supervision."""
    return key in NODE_KEYS or key.startswith("edge_label") or key.endswith("_mask")


def edge_level_keys(store: BaseStorage) -> list[str]:
    """Return the edge-level attributes, without an ``e_id`` that does not fit.

    Raises:
        ValueError: If one of them has not one value per entry.
    """
    num_edges = store["edge_index"].size(1)
    found = []
    for key in store.keys():  # noqa: SIM118 (a store iterates over values)
        if not is_edge_level(store, key) or (key == "e_id" and not _e_id_fits(store)):
            continue
        length = value_length(store, key)
        if length != num_edges:
            of = "" if store._key is None else f" of {store._key}"
            raise ValueError(
                f"{key!r}{of} must have one value per edge, {num_edges} in all (got "
                f"{length}); delete it, or compute it for the present edges"
            )
        found.append(key)
    return found


def value_length(store: BaseStorage, key: str) -> int | None:
    """Return the length along the dimension that PyG concatenates, if there is one."""
    value = store[key]
    if isinstance(value, Tensor | np.ndarray):
        dim = store._parent().__cat_dim__(key, value, store)
        if value.ndim == 0 or not isinstance(dim, int):
            return None
        return value.shape[dim]
    return len(value) if hasattr(value, "__len__") else None


def slices_of(data: BaseData) -> dict[Any, Any] | None:
    """Return the slices of a batch as PyG stores them; None if there are none."""
    store = data._global_store if isinstance(data, HeteroData) else data._store
    return vars(store).get("_slice_dict")


def collation_slices(store: BaseStorage) -> dict[str, Tensor]:
    """Return where each graph of a batch began and ended when it was collated."""
    found = slices_of(store._parent()) or {}
    if store._key is not None:
        found = found.get(store._key, {})
    return {k: v for k, v in found.items() if isinstance(v, Tensor) and v.dim() == 1}


def _told_by_collation(store: BaseStorage, key: str) -> bool | None:
    """Whether a batch knows the level from its slices; None: it does not."""
    slices, value = collation_slices(store), store[key]
    if key not in slices or "edge_index" not in slices:
        return None
    if not isinstance(value, Tensor):
        return False  # a list with one value per graph
    length, num_edges = value_length(store, key), store["edge_index"].size(1)
    sizes = slices[key].diff()
    of_edges = sizes.equal(slices["edge_index"].diff())
    ptr = store.get("ptr")
    of_nodes = ptr is not None and sizes.equal(ptr.diff().to(sizes.device))
    fresh = int(slices[key][-1]) == length
    if length != num_edges:  # the edges changed, and this did not follow
        return fresh and of_edges and not of_nodes
    # A relation has no nodes of its own.
    of_store = store._key is not None or length == store.num_nodes
    if of_edges != of_nodes and of_store:
        return of_edges
    if fresh and int(slices["edge_index"][-1]) == num_edges and not of_edges:
        return False
    return None


def _e_id_fits(store: BaseStorage) -> bool:
    """Whether ``e_id`` can be the original position of every entry.

    It cannot if it has another length, or if both directions of an edge share a
    number, as they do after ``ToUndirected()``.
    """
    e_id, edge_index = store["e_id"], plain(store["edge_index"])
    if not isinstance(e_id, Tensor) or e_id.shape != edge_index.shape[1:]:
        return False
    if e_id.is_floating_point() or e_id.is_complex() or e_id.dtype == torch.bool:
        return False
    if e_id.numel() == 0 or bool((e_id[1:] > e_id[:-1]).all() & (e_id[0] >= 0)):
        return True
    if e_id.min() < 0:
        return False
    key = store._key
    if key is not None and key[0] != key[2]:
        return True
    return not _shared_by_directions(e_id.long(), edge_index.long())


def _shared_by_directions(e_id: Tensor, edge_index: Tensor) -> bool:
    _, group, count = e_id.unique(return_inverse=True, return_counts=True)
    again = (count[group] > 1) & (edge_index[0] != edge_index[1])
    there = torch.cat([group[again].unsqueeze(0), edge_index[:, again]]).unique(dim=1)
    back = there[[0, 2, 1]]
    both = torch.cat([there, back], dim=1).unique(dim=1)
    return both.size(1) < there.size(1) + back.size(1)
