"""Learned masks in an experiment: fitted once, and the graph that they leave."""

import copy
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.methods import learned_masks
from gsparse.nn.learned_mask import LearnedMask
from gsparse.train import EdgeLottery, FitConfig, History, fit, fit_mask
from gsparse.train.mask import MASK_FIT

ROUND = 200  # epochs of a round of the lottery, as in its paper


class FittedMask(NamedTuple):
    """A learned mask, how it was learned, and the graph that it leaves."""

    module: LearnedMask
    history: History
    cut: Data
    seconds: float


def fit_learned(
    config: Config, seed: int, data: Data, teacher: Module | None
) -> FittedMask:
    """Learn a mask, so that the teacher keeps its predictions; without a teacher end
    to end with fresh weights, from the labels.
    """
    chosen = config.recipe()
    model = chosen.build(data, seed) if teacher is None else copy.deepcopy(teacher)
    options: dict[str, Any] = {"seed": seed}
    if config.method == "KEdge" and teacher is not None:
        options["edge_index"] = data.edge_index
    if config.method == "PTDNet":
        options["scope"] = "shared"  # one graph, that weights can be trained on
    start = perf_counter()
    mask = learned_masks()[config.method](
        model, data.num_features, config.sparsity, **options
    )
    if teacher is None:
        settings = replace(within(chosen.fit, config.epochs), hops=None)
        history = fit(mask, data, config=settings, seed=seed)
    else:
        settings = within(MASK_FIT, config.epochs)
        settings = replace(settings, metric=chosen.fit.metric)
        hard = chosen.fit.metric == "accuracy"
        history = fit_mask(mask, data, hard=hard, config=settings, seed=seed)
    cut = mask.eval().sparsify(data)
    assert isinstance(cut, Data)
    return FittedMask(mask, history, cut, perf_counter() - start)


def draw_ticket(config: Config, seed: int, data: Data) -> Data:
    """What an edge lottery leaves, with the recipe's model and settings."""
    chosen = config.recipe()
    settings = within(chosen.fit, min(config.epochs or ROUND, ROUND))
    settings = replace(settings, hops=None)  # masks look at all nodes
    lottery = EdgeLottery(config.sparsity, config=settings)
    return lottery(chosen.build(data, seed), data, seed)


def within(settings: FitConfig, epochs: int | None) -> FitConfig:
    """The same settings with at most so many epochs."""
    return settings if epochs is None else replace(settings, epochs=epochs)
