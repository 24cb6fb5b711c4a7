"""Aggregation over weighted edges, where a weight of 0 is an absent edge."""

import torch
from torch import Tensor

from gsparse.kernels import graph_of
from gsparse.kernels.spmm_op import spmm_values
from gsparse.kernels.tensor_cache import TensorCache

AGGREGATIONS = ("sum", "add", "mean", "max")


def aggregate_weighted(
    x: Tensor, edge_index: Tensor, weight: Tensor, num_targets: int, aggr: str
) -> Tensor:
    r"""Collect the rows of the neighbours, each with the weight of its edge.

    - ``"sum"``: :math:`\sum_j w_{ij} x_j`
    - ``"mean"``: the same over :math:`\sum_j w_{ij}`
    - ``"max"``: :math:`\max_j (x_j + \log w_{ij})`; only its limits at weights 0 and 1
      have a meaning

    A node all whose edges have weight 0 gets 0, as one without edges does. Sum and mean
    store nothing of the size of edges times channels.

    Args:
        x: Rows of the sources.
        edge_index: Sources and targets.
        weight: Non-negative, one an edge; may need a gradient.
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
        return _largest(x, edge_index, weight, num_targets)
    total = _sum(x, edge_index, weight, num_targets)
    if aggr != "mean":
        return total
    count = weight.new_zeros(num_targets).index_add(0, edge_index[1], weight)
    return total / torch.where(count == 0, 1, count).unsqueeze(-1)


def aggregate_normalised(
    x: Tensor, edge_index: Tensor, weight: Tensor, loop_weight: float | None
) -> Tensor:
    r""":math:`D^{-1/2} (A + c I) D^{-1/2} x` of weighted edges, GCN's aggregation.

    :math:`D` holds the weighted in-degrees, self-loops included. A node that has a
    self-loop keeps its weight in place of :math:`c`. Nothing but the weights has the
    size of the edges.

    Args:
        x: Rows of the nodes.
        edge_index: Sources and targets.
        weight: Non-negative, one an edge; may need a gradient.
        loop_weight: :math:`c`; None for no self-loops but those that are there.

    Shapes:
        - **x**, **output:** :math:`(N, C)`
        - **edge_index:** :math:`(2, E)`; **weight:** :math:`(E,)`
    """
    n = x.size(0)
    graph = graph_of(edge_index, n, "keep")
    weight = weight.to(x.dtype)
    if loop_weight is not None:
        missing, counts = _LOOPS.get((edge_index,), n, lambda: _loops(edge_index, n))
        weight = weight if counts is None else weight * counts
        added = missing.to(x.dtype).unsqueeze(1) * loop_weight
    values = weight.index_select(0, graph.edge_id.long())
    degree = spmm_values(graph, values, x.new_ones(n, 1))
    if loop_weight is not None:
        degree = degree + added
    scale = torch.where(degree > 0, degree, 1).rsqrt() * (degree > 0)
    x = scale * x
    out = spmm_values(graph, values, x)
    return scale * (out if loop_weight is None else out + added * x)


_LOOPS: TensorCache[tuple[Tensor, Tensor | None]] = TensorCache(max_entries=16)


def _loops(edge_index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor | None]:
    """Which nodes have no self-loop; and, where a node has several, which entries
    count: of its loops the last, as in PyG.
    """
    row, col = edge_index.as_subclass(Tensor)
    place = (row == col).nonzero().view(-1)
    last = torch.full((num_nodes,), -1, device=row.device)
    last = last.scatter_reduce(0, row[place], place, "amax")
    several = place[last[row[place]] != place]
    if not several.numel():
        return last < 0, None
    return last < 0, torch.ones_like(row, dtype=torch.bool).index_fill(
        0, several, False
    )


def _sum(x: Tensor, edge_index: Tensor, weight: Tensor, num_targets: int) -> Tensor:
    if x.size(0) == num_targets:
        graph = graph_of(edge_index, num_targets, "keep")
        return spmm_values(graph, weight.index_select(0, graph.edge_id.long()), x)
    message = weight.unsqueeze(-1) * x[edge_index[0]]
    return x.new_zeros(num_targets, x.size(1)).index_add(0, edge_index[1], message)


def _largest(x: Tensor, edge_index: Tensor, weight: Tensor, num_targets: int) -> Tensor:
    here = weight > 0
    level = torch.log(torch.where(here, weight, 1))
    message = x[edge_index[0]] + level.unsqueeze(-1)
    message = message.masked_fill(~here.unsqueeze(-1), -torch.inf)
    place = edge_index[1].unsqueeze(-1).expand_as(message)
    out = x.new_full((num_targets, x.size(1)), -torch.inf)
    out = out.scatter_reduce(0, place, message, "amax", include_self=False)
    return out.masked_fill(out == -torch.inf, 0.0)
