"""Separate a batch into its graphs by the tensors that it stores now."""

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
    """The graphs of a batch, each with its own node numbers.

    In contrast to ``to_data_list()``, tensors added after collation are included: the
    stored tensors are separated by ``batch`` or ``ptr``. Each graph has all node-level
    and edge-level tensors, and other tensors if the batch has slices for them.

    Args:
        data: Batch of :class:`~torch_geometric.data.Data` or
            :class:`~torch_geometric.data.HeteroData`.
    """

    def __init__(self, data: Batch) -> None:
        self._edges = {s._key: edge_graphs(data, s) for s in data.edge_stores}
        nodes = {s._key: node_graphs(data, s) for s in data.node_stores}
        num_graphs = max((len(found.size) for found in nodes.values()), default=0)
        kind = HeteroData if isinstance(data, HeteroData) else Data
        self.graphs: list[Any] = [kind() for _ in range(num_graphs)]
        for store in data.stores:
            key = store._key
            if key in nodes or key in self._edges:
                parts = _parts(store, nodes.get(key), self._edges.get(key))
                self._fill(key, parts)

    def split(self, values: Tensor, key: Any = None) -> Sequence[Tensor]:  # noqa: ANN401
        """Split one value per entry, ``[E, ...]``, into the values of each graph."""
        graphs = self._edges[key]
        return _split(values, 0, graphs.order, graphs.size.tolist())

    def join(self, parts: Sequence[Tensor], key: Any = None) -> Tensor:  # noqa: ANN401
        """Join the values of each graph into one value per entry, ``[E]``."""
        order, values = self._edges[key].order, torch.cat(list(parts))
        if order is None:
            return values
        return torch.empty_like(values).scatter_(0, order, values)

    def _fill(self, key: Any, parts: dict[str, Sequence[Any]]) -> None:  # noqa: ANN401
        for i, graph in enumerate(self.graphs):
            store = graph._store if key is None else graph[key]
            for name, part in parts.items():
                if len(part) == len(self.graphs):  # differs in a nested batch
                    store[name] = part[i]


def _parts(
    store: BaseStorage, nodes: NodeGraphs | None, edges: EdgeGraphs | None
) -> dict[str, Sequence[Any]]:
    """Split every attribute that can be split into one part per graph."""
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
    """Split the rows of a ``torch.sparse_csr`` matrix."""
    if order is not None:
        value = value.to_sparse_coo().index_select(0, order).to_sparse_csr()
    lengths = value.crow_indices().diff().split(sizes)
    counts = [int(length.sum()) for length in lengths]
    parts = zip(
        [torch.cat([n.new_zeros(1), n.cumsum(0, dtype=n.dtype)]) for n in lengths],
        value.col_indices().split(counts),
        value.values().split(counts),
        [(size, value.size(1)) for size in sizes],
        strict=True,
    )
    return [torch.sparse_csr_tensor(*part, check_invariants=False) for part in parts]
