"""Remove edges from a graph and slice every tensor that is aligned with them."""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data
from torch_geometric.data.storage import BaseStorage
from torch_geometric.utils import is_undirected

from gsparse.edges.batches import EdgeGraphs, edge_graphs
from gsparse.edges.levels import (
    edge_level_keys,
    is_excluded,
    plain,
    require_edge_index,
    require_single_form,
)
from gsparse.edges.slices import rebuild_slices, set_num_nodes

# ruff: noqa: ANN401 (an attribute of a graph is a tensor, an array or a list)


_LISTS = (list, tuple, np.ndarray)


def apply_edge_mask(
    data: Data, keep: Tensor, edge_weight: Tensor | None = None
) -> Data:
    """Return a graph with only the entries selected by ``keep``.

    The input is not modified. All nodes are kept. ``edge_weight``, ``edge_attr``,
    ``edge_type``, ``e_id`` and every other tensor or list that PyG treats as
    edge-level are sliced with the edges. ``edge_label*``, ``y`` and ``*_mask`` are
    supervision and are never sliced.

    ``e_id`` holds the positions of the kept entries in ``data``. If ``data`` already
    has an ``e_id``, its values are sliced instead. An ``e_id`` that cannot belong to
    the edges is replaced, that is, one of another length or one that gives both
    directions of an edge the same number (``ToUndirected()`` does that).

    The graph of each entry of a :class:`~torch_geometric.data.Batch` is read from
    ``batch`` or ``ptr``, and everything added after collation is kept. If the entries
    are not sorted by graph (for example after ``AddSelfLoops()``), the kept entries
    are sorted by graph, in their old order within each graph. ``to_data_list()`` of
    the result returns every graph with its node-level and edge-level tensors. A new
    ``e_id`` counts positions in the whole batch; in the graphs of ``to_data_list()``
    it counts within the graph if the entries were sorted by graph, and within the
    batch otherwise. A batch whose nodes are not sorted by graph can be cut, but the
    result cannot be separated into graphs.

    Args:
        data: Graph with an ``edge_index``.
        keep: True for the entries to keep.
        edge_weight: New weight of every entry before the removal.

    Shapes:
        - **keep**, **edge_weight:** :math:`(E,)`

    Raises:
        TypeError: If the graph is stored as ``adj_t``, with or without ``edge_index``,
            or is not a :class:`~torch_geometric.data.Data`.
        ValueError: If ``keep`` or an edge attribute does not fit the edges, or an edge
            joins two graphs of a batch.
    """
    if not isinstance(data, Data):
        got = type(data).__name__
        raise TypeError(f"'data' must be a Data or a Batch (got {got})")
    graphs = None
    require_edge_index(data._store)
    if isinstance(data, Batch):
        graphs = edge_graphs(data, data._store)
    out = copy.copy(data)
    cut_store(out._store, keep, edge_weight, graphs)
    set_num_nodes(out, data.num_nodes)
    if graphs is not None:
        rebuild_slices(data, out, {None: graphs})
    return out


def cut_store(
    store: BaseStorage,
    keep: Tensor,
    edge_weight: Tensor | None = None,
    graphs: EdgeGraphs | None = None,
) -> None:
    """Slice the edge-level values of a store in place.

    The caller copies the store first.

    Args:
        store: Store with an ``edge_index``.
        keep: True for the entries to keep.
        edge_weight: New weight of every entry before the removal.
        graphs: Graph of every entry if the store belongs to a batch.

    Shapes:
        - **keep**, **edge_weight:** :math:`(E,)`
    """
    edge_index = require_edge_index(store)
    require_single_form(store)
    if keep.dtype != torch.bool or keep.shape != edge_index.shape[1:]:
        raise ValueError(
            f"'keep' must be a bool tensor of shape [{edge_index.size(1)}] "
            f"(got {keep.dtype}, {list(keep.shape)})"
        )
    kept = keep.nonzero().view(-1)
    if graphs is not None:
        kept = graphs.in_order(kept)
        _cut_collated(store, kept, graphs)
    edge_keys = edge_level_keys(store)
    for key in edge_keys:
        dim = store._parent().__cat_dim__(key, store[key], store)
        store[key] = _slice(store[key], kept, dim)
    if edge_weight is not None:
        store.edge_weight = edge_weight[kept]
    if "e_id" not in edge_keys:
        store.e_id = kept


def _cut_collated(store: BaseStorage, kept: Tensor, graphs: EdgeGraphs) -> None:
    """Slice lists that hold one edge-level list per graph, and ``*_ptr`` vectors."""
    edge_keys = set(edge_level_keys(store))
    sizes, left = graphs.size.tolist(), graphs.graph[kept]
    places = graphs.local()[kept].split(graphs.tally(left).tolist())
    for key, value in list(store.items()):
        followed = key.removesuffix("_ptr")
        if followed != key and followed in edge_keys:
            store[key] = torch.cat([left.new_zeros(1), graphs.tally(left).cumsum(0)])
        elif is_excluded(key) or not isinstance(value, list):
            continue
        elif len(value) == graphs.num_graphs and key not in edge_keys:
            parts = zip(value, sizes, strict=True)
            if all(isinstance(v, _LISTS) and len(v) == n for v, n in parts):
                both = zip(value, places, strict=True)
                store[key] = [_slice(part, place, 0) for part, place in both]


def _slice(value: Any, kept: Tensor, dim: int) -> Any:
    if isinstance(value, EdgeIndex):
        return _slice_edge_index(value, kept)
    if isinstance(value, Tensor):
        return value.index_select(dim, kept.to(value.device))
    if isinstance(value, np.ndarray):
        return value.take(kept.cpu().numpy(), axis=dim)
    return type(value)(value[i] for i in kept.tolist())


def _slice_edge_index(value: EdgeIndex, kept: Tensor) -> EdgeIndex:
    left = plain(value)[:, kept]
    size = value.sparse_size()
    both = bool(value.is_undirected) and is_undirected(left, num_nodes=size[0])
    ascending = bool((kept[1:] > kept[:-1]).all())
    out = EdgeIndex(
        left,
        sparse_size=size,
        sort_order=value.sort_order if ascending else None,
        is_undirected=both,
    )
    # The sizes of the single graphs, needed when the batch is separated.
    if value._cat_metadata is not None:
        flags = [flag and both for flag in value._cat_metadata.is_undirected]
        out._cat_metadata = value._cat_metadata._replace(is_undirected=flags)
    return out
