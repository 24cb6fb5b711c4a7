"""Neighbours of every node in compressed rows, from a graph in memory or on disk."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Batch, Data

from gsparse.data.folders.graph_folder import GraphFolder
from gsparse.data.folders.neighbor_folder import NeighborFolder, open_neighbors
from gsparse.edges.check import check_edge_index, check_edge_weight
from gsparse.edges.hashing import mix
from gsparse.edges.levels import plain, require_edge_index

Graph: TypeAlias = Data | GraphFolder | NeighborFolder


class NeighborLists(Protocol):
    """Edges that point to each node: to node ``v`` those at the positions ``indptr[v]``
    to ``indptr[v + 1]``, which begin at ``indices``.

    Shapes:
        - **indptr:** :math:`(N + 1,)`
        - **indices**, **weight**, **e_id:** :math:`(E,)`
    """

    @property
    def num_nodes(self) -> int: ...
    @property
    def indptr(self) -> NDArray[np.int64]: ...
    @property
    def indices(self) -> NDArray[Any]: ...
    @property
    def weight(self) -> NDArray[Any] | None: ...
    @property
    def e_id(self) -> NDArray[np.int64] | None: ...


class _ListsInMemory(NamedTuple):
    num_nodes: int
    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    weight: NDArray[Any] | None
    e_id: NDArray[np.int64] | None


def neighbor_lists(graph: Graph) -> NeighborLists:
    """Return the edges that point to each node of a graph.

    A :class:`~gsparse.data.GraphFolder` is opened by
    :func:`~gsparse.data.open_neighbors`, which writes the lists beside it if they are
    not there. The edges of a ``Data`` are sorted once, by target and source; ``e_id``
    are their positions in ``edge_index``.

    Raises:
        TypeError: If it is another kind of graph, or a batch of graphs.
        ValueError: If the edges or their weights are broken or not on the CPU.
    """
    if isinstance(graph, GraphFolder):
        return open_neighbors(graph)
    if isinstance(graph, NeighborFolder):
        return graph
    if not isinstance(graph, Data) or isinstance(graph, Batch):
        raise TypeError(
            "'graph' must be a Data, a GraphFolder or a NeighborFolder (got "
            f"{type(graph).__name__})"
        )
    edge_index = plain(require_edge_index(graph._store))
    if edge_index.device.type != "cpu":
        raise ValueError(
            f"'graph' must be on the CPU (got {edge_index.device}); sample from "
            "graph.cpu() and move each batch"
        )
    num_nodes = check_edge_index(edge_index, graph.num_nodes)
    source, target = edge_index.long().numpy()
    order = np.lexsort((source, target))
    weight = graph.get("edge_weight")
    if isinstance(weight, Tensor):
        check_edge_weight(weight, order.size)
        weight = weight.detach().cpu().numpy()[order]
    indptr = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(target, minlength=num_nodes), out=indptr[1:])
    return _ListsInMemory(num_nodes, indptr, source[order], weight, order)


def all_entries(
    lists: NeighborLists, nodes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of all edges to some nodes, and their numbers.

    Shapes:
        - **nodes:** :math:`(n,)`
        - **output:** :math:`(e,)`, grouped by node, and :math:`(n,)`
    """
    start = lists.indptr[nodes]
    count = lists.indptr[nodes + 1] - start
    return _ranges(start, count), count


