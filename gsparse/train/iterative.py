"""Iterative pruning: train, remove a part of the weights, go back, train again."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.edges import check_sparsity
from gsparse.prune import ExponentialSchedule, Magnitude, Pruner, Schedule
from gsparse.prune.declarations import Declared
from gsparse.prune.targets import Selector
from gsparse.prune.weight_pruner import WeightPruner
from gsparse.train.fit import History, fit
from gsparse.train.fit_config import FitConfig

Prune = Callable[..., WeightPruner]

BY_MAGNITUDE: Prune = partial(Pruner, criterion=Magnitude())


@dataclass(frozen=True)
class WeightLottery(Declared):
    r"""Looks for a part of the first weights that trains as well as all of them, from
    the `"The Lottery Ticket Hypothesis" <https://arxiv.org/abs/1803.03635>`_ paper.

    Each round trains the model, removes weights by their importance, and rewinds those
    that are left to what they were at first, or early in a training, as in the `"Linear
    Mode Connectivity" <https://arxiv.org/abs/1912.05671>`_ paper. Without rewinding
    (``rewind=None``) the rounds train on.

    Costs a training for each round: look at the row of one-shot pruning first, which
    costs one. The edge half is :class:`~gsparse.train.EdgeLottery`; run it first and
    give the graph that it leaves to this one, and edges and weights are sparse.

    Args:
        sparsity: Fraction of the targeted weights to remove, in [0, 1).
        num_rounds: Number of cuts; a training precedes each.
        rewind: The weights gone back to are the best of so many epochs; 0 for the
            first ones, ``None`` to go on without rewinding.
        schedule: Sparsity after each round; every cut removes the same part of what is
            left if it is not given.
        prune: Builds a pruner, called as ``prune(model, sparsity=…, schedule=…,
            targets=…, exclude=…)``; for another criterion such as
            ``partial(Pruner, criterion=RandomWeight())``.
        config: How each round is fitted.
        targets: Parameters to prune; see :func:`~gsparse.prune.find_targets`.
        exclude: Parameters to leave out of ``targets``.

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
        if self.rewind is not None and not 0 <= self.rewind < self.config.epochs:
            raise ValueError(
                f"'rewind' must be below the epochs of a round, {self.config.epochs} "
                f"(got {self.rewind})"
            )

    def __call__(self, model: Module, data: Data, seed: int = 0) -> "Ticket":
        """Prune the model in place, round by round; it ends trained.

        Args:
            model: Called as by :func:`~gsparse.train.fit`, with fresh weights.
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
    """What a lottery found: the pruner with its masks, and how the rounds went."""

    pruner: WeightPruner
    rounds: list[History]
    """One for each cut, and the last training after them."""


def _weights(model: Module) -> dict:
    """A copy of all parameters and statistics of a model that has no masks yet."""
    return copy.deepcopy(dict(model.state_dict()))
