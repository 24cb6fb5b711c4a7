"""Slices of a batch: what ``to_data_list()`` reads, written anew after a cut."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.data.storage import BaseStorage

from gsparse.edges.batches import EdgeGraphs, node_graphs
from gsparse.edges.levels import edge_level_keys, plain, slices_of, value_length


def set_num_nodes(out: Data, num_nodes: int) -> None:
    """Store the number of nodes, which fewer edges may no longer show."""
    out.num_nodes = num_nodes
    if isinstance(out, Batch):
        out._store._num_nodes = node_graphs(out, out._store).size.tolist()


def rebuild_slices(
    before: Batch, out: Batch, graphs: Mapping[Any, EdgeGraphs] | None = None
) -> None:
    """Write the slices of all node-level and edge-level attributes after a cut.

    A batch without slices stays without, and one whose nodes do not lie graph after
    graph loses them: it cannot be taken apart.

    Args:
        before: The batch before the cut.
        out: The batch after the cut; its slices are replaced.
        graphs: The graph of every entry before the cut, for each key of a store;
            None if no edges were cut.
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
    for store in out.node_stores:  # last: what is sliced by edges stays
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
    """Slices of node-level tensors that have none or whose length has changed."""
    graphs = node_graphs(out, store)
    of_others = [
        key
        for key, old in slices.items()
        if isinstance(old, Tensor) and len(old) != len(graphs.size) + 1
    ]
    for key in of_others:  # a batch of batches has one slice for each of them
        del slices[key]
    for key, value in store.items():
        if not isinstance(value, Tensor) or _is_made_by_batch(key):
            continue
        length, old = value_length(store, key), slices.get(key)
        if key in slices and not (isinstance(old, Tensor) and old.dim() == 1):
            continue  # sparse matrices and the like
        if length is None:  # a number, or one value of each graph, stacked
            continue
        if old is not None and int(old[-1]) == length:
            continue
        slices.pop(key, None)
        if key == "kept_features":  # as many for every graph
            size = graphs.size.new_full(graphs.size.shape, length // len(graphs.size))
        elif length == graphs.graph.numel():
            size = graphs.size
        else:
            continue
        slices[key], incs[key] = _ptr(size), _zero(size)


def _slice_edges(
    old: BaseStorage,
    store: BaseStorage,
    graphs: EdgeGraphs,
    slices: dict[str, Any],
    incs: dict[str, Any],
) -> None:
    """Slices of edge-level tensors, with what is subtracted from each graph."""
    edge_keys = edge_level_keys(old)
    row = plain(store["edge_index"])[0]
    ptr, zero = _ptr(graphs.tally(graphs.row.graph[row])), _zero(graphs.size)
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


def _zero(size: Tensor) -> Tensor:
    return torch.zeros(size.numel(), dtype=torch.long)
