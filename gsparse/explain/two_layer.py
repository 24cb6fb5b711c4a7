"""Hessians in closed form of networks with a single activation."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gsparse.explain.activation import second_derivative
from gsparse.explain.bayesian import BayesianGCN, BayesianMLP
from gsparse.explain.propagate import normalised_adjacency
from gsparse.kernels.spmm import spmm

Inputs = tuple[Tensor, Tensor | None, Tensor | None]
"""Features, edges and edge weights."""


def group_means(values: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Average the rows of each group; rows of a negative group are excluded.

    Shapes:
        - **values:** :math:`(N, C)`
        - **group:** :math:`(N,)`
        - **output:** :math:`(M, C)`

    Example:
        >>> import torch
        >>> from gsparse.explain.two_layer import group_means
        >>> values = torch.tensor([[1.0], [3.0], [5.0], [9.0]])
        >>> group_means(values, torch.tensor([0, 0, 1, -1]), 2)
        tensor([[2.],
                [5.]])
    """
    inside = group >= 0
    group, values = group[inside], values[inside]
    total = values.new_zeros(num_groups, values.size(1)).index_add(0, group, values)
    return total / group.bincount(minlength=num_groups).to(values).unsqueeze(1)


def bends_once(model: object, layer: int = 0) -> bool:
    """Return whether only one activation follows the input of this layer."""
    networks = BayesianMLP | BayesianGCN
    return isinstance(model, networks) and layer == len(model.layers) - 2


@torch.no_grad()
def curvature(
    model: BayesianMLP | BayesianGCN,
    inputs: Inputs,
    group: Tensor,
    num_groups: int,
    readout: Tensor,
    layer: int = 0,
) -> tuple[Tensor, Tensor]:
    r"""Compute the factors of every group's Hessian :math:`H_m = W^\top D_m W`.

    With pre-activations :math:`P = X W^\top + b`, the mean output of a group is
    :math:`\sum_k a_k \, \operatorname{mean}_v \phi(p_{vk} + w_k^\top \delta)`, so
    :math:`D_m = \operatorname{diag}_k(a_k \operatorname{mean}_v \phi''(p_{vk}))`. In a
    GCN, :math:`P = \hat{A} X W^\top + b`, the shift at a node is multiplied by its row
    sum :math:`s = \hat{A} 1`, and the mean is over the rows of
    :math:`\hat{A} (s^2 \odot \phi''(P))`.

    Costs one forward pass for any number of features and groups.

    Args:
        model: Network in evaluation mode, or a draw.
        inputs: Inputs of the model.
        group: Group of each node; nodes of a negative group are excluded.
        num_groups: Number of groups :math:`M`.
        readout: Weights of the output columns in rows, one Hessian per row.
        layer: Number of the layer whose input is shifted: the last but one.

    Returns:
        :math:`W`, and the diagonals of :math:`D_m` for each readout.

    Shapes:
        - **group:** :math:`(N,)`
        - **readout:** :math:`(R, C)`
        - **output:** :math:`(H, F)` and :math:`(M, R, H)`
    """
    x, edge_index, edge_weight = inputs
    first, last = model.linear_of(layer), model.linear_of(layer + 1)
    before = model.before(layer + 1, x, edge_index, edge_weight)
    bend = second_derivative(model.activation, before)
    if model.uses_graph:
        assert edge_index is not None
        a = normalised_adjacency(edge_index, edge_weight, bend.size(0), bend.dtype)
        reach = spmm(a, bend.new_ones(bend.size(0), 1))
        bend = spmm(a, reach.square() * bend)
    means = group_means(bend, group, num_groups).unsqueeze(1)
    return first.drawn_weight.detach(), means * (readout @ last.drawn_weight)


def closed_hessians(
    model: BayesianMLP | BayesianGCN,
    inputs: Inputs,
    group: Tensor,
    num_groups: int,
    readout: Tensor,
    units: Tensor,
    layer: int = 0,
) -> Iterator[Tensor]:
    """Compute the Hessian of each group's mean output by :func:`curvature`.

    Costs :math:`O(M R C^2 H)` for :math:`C` units and :math:`H` hidden units.

    Args:
        model: Network in evaluation mode, or a draw.
        inputs: Inputs of the model.
        group: Group of each node; nodes of a negative group are excluded.
        num_groups: Number of groups :math:`M`.
        readout: Weights of the output columns in rows, one Hessian per row.
        units: Numbers of the units.
        layer: Number of the layer whose input is shifted: the last but one.

    Yields:
        One tensor per group.

    Shapes:
        - **group:** :math:`(N,)`
        - **readout:** :math:`(R, C_{out})`
        - **units:** :math:`(C,)`
        - **output:** :math:`(R, C, C)`
    """
    weight, diagonals = curvature(model, inputs, group, num_groups, readout, layer)
    weight = weight[:, units]
    for diagonal in diagonals:
        yield weight.t() @ (diagonal.unsqueeze(2) * weight)
