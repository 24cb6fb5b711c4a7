"""Aggregation over weighted edges; weight 0 equals a removed edge."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.aggr import MaxAggregation

from gsparse.kernels import Graph, graph_of
from gsparse.kernels.graph import SelfLoops
from gsparse.kernels.normalise_op import normalised_values
from gsparse.kernels.spmm_op import spmm_values
from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.placement import Placement, placement
from gsparse.nn.weighted_aggregation import aggregate_messages

AGGREGATIONS = ("sum", "add", "mean", "max")


def aggregate_weighted(
    x: Tensor, edge_index: Tensor, weight: Tensor, num_targets: int, aggr: str
) -> Tensor:
    r"""Aggregate the rows of the neighbours with the weights of the edges.

    - ``"sum"``: :math:`\sum_j w_{ij} x_j`
    - ``"mean"``: the same divided by :math:`\sum_j w_{ij}`
    - ``"max"``: :math:`\max_j (x_j + \log w_{ij})`, which is meant for weights near 0
      and 1

    A node gets 0 if all its edges have weight 0 or it has no edges. Sum and mean store
    no tensor of edges times channels.

    Args:
        x: Features of the sources.
        edge_index: Sources and targets.
        weight: Non-negative weight per edge; may need a gradient.
        num_targets: Number of rows of the output.
        aggr: One of ``AGGREGATIONS``.

    Shapes:
        - **x:** :math:`(N, C)`
        - **edge_index:** :math:`(2, E)`; **weight:** :math:`(E,)`
        - **output:** :math:`(M, C)`

    Example:
        >>> import torch
        >>> from gsparse.nn.weighted_sum import aggregate_weighted
        >>> x, weight = torch.tensor([[2.0], [4.0], [6.0]]), torch.tensor([1.0, 3.0])
        >>> ends = torch.tensor([[0, 1], [2, 2]])
        >>> aggregate_weighted(x, ends, weight, 3, "mean").flatten()
        tensor([0.0000, 0.0000, 3.5000])
    """
    if aggr not in AGGREGATIONS:
        known = ", ".join(AGGREGATIONS)
        raise ValueError(f"'aggr' must be one of {known} (got {aggr!r})")
    weight = weight.to(x.dtype)
    if aggr == "max":
        source, target = edge_index.long()
        return aggregate_messages(
            MaxAggregation(), x[source], target, weight, num_targets
        )
    total = _sum(x, edge_index, weight, num_targets)
    if aggr != "mean":
        return total
    count = weight.new_zeros(num_targets).index_add(0, edge_index[1], weight)
    return total / torch.where(count == 0, 1, count).unsqueeze(-1)


def aggregate_normalised(
    x: Tensor, edge_index: Tensor, weight: Tensor, loop_weight: float | None
) -> Tensor:
    r"""Compute GCN's aggregation :math:`D^{-1/2} (A + c I) D^{-1/2} x` with edge
    weights.

    :math:`D` holds the weighted in-degrees, self-loops included. An existing self-loop
    keeps its weight instead of :math:`c`. Only the weights have one entry per edge.
    Within :func:`sharing_normalised`, layers that are called with the same graph and
    weights share the normalised weights.

    Args:
        x: Features of the nodes.
        edge_index: Sources and targets.
        weight: Non-negative weight per edge; may need a gradient.
        loop_weight: :math:`c`; None adds no self-loops.

    Shapes:
        - **x**, **output:** :math:`(N, C)`
        - **edge_index:** :math:`(2, E)`
        - **weight:** :math:`(E,)`
    """
    n, shared = x.size(0), _SHARED.found
    # The tensors are stored too, so that their ids are not reused.
    of = (edge_index, weight)
    key = (*map(id, of), n, x.dtype, loop_weight, torch.is_grad_enabled())
    if shared is None or key not in shared:
        found = of, *_normalised(edge_index, weight.to(x.dtype), n, loop_weight)
        if shared is None:
            return spmm_values(*found[1:], x)
        shared[key] = found
    return spmm_values(*shared[key][1:], x)


_PLACES: TensorCache[Placement] = TensorCache(max_entries=16)


def _places(graph: Graph) -> Placement:
    """Return the slots of each entry; added self-loops have none."""
    place, size = graph.edge_id.long(), graph.num_entries
    return placement(torch.where(place < 0, size, place), size)


class _Shared(threading.local):
    found: dict[tuple, tuple[Any, Graph, Tensor]] | None = None


_SHARED = _Shared()


@contextmanager
def sharing_normalised(*, share: bool = True) -> Iterator[None]:
    """Compute normalised weights once for all layers within this context, or per layer.

    Use it around one call of a model: a second backward pass would use the autograd
    graph of the first, and in-place changes of the weights would go unnoticed.
    """
    before, _SHARED.found = _SHARED.found, {} if share else None
    try:
        yield
    finally:
        _SHARED.found = before


def _normalised(
    edge_index: Tensor, weight: Tensor, num_nodes: int, loop_weight: float | None
) -> tuple[Graph, Tensor]:
    """Return the graph with self-loops, and the normalised weights of its slots."""
    loops: SelfLoops = "keep" if loop_weight is None else "remaining"
    graph = graph_of(edge_index, num_nodes, loops)
    places = _PLACES.get((graph.edge_id,), None, partial(_places, graph))
    return graph, normalised_values(graph, places.put(weight, loop_weight or 0.0))


def _sum(x: Tensor, edge_index: Tensor, weight: Tensor, num_targets: int) -> Tensor:
    if x.size(0) == num_targets:
        graph = graph_of(edge_index, num_targets, "keep")
        return spmm_values(graph, weight.index_select(0, graph.edge_id.long()), x)
    message = weight.unsqueeze(-1) * x[edge_index[0]]
    return x.new_zeros(num_targets, x.size(1)).index_add(0, edge_index[1], message)
