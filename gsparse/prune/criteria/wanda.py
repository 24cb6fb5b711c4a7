"""Wanda: a weight counts with the input that it multiplies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.criteria.propagated import propagated_norms
from gsparse.prune.criteria.syn_flow import check_example
from gsparse.prune.masks import WeightMasks
from gsparse.prune.select import Scope, layer_budgets


def wanda_importances(
    parameters: Mapping[str, Tensor], norms: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""Return the product :math:`|W_{ij}| \, \|X_j\|_2` for every weight.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.wanda import wanda_importances
        >>> weight, norm = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 0.0]])
        >>> wanda_importances({"w": weight}, {"w": norm})
        {'w': tensor([[3., 0.]])}
    """
    return {name: weight.abs() * norms[name] for name, weight in parameters.items()}


def keep_by_row(importance: Tensor, k: int) -> Tensor:
    r"""Keep ``k`` weights of a matrix, the same number in every row or one more.

    The rows that keep one more are those in which it is most important.

    Args:
        importance: Importance of every weight.
        k: Number of weights to keep.

    Returns:
        True for the weights that stay.

    Shapes:
        - **importance**, **output:** :math:`(F_{out}, F_{in})`

    Raises:
        ValueError: If an importance is NaN.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.wanda import keep_by_row
        >>> keep_by_row(torch.tensor([[9.0, 8.0, 7.0], [3.0, 1.0, 2.0]]), k=3)
        tensor([[ True,  True, False],
                [ True, False, False]])
    """
    if importance.isnan().any():
        raise ValueError(
            f"'importance' must not be NaN (got {int(importance.isnan().sum())})"
        )
    order = importance.argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).flatten()  # within the row, best first
    best = importance.flatten().argsort(descending=True, stable=True)
    best = best[rank[best].argsort(stable=True)]
    keep = torch.zeros_like(rank, dtype=torch.bool)
    keep[best[:k]] = True
    return keep.view_as(importance)


@dataclass(frozen=True, eq=False)
class Wanda(Criterion):
    r"""Rates weights by :math:`|W_{ij}| \, \|(\hat{A} X)_j\|_2` and removes the same
    share of every row, from the `"A Simple and Effective Pruning Approach for Large
    Language Models" <https://arxiv.org/abs/2306.11695>`_ paper.

    Each output is a sum of inputs times weights, so a small weight of a large input
    can matter more than a large weight of a small one. The inputs of a graph layer are
    the propagated ones: see
    :func:`~gsparse.prune.criteria.propagated.propagated_norms`. The weights of a
    feature that is 0 at every node are removed first.

    A group is rated by the mean over its weights. If all rows lose the same share, no
    unit can be removed entirely: at very high sparsity try ``by_row=False`` as well.

    **When to use it.** On a trained model without labels and without time for more
    training, if its inputs differ much in scale.

    **When not to use it.** If the model is trained further:
    :class:`~gsparse.prune.Magnitude` is simpler. Nor to remove whole units.

    **Cost.** One forward pass per cut. Memory is one number per input and per weight.

    As in the paper, the same share of every row is removed, weights are compared within
    the row, and none is updated; rows differ by at most one weight.

    Args:
        example: Arguments of the model.
        by_row: Whether weights are compared within their row. The ``scope`` of the
            pruner then only decides how much each layer keeps, where ``"global"`` is
            taken as ``"local"``.

    Raises:
        TypeError: If ``example`` is not a tuple.
        ValueError: When weights are rated, if a target is not the weight of a
            ``Linear`` that the model calls, or an input is not finite.

    Example:
        The first feature is 0 at every node, so its two weights are removed.

        >>> import torch
        >>> from torch_geometric.nn import GCNConv
        >>> from gsparse.prune import Pruner, Wanda
        >>> conv = GCNConv(4, 2)
        >>> x, edge_index = torch.ones(3, 4), torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> x[:, 0] = 0
        >>> pruner = Pruner(conv, Wanda(example=(x, edge_index)), sparsity=0.25)
        >>> pruner.masks["lin.weight"].sum(dim=0)
        tensor([0, 2, 2, 2])
    """

    needs = ("example",)

    example: tuple[Any, ...] = field(repr=False)
    by_row: bool = True

    def __post_init__(self) -> None:
        check_example(self.example)

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        norms = propagated_norms(masks.model, self.example)
        for name in masks.targets:
            if name not in norms:
                raise ValueError(
                    f"{name!r} must be the weight of a Linear that the model calls "
                    f"with 'example' (got inputs of: {', '.join(norms) or 'none'}); "
                    "leave it out by 'exclude'"
                )
        return wanda_importances(masks.weights(), norms)

    def select(
        self, importances: Mapping[str, Tensor], sparsity: float, scope: Scope
    ) -> dict[str, Tensor]:
        """Keep the best weights of every row, unless ``by_row`` is false."""
        if not self.by_row:
            return super().select(importances, sparsity, scope)
        assert scope != "global"  # as resolved below
        shapes = {name: it.shape for name, it in importances.items()}
        counts = layer_budgets(shapes, sparsity, scope)
        return {name: keep_by_row(it, counts[name]) for name, it in importances.items()}

    def resolve_scope(self, scope: Scope) -> Scope:
        """Return ``"local"`` in place of ``"global"`` where rows are compared."""
        return "local" if self.by_row and scope == "global" else scope
