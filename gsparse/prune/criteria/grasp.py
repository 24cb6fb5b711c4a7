"""GraSP: what lets the gradient flow, before any training."""

from collections.abc import Iterable

from torch.nn import Module

from gsparse.prune.criteria.gradient_flow import Loss
from gsparse.prune.criteria.gradient_norm import GradientNorm
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector


class GraSP(GradientNorm):
    r"""Removes the weights without which the gradient is largest, from the `"Picking
    Winning Tickets Before Training by Preserving Gradient Flow"
    <https://arxiv.org/abs/2002.07376>`_ paper.

    It is :class:`~gsparse.prune.GradientNorm`, which has the mathematics,
    with logits divided by 200 and asked once, on the untrained model. Classes should
    weigh the same in the loss: ``cross_entropy(..., weight=1 / counts)`` where the
    labels are not balanced; the paper draws a balanced sample. One cut can empty a
    layer at high sparsity; see :class:`~gsparse.prune.SynFlow`.

    Args:
        model: As for :class:`~gsparse.prune.GradientNorm`.
        sparsity: As for :class:`~gsparse.prune.GradientNorm`.
        loss: As for :class:`~gsparse.prune.GradientNorm`.
        temperature: As for :class:`~gsparse.prune.GradientNorm`.
        schedule: As for :class:`~gsparse.prune.GradientNorm`.
        scope: As for :class:`~gsparse.prune.GradientNorm`.
        exclude: As for :class:`~gsparse.prune.GradientNorm`.
        targets: As for :class:`~gsparse.prune.GradientNorm`.
        structure: As for :class:`~gsparse.prune.GradientNorm`.
        protect: As for :class:`~gsparse.prune.GradientNorm`.

    Raises:
        ValueError: As for :class:`~gsparse.prune.GradientNorm`.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from torch.nn.functional import cross_entropy
        >>> from gsparse.data import random_graph
        >>> from gsparse.prune import GraSP
        >>> data = random_graph(num_nodes=20, p=0.2, seed=7)
        >>> model = GCN(data.num_features, 16, num_layers=2, out_channels=4)
        >>> weight = 1 / data.y.bincount(minlength=4).clamp(min=1)
        >>> def loss():
        ...     return cross_entropy(model(data.x, data.edge_index), data.y, weight)
        >>> GraSP(model, sparsity=0.75, loss=loss).report().num_kept
        32
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        loss: Loss,
        temperature: float = 200.0,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        structure: Structure | None = None,
        protect: Protect | None = None,
    ) -> None:
        super().__init__(
            model,
            sparsity,
            loss,
            temperature,
            schedule,
            scope,
            exclude,
            targets,
            structure,
            protect,
        )
