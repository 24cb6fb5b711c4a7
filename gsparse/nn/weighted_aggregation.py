"""PyG's aggregation modules over weighted messages; weight 0 equals a removed edge."""

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.nn.aggr import (
    MaxAggregation,
    MeanAggregation,
    MinAggregation,
    MultiAggregation,
    SumAggregation,
)

_NAMES: dict[type[Module], str] = {
    SumAggregation: "sum",
    MeanAggregation: "mean",
    MaxAggregation: "max",
    MinAggregation: "min",
}


def aggregation_name(module: Module | None) -> str | None:
    """Return the name of an aggregation that takes weights, None for any other."""
    return _NAMES.get(type(module))  # type: ignore[arg-type]


def takes_weights(module: Module | None) -> bool:
    """Return whether an aggregation, or every one of several, takes weights."""
    if isinstance(module, MultiAggregation):
        return all(takes_weights(part) for part in module.aggrs.children())
    return aggregation_name(module) is not None


def aggregate_messages(
    module: Module,
    message: Tensor,
    index: Tensor,
    weight: Tensor,
    num_targets: int,
    dim: int = -2,
    carried: bool = False,
) -> Tensor:
    r"""Aggregate messages :math:`m_e` with weights :math:`w_e`.

    - sum: :math:`\sum_e w_e m_e`
    - mean: the same divided by :math:`\sum_e w_e`
    - max, min: :math:`\max_e (m_e + \log w_e)`, :math:`\min_e (m_e - \log w_e)`

    Each is continuous in the weights; weights of 0 equal removed messages and weights
    of 1 equal the module. A target whose messages all have weight 0 gets 0, as one
    without messages does. Several aggregations are combined by the module's own mode.

    Args:
        module: An aggregation for which :func:`takes_weights` holds.
        message: One message per edge.
        index: Target of each message.
        weight: Non-negative weight of each message; may need a gradient.
        num_targets: Number of targets :math:`N`.
        dim: Dimension of the messages that counts the edges.
        carried: Whether the weights are factors of the messages already, as in GCN and
            attention, so that sum and mean do not multiply by them again.

    Shapes:
        - **message:** :math:`(*, E, *)`; **index**, **weight:** :math:`(E,)`
        - **output:** :math:`(*, N, *)`

    Example:
        >>> import torch
        >>> from torch_geometric.nn.aggr import MinAggregation
        >>> from gsparse.nn.weighted_aggregation import aggregate_messages
        >>> message = torch.tensor([[2.0], [4.0], [6.0]])
        >>> weight, index = torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0, 0, 1])
        >>> aggregate_messages(MinAggregation(), message, index, weight, 3).flatten()
        tensor([4., 6., 0.])
    """
    if isinstance(module, MultiAggregation):
        found = [
            aggregate_messages(m, message, index, weight, num_targets, dim, carried)
            for m in module.aggrs.children()
        ]
        return module.combine(found)
    shape = [1] * message.dim()
    shape[dim] = -1
    factor = weight.to(message.dtype).view(shape)
    place = index.view(shape).expand_as(message)
    size = list(message.shape)
    size[dim] = num_targets
    zeros = message.new_zeros(size)
    name = aggregation_name(module)
    if name in ("max", "min"):
        sign = 1 if name == "max" else -1
        level = torch.where(factor > 0, factor, 1).log()
        high = (sign * message + level).masked_fill(factor == 0, -torch.inf)
        out = zeros.scatter_reduce(dim, place, high, "amax", include_self=False)
        best = (sign * out).masked_fill(out == -torch.inf, 0.0)
        return best if sign > 0 else best + 0.0  # no -0.0 where nothing arrives
    if carried:  # no value where the edge is absent, but the derivative stays
        message = torch.where(factor == 0, message - message.detach(), message)
    else:
        message = message * factor
    total = zeros.scatter_add(dim, place, message)
    if name == "sum":
        return total
    count = weight.new_zeros(num_targets).index_add(0, index, weight)
    count = torch.where(count == 0, 1, count).to(total.dtype)
    return total / count.view(shape)
