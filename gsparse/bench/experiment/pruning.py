"""Pruned weights in an experiment: before, during or after their training."""

import copy
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple
from weakref import WeakKeyDictionary

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.masks import within
from gsparse.bench.tables.rows import Row
from gsparse.nn.calling import model_arguments
from gsparse.prune import Criterion, WeightMasks, WeightPruner, true_fisher
from gsparse.prune.surgeons.fisher import Fisher
from gsparse.train import History, evaluate, prune_and_train
from gsparse.train.by_name import weight_method
from gsparse.train.fit import prepare
from gsparse.train.make_pruner import make_pruner

CONVERGED = 0.99  # share of the best validation score


class PrunedRun(NamedTuple):
    """A model with masks on its weights, and how it got there."""

    model: Module
    history: History
    """History of the training after the weights were removed."""
    facts: Row


def run_pruner(
    config: Config, seed: int, data: Data, dense: Callable[[], Module]
) -> PrunedRun:
    """Prune a model and train what is left, with the recipe of the data set.

    Methods that need trained weights get those of the dense model.

    Args:
        config: Settings with a pruner and a weight sparsity.
        seed: Random seed of the first weights and of the pruner.
        data: The graph to fit on.
        dense: Returns the model trained with all weights and edges; not changed.
    """
    assert config.pruner is not None
    assert config.weight_sparsity_target is not None
    chosen, method = config.recipe(), weight_method(config.pruner)
    sparsity, settings = (
        config.weight_sparsity_target,
        within(chosen.fit, config.epochs),
    )
    fresh = method.when != "trained"
    model = chosen.build(data, seed) if fresh else copy.deepcopy(dense())
    if not issubclass(method, Criterion | WeightPruner):  # a lottery
        start = perf_counter()
        ticket = method(sparsity, config=settings)(model, data, seed)
        facts = _facts(ticket.pruner, perf_counter() - start)
        return PrunedRun(model, ticket.rounds[-1], facts)
    facts, seen = {}, list[float]()
    if not method.trains_after:
        untrained = evaluate(model, data, "val_mask", settings.metric)
        facts["val_score_untrained"] = untrained
    fisher, spent = None, 0.0
    if "fisher" in method.needs:
        fisher, spent = _fisher_of(dense(), data, seed)

    def score(pruner: WeightPruner) -> None:
        for part in ("val", "test") if config.final else ("val",):
            found = evaluate(model, data, f"{part}_mask", settings.metric)
            facts[f"{part}_score_pruned"] = found

    found = prune_and_train(
        model,
        data,
        lambda model: make_pruner(
            method,
            model,
            data,
            sparsity=sparsity,
            num_steps=settings.epochs,
            seed=seed,
            fisher=fisher,
        ),
        config=settings,
        seed=seed,
        pruned=score,
        callback=lambda epoch, loss, score: seen.append(score),
    )
    if found.pruning is not None:
        facts["prune_epoch_seconds"] = found.pruning.epoch_seconds
    facts |= _facts(found.pruner, found.seconds + spent)
    near = [score >= CONVERGED * found.history.val_score for score in seen]
    if near:
        facts["epochs_to_converge"] = 1 + near.index(True)
    return PrunedRun(model, found.history, facts)


_FISHERS: WeakKeyDictionary[Module, tuple[int, Fisher, float]] = WeakKeyDictionary()
"""The last Fisher matrix, with the seed of its draws and the seconds that it took."""


def _fisher_of(dense: Module, data: Data, seed: int) -> tuple[Fisher, float]:
    """Return the true Fisher matrix of a trained model and its seconds.

    It is taken once for all pruners and sparsities.
    """
    held = _FISHERS.get(dense)
    if held is None or held[0] != seed:
        _FISHERS.clear()  # it may have hundreds of megabytes
        example, start = model_arguments(prepare(data)), perf_counter()
        model = copy.deepcopy(dense)
        fisher = true_fisher(WeightMasks(model), lambda: model(*example), seed=seed)
        held = _FISHERS[dense] = seed, fisher, perf_counter() - start
    return held[1:]


def _facts(pruner: WeightPruner, seconds: float) -> Row:
    report = pruner.report()
    return {
        "weight_sparsity": report.sparsity,
        "num_weights_before": report.num_weights,
        "num_weights_after": report.num_kept,
        "num_parameters": report.num_parameters,
        "prune_seconds": seconds,
    }
