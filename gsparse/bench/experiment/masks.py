"""Edges that are chosen by training: learned masks and lotteries."""

import copy
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.methods import has_edge_terms, method_class
from gsparse.nn.learned_mask import LearnedMask
from gsparse.train import FitConfig, History, fit, fit_mask
from gsparse.train.mask import MASK_FIT

ROUND = 200  # epochs of a round of a lottery, as in the paper of EdgeLottery


class FittedMask(NamedTuple):
    """A learned mask, how it was learned, and the graph that it leaves."""

    module: LearnedMask
    history: History
    cut: Data
    seconds: float


def fit_learned(
    config: Config, seed: int, data: Data, teacher: Module | None
) -> FittedMask:
    """Learn a mask with which a teacher keeps its predictions.

    Without a teacher the mask is learned end to end with fresh weights, from the
    labels. Terms of single edges are added if the experiment says so, or else as the
    class of the mask says.
    """
    chosen, method = config.recipe(), method_class(config.method)
    model = chosen.build(data, seed) if teacher is None else copy.deepcopy(teacher)
    offered: dict[str, Any] = {"seed": seed}
    used = "none" if teacher is None else "edges"
    if has_edge_terms(config.method, used, config.edge_terms):
        offered["edge_index"] = data.edge_index
    options = {name: offered[name] for name in method.needs if name in offered}
    if method.takes_scope:
        options["scope"] = "shared"  # one graph, that weights can be trained on
    start = perf_counter()
    mask = method(model, data.num_features, config.sparsity, **options)
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
    """Return the graph that a lottery of edges leaves, with the recipe's model."""
    chosen = config.recipe()
    settings = within(chosen.fit, min(config.epochs or ROUND, ROUND))
    settings = replace(settings, hops=None)  # masks look at all nodes
    lottery = method_class(config.method)(config.sparsity, config=settings)
    return lottery(chosen.build(data, seed), data, seed)


def within(settings: FitConfig, epochs: int | None) -> FitConfig:
    """Return the same settings with at most so many epochs."""
    return settings if epochs is None else replace(settings, epochs=epochs)
