"""ADMM that keeps the same number of units in every attention head."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import Module

from gsparse.prune.learned.admm import ADMM
from gsparse.prune.structured.even_units import even_units
from gsparse.prune.structured.groups import expand, group_means


class EvenADMM(ADMM):
    """ADMM towards weights that keep the same number of units in every head.

    It projects onto the weights in which ``num_heads`` heads keep ``width`` units each
    (:func:`~gsparse.prune.even_units` of the mean squares) and all other units are 0.

    Args:
        model: Any module; changed in place.
        heads: Number of attention heads of the layer; 1 for other layers.
        num_heads: Number of heads to keep.
        width: Number of units to keep in each of these heads.
        **options: Arguments of :class:`~gsparse.prune.ADMM`, with exactly one structure
            and the sparsity of the units that are removed.
    """

    def __init__(
        self,
        model: Module,
        heads: int,
        num_heads: int,
        width: int,
        **options: Any,  # noqa: ANN401 (those of ADMM)
    ) -> None:
        self.heads, self.num_heads, self.width = heads, num_heads, width
        super().__init__(model, **options)

    def _support(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        groups = self.structures[0].groups(weights)
        squares = {name: w.detach() ** 2 for name, w in weights.items()}
        means = group_means(squares, groups).view(self.heads, -1)
        keep = even_units(means, self.num_heads, self.width)
        return expand(keep.view(-1), groups)
