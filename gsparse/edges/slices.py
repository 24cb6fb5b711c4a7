"""Recompute the slices of a batch, which ``to_data_list()`` reads, after a removal."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.storage import BaseStorage

from gsparse.edges.batches import EdgeGraphs, node_graphs
from gsparse.edges.levels import edge_level_keys, plain, slices_of, value_length


def set_num_nodes(out: Data, num_nodes: int) -> None:
    """Store the number of nodes, which can no longer be inferred from the edges."""
    out.num_nodes = num_nodes
    if isinstance(out, Batch):
        out._store._num_nodes = node_graphs(out, out._store).size.tolist()


def rebuild_slices(
    before: Batch, out: Batch, graphs: Mapping[Any, EdgeGraphs] | None = None
) -> None:
    """Replace the slices of all node-level and edge-level attributes after a removal.

    Does nothing if the batch has no slices. A batch whose nodes are not sorted by graph
    loses its slices, because it cannot be separated into graphs.

    Args:
        before: Batch before the removal.
        out: Batch after the removal; its slices are replaced.
        graphs: Graph of every entry before the removal for each edge type; None if no
            edges were removed.
    """
    graphs = graphs or {}
    if slices_of(out) is None:
        return
    slices, incs = _copies(out._slice_dict), _copies(out._inc_dict)
    of_nodes = [node_graphs(out, s) for s in out.node_stores if _has_graphs(s)]
    if any(found.order is not None for found in of_nodes):
        holder = out._store if isinstance(out, Data) else out._global_store
        del holder._slice_dict, holder._inc_dict
        return
    for old, store in zip(before.edge_stores, out.edge_stores, strict=True):
        if store._key in graphs:
            _slice_edges(
                old, store, graphs[store._key], *_of_store(store, slices, incs)
            )
    for store in out.node_stores:  # last, because edge-level slices must be kept
        if _has_graphs(store):
            _slice_nodes(out, store, *_of_store(store, slices, incs))
    out._slice_dict, out._inc_dict = slices, incs
    out._num_graphs = max((found.size.numel() for found in of_nodes), default=0)


def _has_graphs(store: BaseStorage) -> bool:
    return "batch" in store or "ptr" in store


def _copies(nested: dict[Any, Any]) -> dict[Any, Any]:
    return {k: dict(v) if isinstance(v, dict) else v for k, v in nested.items()}


def _of_store(store: BaseStorage, *dicts: dict[Any, Any]) -> list[dict[str, Any]]:
    return [d if store._key is None else d.setdefault(store._key, {}) for d in dicts]


def _slice_nodes(
    out: Batch, store: BaseStorage, slices: dict[str, Any], incs: dict[str, Any]
) -> None:
    """Slice the node-level tensors that have no slices or another length."""
    graphs = node_graphs(out, store)
    of_others = [
        key
        for key, old in slices.items()
        if isinstance(old, Tensor) and len(old) != len(graphs.size) + 1
    ]
    for key in of_others:  # a nested batch has one slice per inner batch
        del slices[key]
    for key, value in store.items():
        if not isinstance(value, Tensor) or _is_made_by_batch(key):
            continue
        length, old = value_length(store, key), slices.get(key)
        if key in slices and not (isinstance(old, Tensor) and old.dim() == 1):
            continue  # for example a sparse matrix
        if length is None:  # a number, or one stacked value per graph
            continue
        if old is not None and int(old[-1]) == length:
            continue
        slices.pop(key, None)
        if key == "kept_features":  # every graph has the same number of features
            size = graphs.size.new_full(graphs.size.shape, length // len(graphs.size))
        elif length == graphs.graph.numel():
            size = graphs.size
        else:
            continue
        slices[key], incs[key] = _ptr(size), torch.zeros_like(size).cpu()


def _slice_edges(
    old: BaseStorage,
    store: BaseStorage,
    graphs: EdgeGraphs,
    slices: dict[str, Any],
    incs: dict[str, Any],
) -> None:
    """Slice the edge-level tensors and set their increments."""
    edge_keys = edge_level_keys(old)
    row = plain(store["edge_index"])[0]
    ptr = _ptr(graphs.tally(graphs.row.graph[row]))
    zero = torch.zeros_like(ptr[1:])
    shift = graphs.row.first.cpu()
    if store._key is not None:
        shift = torch.stack([shift, graphs.col.first.cpu()], dim=1).unsqueeze(2)
    new = [key for key in ("edge_weight", "e_id") if key in store]
    for key in dict.fromkeys([*edge_keys, *new]):
        if _is_made_by_batch(key) or not isinstance(store[key], Tensor):
            continue
        slices[key] = ptr
        if key == "edge_index":
            incs[key] = shift
        elif key == "e_id" and key not in edge_keys:
            incs[key] = zero if graphs.order is not None else graphs.first.cpu()
        else:
            incs.setdefault(key, shift if "index" in key else zero)


def _is_made_by_batch(key: str) -> bool:
    return key in ("batch", "ptr") or key.endswith(("_batch", "_ptr"))


def _ptr(size: Tensor) -> Tensor:
    return torch.cat([size.new_zeros(1), size.cumsum(0)]).cpu()
