"""What all pruners share: masks, a budget, and one rhythm."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import check_sparsity
from gsparse.prune.masks import Report, WeightMasks
from gsparse.prune.schedule import Schedule
from gsparse.prune.select import Scope, check_scope, keep_best
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
        ValueError: If the sparsity is out of range or nothing is left to prune.
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
        """Write the zeros into the weights; the layers are plain again."""
        self.masks.make_permanent()

    def state_dict(self) -> dict[str, Any]:
        """What goes on with a run, beside the model's own ``state_dict``: tensors and
        numbers only.
        """
        return {"num_steps": self.num_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken."""
        self.num_steps = int(state["num_steps"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sparsity={self.sparsity})"


class ScoredPruner(Pruner):
    """Removes the weights of lowest score, at once or along a schedule.

    A weight that is gone stays gone. Without a schedule the model is pruned on
    construction and :meth:`step` does nothing.

    Args:
        model: Any module; changed in place, its parameters stay the same objects.
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        schedule: A function of the step, such as
            :class:`~gsparse.prune.schedule.Cubic`.
        scope: ``"global"`` ranks all weights together, ``"local"`` gives each layer the
            same sparsity, ``"erk"`` layer rates by shape.
        exclude: As for :func:`~gsparse.prune.find_targets`.
        targets: As for :func:`~gsparse.prune.find_targets`.

    Raises:
        ValueError: If the sparsity is out of range, nothing is left to prune, or a
            score is NaN.
    """

    def __init__(
        self,
        model: Module,
        sparsity: float,
        schedule: Schedule | None = None,
        scope: Scope = "global",
        exclude: Iterable[Selector] | Selector = (),
        targets: Iterable[Selector] | Selector | None = None,
    ) -> None:
        check_scope(scope)
        super().__init__(model, sparsity, targets, exclude)
        self.schedule, self.scope, self.reached = schedule, scope, 0.0
        if schedule is None:
            try:
                self.prune(sparsity)
            except Exception:
                self.undo()
                raise

    @abstractmethod
    def scores(self) -> dict[str, Tensor]:
        """Importance of every targeted weight, by the name of its parameter."""

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
