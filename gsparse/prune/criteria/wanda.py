"""Wanda: a weight counts with the input that it multiplies."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import budget
from gsparse.prune.criteria.propagated import propagated_norms
from gsparse.prune.criteria.syn_flow import checked_example
from gsparse.prune.pruner import ScoredPruner
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector


def wanda_scores(
    parameters: Mapping[str, Tensor], norms: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    r"""The product :math:`|W_{ij}| \, \|X_j\|_2` for every weight.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.wanda import wanda_scores
        >>> weight, norm = torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 0.0]])
        >>> wanda_scores({"w": weight}, {"w": norm})
        {'w': tensor([[3., 0.]])}
    """
    return {name: weight.abs() * norms[name] for name, weight in parameters.items()}


def keep_by_row(score: Tensor, k: int) -> Tensor:
    r"""Keep ``k`` weights of a matrix, the same number in every row or one more.

    The rows that keep one more are those where it scores highest.

    Args:
        score: Importance of every weight.
        k: How many stay in all.

    Shapes:
        - **score**, **output:** :math:`(F_{out}, F_{in})`

    Raises:
        ValueError: If a score is NaN.

    Example:
        >>> import torch
        >>> from gsparse.prune.criteria.wanda import keep_by_row
        >>> keep_by_row(torch.tensor([[9.0, 8.0, 7.0], [3.0, 1.0, 2.0]]), k=3)
        tensor([[ True,  True, False],
                [ True, False, False]])
    """
    if score.isnan().any():
        raise ValueError(f"'score' must not be NaN (got {int(score.isnan().sum())})")
    order = score.argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).flatten()  # in its row, best first
    best = score.flatten().argsort(descending=True, stable=True)
    best = best[rank[best].argsort(stable=True)]
    keep = torch.zeros_like(rank, dtype=torch.bool)
    keep[best[:k]] = True
    return keep.view_as(score)


class Wanda(ScoredPruner):
    r"""Removes weights by :math:`|W_{ij}| \, \|(\hat{A} X)_j\|_2`, row by row, from the
    `"A Simple and Effective Pruning Approach for Large Language Models"
    <https://arxiv.org/abs/2306.11695>`_ paper.

    Each output is a sum of inputs times weights, so a small weight of a large input
    can matter more than the reverse. In a graph layer the inputs are those that
    propagation made: see :func:`~gsparse.prune.criteria.propagated.propagated_norms`. A
    weight of a feature that is 0 everywhere goes first.

    Needs no labels and no gradient: one forward pass a cut. The paper removes the same
    share of every row, compares weights within it, and updates none; that is the
    default here (rows differ by at most one weight). Meant for trained models; before
    training the weights say nothing yet. Equal rows leave no room to drop a useless
    unit: at very high sparsity try ``scope="global"`` as well. With a structure a group
    counts by its mean score.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        example: Arguments of the model.
        schedule: A function of the step; ``None`` prunes at once.
        scope: ``"row"``, or ``"global"``, ``"local"`` or ``"erk"``. With a structure
            ``"row"`` is ``"local"``: groups are compared in their layer.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        structure: As for :class:`~gsparse.prune.ScoredPruner`.
        protect: As for :class:`~gsparse.prune.ScoredPruner`.

    Raises:
        ValueError: If the sparsity is out of range, nothing is left to prune, a target
            is not the weight of a ``Linear`` that the model calls, or an input is not
            finite.

    Example:
        The first feature is 0 at every node: its two weights go.

        >>> import torch
        >>> from torch_geometric.nn import GCNConv
        >>> from gsparse.prune import Wanda
        >>> conv = GCNConv(4, 2)
        >>> x, edge_index = torch.ones(3, 4), torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> x[:, 0] = 0
        >>> pruner = Wanda(conv, sparsity=0.25, example=(x, edge_index))
        >>> pruner.masks["lin.weight"].sum(dim=0)
        tensor([0, 2, 2, 2])
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        example: tuple[Any, ...],
        schedule: Schedule | None = None,
        scope: Scope | Literal["row"] = "row",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        structure: Structure | None = None,
        protect: Protect | None = None,
    ) -> None:
        self.example, self.by_row = checked_example(example), scope == "row"
        whole: Scope = "local" if scope == "row" else scope
        super().__init__(
            model, sparsity, schedule, whole, exclude, targets, structure, protect
        )

    def scores(self) -> dict[str, Tensor]:
        """:func:`wanda_scores` with the inputs that reach every weight now."""
        norms = propagated_norms(self.model, self.example)
        weights = self.masks.parameters()
        for name in weights:
            if name not in norms:
                raise ValueError(
                    f"{name!r} must be the weight of a Linear that the model calls "
                    f"with 'example' (got inputs of: {', '.join(norms) or 'none'}); "
                    "leave it out by 'exclude'"
                )
        return wanda_scores({n: p.detach() for n, p in weights.items()}, norms)

    def select(self, scores: dict[str, Tensor], sparsity: float) -> dict[str, Tensor]:
        """The best of every row, unless another scope was asked for."""
        if not self.by_row:
            return super().select(scores, sparsity)
        return {
            name: keep_by_row(score, budget(score.numel(), sparsity))
            for name, score in scores.items()
        }
