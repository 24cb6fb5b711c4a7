"""The single graphs of a batch, cut out of its stored tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.data.storage import BaseStorage

from gsparse.edges.batches import EdgeGraphs, NodeGraphs, edge_graphs, node_graphs
from gsparse.edges.levels import (
    collation_slices,
    edge_level_keys,
    plain,
    value_length,
)


class SplitBatch:
    """Every graph of a batch with its own node numbers, to compute something from each.

    Reads the tensors as they are stored now, by ``batch`` or ``ptr``, so that what was
    added after collation is there. Each graph has the node-level and edge-level
    tensors, and others where the batch still knows which part is whose.

    Args:
        data: A batch of :class:`~torch_geometric.data.Data` or
            :class:`~torch_geometric.data.HeteroData`.
    """

    def __init__(self, data: Batch) -> None:
        self._edges = {s._key: edge_graphs(data, s) for s in data.edge_stores}
        nodes = {s._key: node_graphs(data, s) for s in data.node_stores}
        num_graphs = max((len(found.size) for found in nodes.values()), default=0)
        self.graphs: list[Any] = [_like(data) for _ in range(num_graphs)]
        for store in data.stores:
            key = store._key
            if key in nodes or key in self._edges:
                parts = _parts(store, nodes.get(key), self._edges.get(key))
                self._fill(key, parts)

    def split(self, values: Tensor, key: Any = None) -> Sequence[Tensor]:  # noqa: ANN401
        """Return the values of each graph, from one for every entry, ``[E, ...]``."""
        graphs = self._edges[key]
        return _split(values, 0, graphs.order, graphs.size.tolist())

    def join(self, parts: Sequence[Tensor], key: Any = None) -> Tensor:  # noqa: ANN401
        """Return one value for every entry, ``[E]``, from those of each graph."""
        order, values = self._edges[key].order, torch.cat(list(parts))
        if order is None:
            return values
        return torch.empty_like(values).scatter_(0, order, values)

    def _fill(self, key: Any, parts: dict[str, Sequence[Any]]) -> None:  # noqa: ANN401
        for i, graph in enumerate(self.graphs):
            store = graph._store if key is None else graph[key]
            for name, part in parts.items():
                if len(part) == len(self.graphs):  # else of a batch of batches
                    store[name] = part[i]


def _like(data: Batch) -> Data | HeteroData:
    return HeteroData() if isinstance(data, HeteroData) else Data()


def _parts(
    store: BaseStorage, nodes: NodeGraphs | None, edges: EdgeGraphs | None
) -> dict[str, Sequence[Any]]:
    """The part of each graph of every attribute that can be split."""
    found: dict[str, Sequence[Any]] = {}
    edge_keys = [] if edges is None else edge_level_keys(store)
    slices = collation_slices(store)
    for key, value in store.items():
        dim = store._parent().__cat_dim__(key, value, store)
        length = value_length(store, key)
        if key in ("batch", "ptr") or not isinstance(value, Tensor) or length is None:
            continue
        if edges is not None and key in edge_keys:
            if key == "edge_index":
                row, col = plain(value)
                value = torch.stack([edges.row.local[row], edges.col.local[col]])
            found[key] = _split(value, dim, edges.order, edges.size.tolist())
        elif nodes is not None and length == nodes.graph.numel():
            found[key] = _split(value, dim, nodes.order, nodes.size.tolist())
        elif key in slices and int(slices[key][-1]) == length:
            found[key] = _split(value, dim, None, slices[key].diff().tolist())
    if nodes is not None:
        found["num_nodes"] = nodes.size.tolist()
    return found


def _split(
    value: Tensor, dim: int, order: Tensor | None, sizes: list[int]
) -> Sequence[Tensor]:
    if value.layout == torch.sparse_csr:
        return _split_rows(value, order, sizes)
    if order is not None:
        value = value.index_select(dim, order.to(value.device))
    return value.split(sizes, dim)


def _split_rows(value: Tensor, order: Tensor | None, sizes: list[int]) -> list[Tensor]:
    """Blocks of rows of a ``torch.sparse_csr`` matrix."""
    if order is not None:
        value = value.to_sparse_coo().index_select(0, order).to_sparse_csr()
    crow, col, values = value.crow_indices(), value.col_indices(), value.values()
    found, start = [], 0
    for size in sizes:
        a, b = int(crow[start]), int(crow[start + size])
        block = crow[start : start + size + 1] - a
        shape = (size, value.size(1))
        found.append(
            torch.sparse_csr_tensor(
                block, col[a:b], values[a:b], shape, check_invariants=False
            )
        )
        start += size
    return found
