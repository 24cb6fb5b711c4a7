"""Find the graph of a batch to which each node and each edge belongs."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.data.storage import BaseStorage

from gsparse.edges.check import check_edge_index
from gsparse.edges.levels import plain, require_edge_index


class NodeGraphs(NamedTuple):
    """The graph of every node of one type.

    Shapes:
        - **graph:** :math:`(N,)`
        - **local:** :math:`(N,)`, number of the node within its graph
        - **size**, **first:** :math:`(G,)`, nodes in a graph and in all graphs before
        - **order:** :math:`(N,)`, permutation that sorts the nodes by graph, or None
          if they are sorted
    """

    graph: Tensor
    local: Tensor
    size: Tensor
    first: Tensor
    order: Tensor | None


class EdgeGraphs(NamedTuple):
    """The graph of every entry of an ``edge_index``.

    Shapes:
        - **graph:** :math:`(E,)`
        - **size:** :math:`(G,)`, number of entries of each graph
        - **order:** :math:`(E,)`, permutation that sorts the entries by graph, or None
          if they are sorted
    """

    graph: Tensor
    size: Tensor
    order: Tensor | None
    row: NodeGraphs
    col: NodeGraphs

    @property
    def num_graphs(self) -> int:
        """Number of graphs :math:`G`."""
        return self.size.numel()

    @property
    def first(self) -> Tensor:
        """Number of entries in the graphs before each graph, ``[G]``."""
        return self.size.cumsum(0) - self.size

    def tally(self, graph: Tensor) -> Tensor:
        """Count the entries of each graph, ``[G]``."""
        return torch.bincount(graph, minlength=self.num_graphs)

    def in_order(self, entries: Tensor) -> Tensor:
        """Sort some entries by graph and keep their order within each graph."""
        if self.order is None:
            return entries
        return entries[self.graph[entries].argsort(stable=True)]

    def local(self) -> Tensor:
        """Return the position of every entry within its graph, ``[E]``."""
        return _local(self.graph, self.first, self.order)


def num_graphs(data: Batch) -> int:
    """Return the number of graphs, or the largest one stored in a nested batch."""
    found = [getattr(data, "_num_graphs", 0)]
    for store in data.node_stores:
        batch, ptr = store.get("batch"), store.get("ptr")
        if isinstance(ptr, Tensor):
            found.append(ptr.numel() - 1)
        if isinstance(batch, Tensor) and batch.numel():
            found.append(int(batch.max()) + 1)
    return max(found) or 1


def node_graphs(data: Batch, store: BaseStorage) -> NodeGraphs:
    """Read the graph of every node from ``batch`` or ``ptr`` of a node store.

    Raises:
        ValueError: If both are missing, or they do not fit the nodes or each other.
    """
    total, num_nodes = num_graphs(data), store.num_nodes
    batch, ptr = store.get("batch"), store.get("ptr")
    of = "" if store._key is None else f" of {store._key!r}"
    if batch is None:
        if ptr is None:
            raise ValueError(
                f"a Batch must have 'batch' or 'ptr'{of} (got {list(store.keys())}); "
                "make it with Batch.from_data_list()"
            )
        graphs = torch.arange(ptr.numel() - 1, device=ptr.device)
        batch = graphs.repeat_interleave(ptr.diff().clamp(min=0))
    batch = plain(batch).long()
    if batch.shape != (num_nodes,) or (num_nodes and batch.min() < 0):
        raise ValueError(
            f"'batch'{of} must hold the graph of each of {num_nodes} nodes (got shape "
            f"{list(batch.shape)}); extend it with the nodes that were added"
        )
    size = torch.bincount(batch, minlength=total)
    if ptr is not None and not ptr.diff().equal(size):
        raise ValueError(
            f"'ptr'{of} must hold the first node of every graph of 'batch', "
            f"{[0, *size.cumsum(0).tolist()][:9]} (got {ptr.tolist()[:9]}); delete it "
            "if 'batch' is right"
        )
    first, order = size.cumsum(0) - size, _order(batch)
    return NodeGraphs(batch, _local(batch, first, order), size, first, order)


def edge_graphs(data: Batch, store: BaseStorage) -> EdgeGraphs:
    """Return the graph of every entry of a store.

    Raises:
        ValueError: If an edge joins two graphs.
    """
    edge_index = plain(require_edge_index(store))
    check_edge_index(edge_index)
    key = store._key
    ends = [data._store] * 2 if key is None else [data[key[0]], data[key[2]]]
    row, col = (node_graphs(data, end) for end in ends)
    of = "" if key is None else f" of {key}"
    for ids, end in zip(edge_index, (row, col), strict=True):
        if ids.numel() and int(ids.max()) >= end.graph.numel():
            raise ValueError(
                f"'edge_index'{of} must hold ids below {end.graph.numel()} (got "
                f"{int(ids.max())})"
            )
    graph, other = row.graph[edge_index[0]], col.graph[edge_index[1]]
    if not graph.equal(other):
        bad = int((graph != other).nonzero()[0])
        u, v = edge_index[:, bad].tolist()
        raise ValueError(
            f"no edge{of} may join two graphs of a Batch (got ({u}, {v}) at {bad}, "
            f"from graph {int(graph[bad])} to graph {int(other[bad])}); convert the "
            "batch to one graph with Data.from_dict(batch.to_dict())"
        )
    size = torch.bincount(graph, minlength=row.size.numel())
    return EdgeGraphs(graph, size, _order(graph), row, col)


def _order(graph: Tensor) -> Tensor | None:
    if (graph[1:] >= graph[:-1]).all():
        return None
    return graph.argsort(stable=True)


def _local(graph: Tensor, first: Tensor, order: Tensor | None) -> Tensor:
    place = torch.arange(graph.numel(), device=graph.device)
    if order is None:
        return place - first[graph]
    return torch.empty_like(graph).scatter_(0, order, place - first[graph[order]])
