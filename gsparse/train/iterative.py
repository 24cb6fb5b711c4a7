"""Iterative pruning: train, remove a part of the weights, rewind, train again."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.edges import check_sparsity
from gsparse.prune import (
    Criterion,
    ExponentialSchedule,
    Magnitude,
    Pruner,
    Schedule,
    WeightPruner,
)
from gsparse.prune.declarations import Declared
from gsparse.prune.targets import Selector
from gsparse.train.fit import History, fit
from gsparse.train.fit_config import FitConfig

Prune = Callable[..., WeightPruner]

BY_MAGNITUDE: Prune = partial(Pruner, criterion=Magnitude())


@dataclass(frozen=True)
class WeightLottery(Declared):
    r"""Finds a subset of the initial weights that trains as well as all of them, from
    the `"The Lottery Ticket Hypothesis" <https://arxiv.org/abs/1803.03635>`_ paper.

    Each round trains the model, removes weights by their importance, and rewinds the
    remaining ones to their initial values, or to values from early in a training, as in
    the `"Linear Mode Connectivity" <https://arxiv.org/abs/1912.05671>`_ paper. Without
    rewinding (``rewind=None``) the rounds continue the training.

    **When to use it.** To study which subsets of fresh weights train well.

    **When not to use it.** For accuracy alone: one-shot pruning of trained weights
    (:class:`~gsparse.prune.Magnitude`) needs a single training and was as good. For
    sparse edges and sparse weights, run :class:`~gsparse.train.EdgeLottery` first and
    pass its graph to this one.

    **Cost.** One training per round and one before. Memory is that of one training and
    a copy of the initial weights.

    Args:
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        num_rounds: Number of rounds; each trains the model and then prunes it.
        rewind: Number of epochs of the short training whose best weights are restored
            in every round; 0 restores the initial weights, ``None`` does not rewind.
        schedule: Sparsity after each round; by default every round removes the same
            fraction of the remaining weights.
        prune: Builds a pruner, called as ``prune(model, sparsity=…, schedule=…,
            targets=…, exclude=…)``; for another criterion such as
            ``partial(Pruner, criterion=RandomWeight())``.
        config: Settings of the fit in each round.
        targets: See :func:`~gsparse.prune.find_targets`.
        exclude: See :func:`~gsparse.prune.find_targets`.

    Raises:
        ValueError: If the sparsity or a number is out of range.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.train import GCN, FitConfig, WeightLottery
        >>> data = planted_partition(200, num_classes=2, seed=7)
        >>> data = split(data, "random", seed=7)
        >>> model = GCN(data.num_features, 8, 2)
        >>> find = WeightLottery(0.9, num_rounds=3, config=FitConfig(epochs=20))
        >>> ticket = find(model, data)
        >>> round(ticket.pruner.report().sparsity, 2), len(ticket.rounds)
        (0.9, 4)
    """

    removes: ClassVar = "weights"
    when = "fresh"

    sparsity: float
    num_rounds: int = 10
    rewind: int | None = 0
    schedule: Schedule | None = None
    prune: Prune = BY_MAGNITUDE
    config: FitConfig = field(default_factory=FitConfig)
    targets: Iterable[Selector] | Selector | None = None
    exclude: Iterable[Selector] | Selector = ()

    def __post_init__(self) -> None:
        check_sparsity(self.sparsity)
        if self.num_rounds < 1:
            raise ValueError(f"'num_rounds' must be at least 1 (got {self.num_rounds})")
        if isinstance(self.prune, type) and issubclass(self.prune, Criterion):
            raise TypeError(
                "'prune' must build a pruner of a model (got a criterion, "
                f"{self.prune.__name__}); use partial(Pruner, "
                f"criterion={self.prune.__name__}())"
            )
        if self.rewind is not None and not 0 <= self.rewind < self.config.epochs:
            raise ValueError(
                f"'rewind' must be below the epochs of a round, {self.config.epochs} "
                f"(got {self.rewind})"
            )

    def __call__(self, model: Module, data: Data, seed: int = 0) -> "Ticket":
        """Prune the model in place, round by round; the last round trains it.

        Args:
            model: A model with fresh weights, called as in :func:`~gsparse.train.fit`.
            data: The graph with ``x``, ``y``, ``train_mask`` and ``val_mask``.
            seed: Seed of the rounds.
        """
        schedule = self.schedule or ExponentialSchedule(0, self.num_rounds)
        first, early = _weights(model), None
        if self.rewind:
            early = copy.deepcopy(model)
            fit(early, data, config=replace(self.config, epochs=self.rewind), seed=seed)
            first = _weights(early)
        pruner = self.prune(
            model,
            sparsity=self.sparsity,
            schedule=schedule,
            targets=self.targets,
            exclude=self.exclude,
        )
        rounds = []
        for _ in range(self.num_rounds):
            rounds.append(fit(model, data, config=self.config, seed=seed))
            pruner.step()
            if self.rewind is not None:
                model.load_state_dict(model.state_dict() | first)
        rounds.append(fit(model, data, config=self.config, seed=seed))
        return Ticket(pruner, rounds)


@dataclass(frozen=True)
class Ticket:
    """Result of a lottery: the pruner with its masks, and the history of each round."""

    pruner: WeightPruner
    rounds: list[History]
    """One per round, followed by that of the final training."""


def _weights(model: Module) -> dict:
    """Return a copy of all parameters and buffers of a model without masks."""
    return copy.deepcopy(dict(model.state_dict()))
