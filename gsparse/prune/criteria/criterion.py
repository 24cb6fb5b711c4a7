"""Base of the criteria that rate single weights and groups of weights."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from torch import Tensor

from gsparse.prune.declarations import Declared
from gsparse.prune.masks import WeightMasks
from gsparse.prune.select import Scope, keep_best
from gsparse.prune.structured.groups import group_means


class Criterion(Declared, ABC):
    """Rates the weights of a model; a setting of :class:`~gsparse.prune.Pruner`.

    A criterion holds no model: it reads the weights through the masks that it is given,
    so one value can serve several pruners. A subclass implements :meth:`importances`
    and may override the other methods.

    Example:
        The distance of a weight from 1.

        >>> import torch
        >>> from gsparse.prune import Criterion, Pruner
        >>> class DistanceFromOne(Criterion):
        ...     def importances(self, masks):
        ...         return {name: (w - 1).abs() for name, w in masks.weights().items()}
        >>> layer = torch.nn.Linear(3, 1, bias=False)
        >>> layer.weight.data = torch.tensor([[1.1, -2.0, 4.0]])
        >>> pruner = Pruner(layer, DistanceFromOne(), sparsity=1 / 3)
        >>> pruner.masks["weight"]
        tensor([[False,  True,  True]])
    """

    @abstractmethod
    def importances(self, masks: WeightMasks) -> dict[str, Tensor]:
        """Return the importance of every targeted weight by parameter name.

        Removed weights may have any importance; they stay removed.
        """

    def group_importances(
        self, masks: WeightMasks, groups: Mapping[str, Tensor]
    ) -> Tensor:
        r"""Return the importance of every group: the mean over its weights.

        Shapes:
            - **output:** :math:`(G,)`
        """
        return group_means(self.importances(masks), groups)

    def select(
        self, importances: Mapping[str, Tensor], sparsity: float, scope: Scope
    ) -> dict[str, Tensor]:
        """Return which weights stay; removed ones have importance ``-inf``."""
        return keep_best(importances, sparsity, scope)

    def resolve_scope(self, scope: Scope) -> Scope:
        """Return the scope that is used where the user asks for ``scope``."""
        return scope

    def rounds(self, reached: float, sparsity: float) -> Iterable[float]:
        """Return the sparsities of the cuts from ``reached`` to ``sparsity``."""
        return (sparsity,)

    def with_seed(self, seed: int | None) -> "Criterion":
        """Return this criterion with the seed of a pruner, if it draws numbers."""
        return self
