"""Magnitude: the smallest weights go. Random: the row to beat."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import draw_seed
from gsparse.prune.pruner import ScoredPruner
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope
from gsparse.prune.structured.groups import group_means, num_groups
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector


class Magnitude(ScoredPruner):
    r"""Removes the weights of smallest :math:`|w|`; with
    :class:`~gsparse.prune.Cubic` the gradual pruning of the `"To prune, or not
    to prune" <https://arxiv.org/abs/1710.01878>`_ paper.

    Costs one sort of the weights a cut, and nothing between. The baseline that is hard
    to beat: prune a trained model, then train it on. With a structure a group counts by
    the mean of :math:`w^2`, so in one layer by its L2 norm.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        schedule: A function of the step; ``None`` prunes at once.
        scope: ``"global"``, ``"local"`` or ``"erk"``.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        structure: As for :class:`~gsparse.prune.ScoredPruner`.
        protect: As for :class:`~gsparse.prune.ScoredPruner`.

    Raises:
        ValueError: If the sparsity is out of range or nothing is left to prune.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import Magnitude
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> pruner = Magnitude(model, sparsity=0.95)
        >>> int((model.convs[0].lin.weight != 0).sum())
        400
    """

    def scores(self) -> dict[str, Tensor]:
        """The magnitude of every weight."""
        return {
            name: weight.detach().abs()
            for name, weight in self.masks.parameters().items()
        }

    def group_scores(self, groups: Mapping[str, Tensor]) -> Tensor:
        """The mean square of the weights of every group."""
        return group_means(
            {name: it.detach() ** 2 for name, it in self.masks.parameters().items()},
            groups,
        )


class RandomWeight(ScoredPruner):
    """Removes weights at random; the row that says what a method's choice is worth.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        schedule: A function of the step; ``None`` prunes at once.
        scope: ``"global"``, ``"local"`` or ``"erk"``.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        seed: Of the choice; ``None`` draws one.
        structure: As for :class:`~gsparse.prune.ScoredPruner`.
        protect: As for :class:`~gsparse.prune.ScoredPruner`.

    Raises:
        ValueError: If the sparsity is out of range or nothing is left to prune.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import RandomWeight
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> RandomWeight(model, sparsity=0.9, seed=7).report().num_kept
        800
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        seed: int | None = None,
        structure: Structure | None = None,
        protect: Protect | None = None,
    ) -> None:
        self.seed = draw_seed(seed)
        super().__init__(
            model, sparsity, schedule, scope, exclude, targets, structure, protect
        )

    def scores(self) -> dict[str, Tensor]:
        """The same random numbers for the same seed and shapes, on every device."""
        generator = torch.Generator().manual_seed(self.seed % 2**63)
        return {
            name: torch.rand(weight.shape, generator=generator).to(weight.device)
            for name, weight in self.masks.parameters().items()
        }

    def group_scores(self, groups: Mapping[str, Tensor]) -> Tensor:
        """One number each, so that size does not matter."""
        generator = torch.Generator().manual_seed(self.seed % 2**63)
        return torch.rand(num_groups(groups), generator=generator)
