"""Base class of pruners that cut at once or along a schedule."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from torch import Tensor, inf
from torch.nn import Module

from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope, check_scope
from gsparse.prune.structured.groups import expand, group_means, group_sizes, group_sums
from gsparse.prune.structured.select_groups import Protect, keep_best_groups
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector
from gsparse.prune.weight_pruner import WeightPruner


class ScheduledPruner(WeightPruner):
    """Removes weights in one cut, or in several along a schedule.

    A removed weight never comes back. Without a schedule the model is pruned on
    construction and :meth:`step` does nothing. The arguments are those of
    :class:`~gsparse.prune.Pruner`.
    """

    takes_structure = True

    def __init__(
        self,
        model: Module,
        *,
        sparsity: float,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        structure: Structure | None = None,
        protect: Protect | None = None,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
    ) -> None:
        check_scope(scope)
        if protect is not None and structure is None:
            raise ValueError(
                "'protect' must come with 'structure' (got structure=None); give "
                "structure=Rows() to prune whole units"
            )
        if structure is not None and not isinstance(structure, Structure):
            raise TypeError(
                "'structure' must be a structure such as Rows() or None "
                f"(got {structure!r})"
            )
        super().__init__(model, sparsity=sparsity, targets=targets, exclude=exclude)
        self.schedule, self.scope, self.reached = schedule, scope, 0.0
        self.structure, self.protect = structure, protect
        self.groups: dict[str, Tensor] | None = None
        try:
            if structure is not None:
                self.groups = structure.groups(self.masks.parameters())
                # Refuses what cannot be reached even if the largest groups go first.
                self.select_groups(-group_sizes(self.groups).double(), sparsity)
            if schedule is None:
                self.prune(sparsity)
        except Exception:
            self.undo()
            raise

    @property
    def done(self) -> bool:
        """Whether the sparsity is reached."""
        return self.reached >= self.sparsity

    def step(self) -> None:
        """Move on along the schedule; do nothing without one."""
        if self.schedule is None or self.done:
            return
        self.num_steps += 1
        wanted = self.schedule(self.num_steps, self.sparsity)
        if wanted > self.reached:
            self.prune(wanted)

    @abstractmethod
    def importances(self) -> dict[str, Tensor]:
        """Return the importance of every targeted weight by parameter name."""

    def group_importances(self) -> Tensor:
        r"""Return the importance of every group of the structure.

        Shapes:
            - **output:** :math:`(G,)`
        """
        return group_means(self.importances(), self._groups())

    def _groups(self) -> dict[str, Tensor]:
        if self.groups is None:
            raise ValueError(
                "'structure' must be given for importances of groups (got None); use "
                "importances(), or a pruner with a structure such as Rows()"
            )
        return self.groups

    def prune(self, sparsity: float) -> None:
        """Remove weights until this fraction is removed.

        Raises:
            ValueError: If more is removed already.
        """
        if sparsity < self.reached:
            raise ValueError(
                f"'sparsity' must be at least {self.reached:g}, which is reached: "
                f"removed weights never come back (got {sparsity}); use undo()"
            )
        self._prune(sparsity)

    @abstractmethod
    def _prune(self, sparsity: float) -> None:
        """Remove weights until this fraction is removed, and set ``reached`` to it."""

    def select_groups(self, importances: Tensor, sparsity: float) -> dict[str, Tensor]:
        """Return which weights stay by the importances of their groups."""
        groups = self._groups()
        present = {name: self.masks[name] for name in groups}
        left = group_sums(present, groups).to(importances.device)
        if importances.shape != left.shape:
            raise ValueError(
                f"the importances of the groups must have shape {list(left.shape)} "
                f"(got {list(importances.shape)})"
            )
        ranked = importances.masked_fill(left == 0, -inf)
        kept = keep_best_groups(ranked, groups, sparsity, self.scope, self.protect)
        return {
            name: keep.to(present[name].device) & present[name]
            for name, keep in expand(kept, groups).items()
        }

    def finalize(self) -> None:
        """Go to the target sparsity at once, if the schedule has not ended."""
        if not self.done:
            self.prune(self.sparsity)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"reached": self.reached}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.reached = float(state["reached"])
