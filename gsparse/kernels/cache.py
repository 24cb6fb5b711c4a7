"""Cache the Graph of an edge_index while that tensor lives unchanged."""

from torch import Tensor

from gsparse.kernels.graph import Graph, SelfLoops
from gsparse.kernels.tensor_cache import TensorCache

#: Maximum number of cached graphs; the least recently used one is dropped first.
MAX_GRAPHS = 16

_GRAPHS: TensorCache[Graph] = TensorCache(MAX_GRAPHS)


def graph_of(
    edge_index: Tensor, num_nodes: int, self_loops: SelfLoops = "keep"
) -> Graph:
    """Return the :class:`Graph` of an ``edge_index``, which is built once and cached.

    :class:`~gsparse.kernels.tensor_cache.TensorCache` says how long it is kept. Nothing
    is stored on tensors or modules, so copies and checkpoints stay small.

    Args:
        edge_index: Sources and targets, int64 ``[2, E]``.
        num_nodes: Number of nodes.
        self_loops: See :meth:`Graph.from_edge_index`.

    Returns:
        The graph.
    """
    return _GRAPHS.get(
        (edge_index,),
        (num_nodes, self_loops),
        lambda: Graph.from_edge_index(edge_index, num_nodes, self_loops),
    )


def clear_graphs() -> None:
    """Remove all graphs from the cache."""
    _GRAPHS.clear()
