"""The pruner that removes the weights of lowest importance by any criterion."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, inf
from torch.nn import Module

from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.schedule import Schedule
from gsparse.prune.scheduled_pruner import ScheduledPruner
from gsparse.prune.select import Scope
from gsparse.prune.structured.select_groups import Protect
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector


class Pruner(ScheduledPruner):
    """Removes the weights of lowest importance, at once or along a schedule.

    A removed weight never comes back. Without a schedule the model is pruned on
    construction and :meth:`step` does nothing; with one, follow the protocol of
    :class:`~gsparse.prune.WeightPruner` or hand the pruner to
    :func:`gsparse.train.fit`.

    With a structure, whole groups of weights are removed in the order of their
    importance until the sparsity is met to the nearest group, and every parameter keeps
    at least one group (:func:`~gsparse.prune.keep_best_groups`).

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        criterion: How weights are rated, such as :class:`~gsparse.prune.Magnitude`.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        schedule: Sparsity of every step, such as
            :class:`~gsparse.prune.CubicSchedule`; ``None`` prunes at once.
        scope: ``"global"`` ranks all weights together, ``"local"`` gives each layer the
            same sparsity, ``"erk"`` gives each layer a sparsity that depends on its
            shape: layers with more inputs and outputs lose a larger share.
        structure: Groups of weights that are removed together, such as
            :class:`~gsparse.prune.Rows`; ``None`` for single weights.
        protect: Groups that stay: one bool for each group, or bools of the rows of
            parameters by name.
        targets: Parameters to prune; see :func:`~gsparse.prune.find_targets`.
        exclude: Parameters to leave out of ``targets``.
        seed: Random seed of a criterion that draws numbers; ``None`` draws a seed.

    Raises:
        TypeError: If ``criterion`` is not a criterion.
        ValueError: If the sparsity is out of range, nothing is left to prune, an
            importance is NaN, or the structure does not fit the parameters or the
            sparsity.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.prune import Magnitude, Pruner
        >>> model = GCN(500, 16, num_layers=2, out_channels=3)
        >>> pruner = Pruner(model, Magnitude(), sparsity=0.95)
        >>> int((model.convs[0].lin.weight != 0).sum())
        400
        >>> pruner
        Pruner(Magnitude(), sparsity=0.95)
    """

    def __init__(
        self,
        model: Module,
        criterion: Criterion,
        *,
        sparsity: float,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        structure: Structure | None = None,
        protect: Protect | None = None,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
        seed: int | None = None,
    ) -> None:
        if not isinstance(criterion, Criterion):
            raise TypeError(
                "'criterion' must be a criterion such as Magnitude() "
                f"(got {criterion!r})"
            )
        self.criterion = criterion.with_seed(seed)
        super().__init__(
            model,
            sparsity=sparsity,
            schedule=schedule,
            scope=criterion.resolve_scope(scope),
            structure=structure,
            protect=protect,
            targets=targets,
            exclude=exclude,
        )

    def importances(self) -> dict[str, Tensor]:
        return self.criterion.importances(self.masks)

    def group_importances(self) -> Tensor:
        return self.criterion.group_importances(self.masks, self._groups())

    def _prune(self, sparsity: float) -> None:
        for target in self.criterion.rounds(self.reached, sparsity):
            self._cut(target)
            self.reached = target

    def _cut(self, sparsity: float) -> None:
        if self.groups is not None:
            self.masks.set(self.select_groups(self.group_importances(), sparsity))
            return
        importances = self.importances()
        self._check(importances)
        ranked = {
            name: importance.detach().masked_fill(~self.masks[name], -inf)
            for name, importance in importances.items()
        }
        self.masks.set(self.criterion.select(ranked, sparsity, self.scope))

    def _check(self, importances: Mapping[str, Tensor]) -> None:
        """Refuse importances of other parameters or shapes."""
        weights = self.masks.weights()
        for name in weights | dict(importances):
            found = getattr(importances.get(name), "shape", None)
            wanted = weights[name].shape if name in weights else None
            if found != wanted:
                raise ValueError(
                    f"{self.criterion!r} must return an importance for every weight of "
                    f"the targets: for {name!r} shape {_listed(wanted)} "
                    f"(got {_listed(found)})"
                )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.criterion!r}, sparsity={self.sparsity})"


def _listed(shape: torch.Size | None) -> list[int] | None:
    return None if shape is None else list(shape)
