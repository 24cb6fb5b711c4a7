"""Magnitude and random importances."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from gsparse.edges import draw_seed
from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.masks import WeightMasks
from gsparse.prune.structured.groups import group_means, num_groups


@dataclass(frozen=True)
class Magnitude(Criterion):
    r"""Rates weights by :math:`|w|`; with :class:`~gsparse.prune.CubicSchedule` this is
    the gradual pruning of the `"To prune, or not to prune"
    <https://arxiv.org/abs/1710.01878>`_ paper.

    A group is rated by the mean of :math:`w^2`, which ranks the groups of one layer by
    their L2 norm.

    **When to use it.** First: it is a baseline that is hard to beat. Prune a trained
    model, then train it further for a few epochs.

    **When not to use it.** On fresh weights, whose magnitudes say nothing, and at very
    high sparsity without any training after it
    (:class:`~gsparse.prune.CombinatorialBrainSurgeon`).

    **Cost.** One sort of the weights per cut. Memory is one number per weight.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import Magnitude, Pruner
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> Pruner(model, Magnitude(), sparsity=0.95).report().num_kept
        400
    """

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in masks.weights().items()}

    def group_importances(
        self, masks: WeightMasks, groups: Mapping[str, Tensor]
    ) -> Tensor:
        squares = {name: weight**2 for name, weight in masks.weights().items()}
        return group_means(squares, groups)


@dataclass(frozen=True)
class RandomWeight(Criterion):
    """Rates weights at random; the baseline that shows what a criterion is worth.

    The same seed and shapes give the same numbers on every device. Each group gets one
    random number, whatever its size.

    **When to use it.** Beside every other criterion: the difference is what the
    criterion is worth.

    **When not to use it.** To keep accuracy at high sparsity.

    **Cost.** One random number per weight or group. Memory is one number per weight.

    Args:
        seed: Random seed; ``None`` takes that of the pruner.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import Pruner, RandomWeight
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> Pruner(model, RandomWeight(), sparsity=0.9, seed=7).report().num_kept
        800
    """

    needs = ("seed",)

    seed: int | None = None

    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        generator = self._generator()
        return {
            name: torch.rand(weight.shape, generator=generator).to(weight.device)
            for name, weight in masks.parameters().items()
        }

    def group_importances(
        self, masks: WeightMasks, groups: Mapping[str, Tensor]
    ) -> Tensor:
        return torch.rand(num_groups(groups), generator=self._generator())

    def with_seed(self, seed: int | None) -> "RandomWeight":
        return replace(self, seed=draw_seed(seed)) if self.seed is None else self

    def _generator(self) -> Generator:
        return Generator().manual_seed(draw_seed(self.seed) % 2**63)
