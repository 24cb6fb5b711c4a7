"""Decide which attributes of a graph have one value per entry of ``edge_index``."""

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
    """Return the ``edge_index`` of a store; refuse ``adj_t`` and a missing one."""
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
    """Refuse a store that also holds its edges as a matrix."""
    for key in ("adj_t", "adj"):
        if key in store:
            raise TypeError(
                f"the edges are stored twice, as 'edge_index' and {key!r}, and only "
                f"'edge_index' would be sparsified; delete {key!r} first, and apply "
                "ToSparseTensor() after the sparsifier"
            )


def is_edge_level(store: BaseStorage, key: str) -> bool:
    """Return whether an attribute has one value per entry of ``edge_index``.

    Supervision (``edge_label*``, ``y``, ``*_mask``) is excluded by name. Vectors made
    by ``follow_batch`` are treated like the attribute they belong to. Everything else
    is decided by length, as in PyG. If there are as many nodes as entries, a batch
    compares the lengths in its single graphs, and other graphs decide by name.
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
    """Return whether the name of an attribute marks it as node-level or supervision."""
    return key in NODE_KEYS or key.startswith("edge_label") or key.endswith("_mask")


def edge_level_keys(store: BaseStorage) -> list[str]:
    """Return the names of the edge-level attributes, except an unusable ``e_id``.

    Raises:
        ValueError: If an attribute does not have one value per entry.
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
                f"{length}); delete it, or compute it for the current edges"
            )
        found.append(key)
    return found


def value_length(store: BaseStorage, key: str) -> int | None:
    """Return the length along the dimension that PyG concatenates, or None."""
    value = store[key]
    if isinstance(value, Tensor | np.ndarray):
        dim = store._parent().__cat_dim__(key, value, store)
        if value.ndim == 0 or not isinstance(dim, int):
            return None
        return value.shape[dim]
    return len(value) if hasattr(value, "__len__") else None


def slices_of(data: BaseData) -> dict[Any, Any] | None:
    """Return the slices of a batch as PyG stores them, or None."""
    store = data._global_store if isinstance(data, HeteroData) else data._store
    return vars(store).get("_slice_dict")


def collation_slices(store: BaseStorage) -> dict[str, Tensor]:
    """Return the boundaries of the graphs in each attribute at collation time."""
    found = slices_of(store._parent()) or {}
    if store._key is not None:
        found = found.get(store._key, {})
    return {k: v for k, v in found.items() if isinstance(v, Tensor) and v.dim() == 1}


def _told_by_collation(store: BaseStorage, key: str) -> bool | None:
    """Decide from the slices of a batch, or return None if they do not tell."""
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
    if length != num_edges:  # the edges have changed and this attribute has not
        return fresh and of_edges and not of_nodes
    # A relation does not have its own nodes.
    of_store = store._key is not None or length == store.num_nodes
    if of_edges != of_nodes and of_store:
        return of_edges
    if fresh and int(slices["edge_index"][-1]) == num_edges and not of_edges:
        return False
    return None


def _e_id_fits(store: BaseStorage) -> bool:
    """Return whether ``e_id`` can hold the original position of every entry.

    It cannot if its length differs, or if both directions of an edge have the same
    number, as after ``ToUndirected()``.
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
    is_bipartite = store._key is not None and store._key[0] != store._key[2]
    return is_bipartite or not _shared_by_directions(e_id.long(), edge_index.long())


def _shared_by_directions(e_id: Tensor, edge_index: Tensor) -> bool:
    _, group, count = e_id.unique(return_inverse=True, return_counts=True)
    again = (count[group] > 1) & (edge_index[0] != edge_index[1])
    entries = torch.cat([group[again].unsqueeze(0), edge_index[:, again]])
    pairs = torch.cat([entries[:1], entries[1:].sort(dim=0).values])
    return pairs.unique(dim=1).size(1) < entries.unique(dim=1).size(1)
