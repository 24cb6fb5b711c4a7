"""What all pruners share: masks, a budget, and one rhythm."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import check_sparsity
from gsparse.prune.masks import Report, WeightMasks
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope, check_scope, keep_best
from gsparse.prune.structured.groups import expand, group_means, group_sizes, group_sums
from gsparse.prune.structured.select_groups import Protect, keep_best_groups
from gsparse.prune.structured.structures import Structure
from gsparse.prune.targets import Selector


class Pruner(ABC):
    """Holds the masks of a model and moves them to a sparsity.

    All pruners share one rhythm::

        loss = loss + pruner.penalty()
        loss.backward()
        optimizer.step()
        pruner.step()
        ...
        pruner.finalize()

    :func:`gsparse.train.fit` keeps it when it is given the pruner.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        targets: As for :func:`~gsparse.prune.find_targets`.
        exclude: As for :func:`~gsparse.prune.find_targets`.

    Raises:
        ValueError: If the sparsity is out of range, nothing is left to prune, or the
            model is on the meta device.
    """

    revision = 1  # raised when a change alters results, so that old rows show as stale

    #: Forward passes whose losses a training step averages.
    num_samples = 1

    def __init__(
        self,
        model: Module,
        sparsity: float,
        targets: Iterable[Selector] | Selector | None = None,
        exclude: Iterable[Selector] | Selector = (),
    ) -> None:
        check_sparsity(sparsity)
        self.sparsity = sparsity
        self.num_steps = 0
        self.masks = WeightMasks(model, targets, exclude)
        self._check_values()
        self._hold_masks()

    def _check_values(self) -> None:
        """Refuse weights that are shapes only."""
        for name, parameter in self.masks.parameters().items():
            if parameter.is_meta:
                self.masks.undo()
                raise ValueError(
                    f"{name!r} must have values before it is pruned (got the meta "
                    "device); load a checkpoint, or to_empty() and reset_parameters(), "
                    "first"
                )

    def _hold_masks(self) -> None:
        """Register this pruner with every mask that it holds."""
        for name in self.masks.targets:
            self.masks.module(name).pruner = self

    @property
    def model(self) -> Module:
        """The model that is pruned."""
        return self.masks.model

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether the sparsity is reached; no epoch before that can be the best."""

    def penalty(self) -> Tensor:
        """What is added to the loss; 0 for most."""
        return next(iter(self.masks.parameters().values())).new_zeros(())

    @abstractmethod
    def step(self) -> None:
        """To be called after each step of the optimiser."""

    @abstractmethod
    def finalize(self) -> None:
        """End with exactly the wanted sparsity, whatever has been reached."""

    def report(self) -> Report:
        """How many of the targeted weights are left, layer by layer."""
        return self.masks.report()

    def undo(self) -> None:
        """Take the masks away; the model is dense again."""
        self.masks.undo()

    def make_permanent(self) -> None:
        """Write the zeros into the weights; the layers are plain again.

        Raises:
            RuntimeError: If the pruner has not reached its sparsity yet.
        """
        self._check_done()
        self.masks.make_permanent()

    def _check_done(self) -> None:
        """Refuse to end where the wanted sparsity is not reached."""
        if not self.done and not self.masks.gone:
            raise RuntimeError(
                f"{self!r} must be done before make_permanent() (got "
                f"{self.report().sparsity:.2%} of the weights removed after "
                f"{self.num_steps} steps); call finalize() first to go to the wanted "
                "sparsity now, or undo() to take the masks away"
            )

    def state_dict(self) -> dict[str, Any]:
        """What goes on with a run, beside the model's own ``state_dict``: tensors and
        numbers only.
        """
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self.num_steps = int(state["num_steps"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy holds the masks of its own model."""
        vars(self).update(state)
        if not self.masks.gone:
            self._hold_masks()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sparsity={self.sparsity})"


class ScoredPruner(Pruner):
    """Removes the weights of lowest score, at once or along a schedule.

    A weight that is gone stays gone. Without a schedule the model is pruned on
    construction and :meth:`step` does nothing.

    With a structure whole groups of weights go, those of lowest :meth:`group_scores`,
    until so many weights are gone, to the nearest group; every parameter keeps one
    group at least. :func:`~gsparse.prune.keep_best_groups` has the rule.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        schedule: A function of the step, such as
            :class:`~gsparse.prune.Cubic`.
        scope: ``"global"`` ranks all weights together, ``"local"`` gives each layer the
            same sparsity, ``"erk"`` layer rates by shape.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.
        structure: What goes together, such as
            :class:`~gsparse.prune.Rows`; ``None`` for single weights.
        protect: Groups that stay: a bool each, or bools of rows by parameter name.

    Raises:
        ValueError: If the sparsity is out of range, nothing is left to prune, a score
            is NaN, or the structure does not fit the parameters or the sparsity.
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
        structure: Structure | None = None,
        protect: Protect | None = None,
    ) -> None:
        check_scope(scope)
        if protect is not None and structure is None:
            raise ValueError(
                "'protect' must come with 'structure' (got structure=None); give "
                "structure=Rows() to prune whole units"
            )
        super().__init__(model, sparsity, targets, exclude)
        self.schedule, self.scope, self.reached = schedule, scope, 0.0
        self.structure, self.protect = structure, protect
        self.groups: dict[str, Tensor] | None = None  # numbers, as of structure.groups
        try:
            if structure is not None:
                self.groups = structure.groups(self.masks.parameters())
                # Whether so many can go at all, at best: the smallest groups stay.
                self.select_groups(-group_sizes(self.groups).double(), sparsity)
            if schedule is None:
                self.prune(sparsity)
        except Exception:
            self.undo()
            raise

    @abstractmethod
    def scores(self) -> dict[str, Tensor]:
        """Importance of every targeted weight, by the name of its parameter."""

    def group_scores(self, groups: Mapping[str, Tensor]) -> Tensor:
        """Importance of every group: the mean score of its weights."""
        return group_means(self.scores(), groups)

    @property
    def done(self) -> bool:
        """Whether the sparsity is reached."""
        return self.reached >= self.sparsity

    def step(self) -> None:
        """Move on along the schedule; nothing without one."""
        if self.schedule is None or self.done:
            return
        self.num_steps += 1
        wanted = self.schedule(self.num_steps, self.sparsity)
        if wanted > self.reached:
            self.prune(wanted)

    def prune(self, sparsity: float) -> None:
        """Remove weights until so many are gone; none comes back."""
        if self.groups is not None:
            self.masks.set(self.select_groups(self.group_scores(self.groups), sparsity))
            self.reached = sparsity
            return
        scores = self.scores()
        gone = {name: ~self.masks[name] for name in scores}
        ranked = {
            name: score.detach().masked_fill(gone[name], -torch.inf)
            for name, score in scores.items()
        }
        self.masks.set(self.select(ranked, sparsity))
        self.reached = sparsity

    def select(self, scores: dict[str, Tensor], sparsity: float) -> dict[str, Tensor]:
        """Which weights stay; the score of those that are gone is ``-inf``."""
        return keep_best(scores, sparsity, self.scope)

    def select_groups(self, scores: Tensor, sparsity: float) -> dict[str, Tensor]:
        """Which weights stay, by the scores of their groups; what is gone stays so."""
        assert self.groups is not None
        present = {name: self.masks[name] for name in self.groups}
        left = group_sums(present, self.groups).to(scores.device)
        scores = scores.masked_fill(left == 0, -torch.inf)
        kept = keep_best_groups(scores, self.groups, sparsity, self.scope, self.protect)
        return {
            name: keep.to(present[name].device) & present[name]
            for name, keep in expand(kept, self.groups).items()
        }

    def finalize(self) -> None:
        """Go to the wanted sparsity at once, if the schedule has not ended."""
        if not self.done:
            self.prune(self.sparsity)

    def state_dict(self) -> dict[str, Any]:
        """As for every pruner."""
        return super().state_dict() | {"reached": self.reached}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        super().load_state_dict(state)
        self.reached = float(state["reached"])