def draw_entries(
    lists: NeighborLists, nodes: NDArray[np.int64], k: int, key: Tensor
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    r"""Draw ``k`` of the edges to each node without replacement.

    Nodes with at most ``k`` edges keep all. Of others every set of :math:`k` of the
    :math:`d` edges is equally likely, by R. W. Floyd's algorithm (Bentley and Floyd,
    "Programming pearls: a sample of brilliance", 1987) with a hash of the key, the node
    and the step as random number. The cost does not depend on :math:`d`.

    Args:
        lists: The graph.
        nodes: Nodes that edges are drawn for.
        k: Number of edges per node, or -1 for all.
        key: Random key.

    Shapes:
        - **nodes:** :math:`(n,)`, **key:** :math:`(1,)`
        - **output:** :math:`(e,)`, grouped by node and ascending, and :math:`(n,)`
    """
    if k < 0:
        return all_entries(lists, nodes)
    start = lists.indptr[nodes]
    degree = lists.indptr[nodes + 1] - start
    count = np.minimum(degree, k)
    entries = _ranges(start, count)
    many = np.flatnonzero(degree > k)
    if k and many.size:
        keys = mix(key + torch.from_numpy(nodes[many]))
        chosen = _floyd(degree[many], k, keys) + start[many, None]
        first = (np.cumsum(count) - count)[many]
        entries[first[:, None] + np.arange(k)] = chosen
    return entries, count


def random_key(*numbers: int) -> Tensor:
    """Hash some numbers to a random key.

    Shapes:
        - **output:** :math:`(1,)`, int64
    """
    key = torch.zeros(1, dtype=torch.int64)
    for number in numbers:
        signed = (number + 2**63) % 2**64 - 2**63
        key = mix(key + torch.tensor([signed]))
    return key


def _floyd(degree: NDArray[np.int64], k: int, keys: Tensor) -> NDArray[np.int64]:
    """Draw ``k`` of the numbers below each degree, in ascending order.

    Shapes:
        - **degree**, **keys:** :math:`(n,)`
        - **output:** :math:`(n, k)`
    """
    chosen = np.empty((degree.size, k), np.int64)
    for i in range(k):
        last = degree - k + i
        bits = mix(keys + i).numpy().view(np.uint64) >> np.uint64(11)
        drawn = (bits.astype(np.float64) * 2.0**-53 * (last + 1)).astype(np.int64)
        taken = (chosen[:, :i] == drawn[:, None]).any(axis=1)
        chosen[:, i] = np.where(taken, last, drawn)
    chosen.sort(axis=1)
    return chosen


def _ranges(start: NDArray[np.int64], count: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``start[i]``, ``start[i] + 1``, ... of each range, one after another."""
    shift = start - (np.cumsum(count) - count)
    return np.repeat(shift, count) + np.arange(int(count.sum()))


def places_of(nodes: NDArray[np.int64], ends: NDArray[Any]) -> NDArray[np.int64]:
    """Return the place of each end among some different nodes, or -1.

    Shapes:
        - **nodes:** :math:`(n,)`, **ends**, **output:** :math:`(e,)`
    """
    if not nodes.size:
        return np.full(ends.shape, -1)
    order = np.argsort(nodes, kind="stable")
    place = order[np.searchsorted(nodes, ends, sorter=order).clip(max=nodes.size - 1)]
    return np.where(nodes[place] == ends, place, -1)


def check_nodes(
    nodes: Tensor | Sequence[int] | None, num_nodes: int, name: str
) -> NDArray[np.int64]:
    """Return the ids of some nodes, given as ids, as a boolean mask or as None for all.

    Raises:
        ValueError: If there are none, an id is out of range or occurs twice, or a mask
            has another length.
        TypeError: If they are not integers or booleans.
    """
    if nodes is None:
        return np.arange(num_nodes)
    found = torch.as_tensor(nodes).cpu()
    if found.dim() != 1:
        raise ValueError(f"{name!r} must be a vector (got shape {list(found.shape)})")
    if found.dtype == torch.bool:
        if found.numel() != num_nodes:
            raise ValueError(
                f"{name!r} must be a mask of {num_nodes} nodes (got {found.numel()})"
            )
        found = found.nonzero().view(-1)
    if found.numel() == 0:
        raise ValueError(f"{name!r} must hold a node (got none)")
    if found.is_floating_point() or found.is_complex():
        raise TypeError(f"{name!r} must hold integers or booleans (got {found.dtype})")
    ids = found.long().numpy()
    if ids.min() < 0 or ids.max() >= num_nodes:
        bad = ids[(ids < 0) | (ids >= num_nodes)][0]
        raise ValueError(f"{name!r} must hold ids below {num_nodes} (got {bad})")
    again, times = np.unique(ids, return_counts=True)
    if times.max() > 1:
        twice = again[times.argmax()]
        raise ValueError(f"{name!r} must hold every node once (got {twice} again)")
    return ids
