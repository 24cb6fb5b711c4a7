"""Pruned weights in an experiment: before, while or after they are trained."""

import copy
import inspect
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch.nn import Module
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.masks import within
from gsparse.bench.experiment.methods import ANSWERED, SUPERMASK, pruner_class
from gsparse.bench.tables.rows import Row
from gsparse.nn import accelerate
from gsparse.prune import (
    Magnitude,
    Pruner,
    WeightMasks,
    brain_surgeon_update,
    true_fisher,
)
from gsparse.prune.surgeons.fisher import Fisher
from gsparse.prune.surgeons.second_order import SecondOrder
from gsparse.prune.surgeons.take_fisher import full_weights
from gsparse.train import FitConfig, History, WeightLottery, evaluate, fit
from gsparse.train.fit import prepare

AT_FIRST = ("SNIP", "GraSP", "SynFlow")
"""Prune fresh weights, which are trained afterwards."""

MEANWHILE = ("ProbMask", "GradualThreshold", "AutoPrune")
"""Prune fresh weights while they are trained. All others prune trained ones."""

TWICE = ("GradientNorm", "GradientPreservation", "GraSP")
"""Differentiate twice, which fused attention cannot."""

ROUNDS = 5  # of the lottery
SUPERMASK_LR = 0.1
CONVERGED = 0.99  # of the best validation score


class PrunedModel(NamedTuple):
    """A model with masks on its weights, and how it got there."""

    model: Module
    history: History
    """Of the training after the weights were gone."""
    facts: Row


def prune_and_train(
    config: Config, seed: int, data: Data, dense: Callable[[], Module]
) -> PrunedModel:
    """Prune a model and train what is left, with the recipe of the data set.

    Methods that need trained weights get those of the dense model. Those that prune
    while they train are trained on afterwards as well, so that all have had a training
    with their last masks.

    Args:
        config: With a pruner and a weight sparsity.
        seed: Of the first weights, and of what the pruner draws.
        data: The graph to fit on.
        dense: Gives the model trained with all weights and edges; not changed.
    """
    assert config.pruner is not None
    assert config.weight_sparsity_target is not None
    chosen, name = config.recipe(), config.pruner
    settings = within(chosen.fit, config.epochs)
    if name == "WeightLottery":
        model, start = chosen.build(data, seed), perf_counter()
        find = WeightLottery(config.weight_sparsity_target, ROUNDS, config=settings)
        ticket = find(model, data, seed)
        facts = _facts(ticket.pruner, perf_counter() - start)
        return PrunedModel(model, ticket.rounds[-1], facts)
    if name == SUPERMASK:
        return _supermask(config, seed, data, settings)
    fresh = name in (*AT_FIRST, *MEANWHILE)
    model = chosen.build(data, seed) if fresh else copy.deepcopy(dense())
    start = perf_counter()  # training the dense model is not the pruner's cost
    fisher, spent = None, 0.0
    if name == ANSWERED or issubclass(pruner_class(name), SecondOrder):
        fisher, spent = _fisher_of(dense(), data, seed)
        start = perf_counter() - spent  # another pruner may have taken it
    pruner = make_pruner(
        name, model, config.weight_sparsity_target, data, settings, seed, fisher
    )
    facts = {}
    if not pruner.done:
        whole = replace(settings, patience=settings.epochs)
        history = fit(model, data, config=whole, seed=seed, pruner=pruner)
        facts["prune_epoch_seconds"] = history.epoch_seconds
    pruner.finalize()
    facts |= _facts(pruner, perf_counter() - start)
    facts["val_score_pruned"] = evaluate(model, data, "val_mask", settings.metric)
    if config.final:
        found = evaluate(model, data, "test_mask", settings.metric)
        facts["test_score_pruned"] = found
    seen: list[float] = []
    history = fit(
        model,
        data,
        config=settings,
        seed=seed,
        callback=lambda epoch, loss, score: seen.append(score),
    )
    near = (score >= CONVERGED * history.val_score for score in seen)
    facts["epochs_to_converge"] = 1 + next(i for i, holds in enumerate(near) if holds)
    return PrunedModel(model, history, facts)


def _supermask(
    config: Config, seed: int, data: Data, settings: FitConfig
) -> PrunedModel:
    """Choose among random weights, the output layer's too; nothing else is learned."""
    assert config.weight_sparsity_target is not None
    model = config.recipe().build(data, seed).requires_grad_(False)
    before = evaluate(model, data, "val_mask", settings.metric)
    start = perf_counter()
    pruner = make_pruner(
        "ProbMask",
        model,
        config.weight_sparsity_target,
        data,
        settings,
        seed,
        targets=lambda name, parameter: parameter.dim() > 1,
        supermask=True,
        lr=SUPERMASK_LR,
    )
    whole = replace(settings, patience=settings.epochs)
    history = fit(model, data, config=whole, seed=seed, pruner=pruner)
    facts = {"prune_epoch_seconds": history.epoch_seconds}
    pruner.finalize()
    facts |= _facts(pruner, perf_counter() - start)
    history.val_score = evaluate(model, data, "val_mask", settings.metric)
    return PrunedModel(model, history, facts | {"val_score_untrained": before})


def make_pruner(
    name: str,
    model: Module,
    sparsity: float,
    data: Data,
    settings: FitConfig,
    seed: int,
    fisher: Fisher | None = None,
    **options: Any,  # noqa: ANN401 (of the pruner)
) -> Pruner:
    """The pruner of that name, given what its constructor asks for, and options.

    Args:
        name: One of :func:`~gsparse.bench.experiment.methods.pruners`.
        model: Changed in place.
        sparsity: Fraction of the weights to remove.
        data: The graph.
        settings: Of the training.
        seed: Of what is drawn.
        fisher: Of the dense weights, for methods that need it; taken anew if left out.
        **options: Of the pruner.
    """
    cls, given = pruner_class(name), prepare(data, "train_mask")
    train, target = given.train_mask, given.y[given.train_mask]
    arguments = (given.x, given.edge_index, given.get("edge_weight"))

    def losses(reduction: str = "none") -> Any:  # noqa: ANN401 (as cross_entropy)
        return cross_entropy(model(*arguments)[train], target, reduction=reduction)

    offered: dict[str, Any] = {
        "loss": lambda: losses("mean"),
        "losses": losses,
        "class_scores": lambda: model(*arguments),
        "example": arguments,
        "fisher": fisher or "true",
        "num_steps": settings.epochs,
        "seed": seed,
    }
    asked = inspect.signature(cls).parameters.keys()
    if name == "ADMM":  # two thirds of the epochs
        updates = min(10, max(1, settings.epochs // 3))
        every = max(1, min(20, 2 * settings.epochs // 3 // updates))
        offered |= {"num_updates": updates, "every": every}
    options = {k: v for k, v in offered.items() if k in asked} | options
    if name in TWICE:
        accelerate(model, attention="reference")
    if name == ANSWERED:
        pruner = Magnitude(model, sparsity)
        if fisher is None:
            with full_weights(pruner.masks):
                fisher = true_fisher(pruner.masks, offered["class_scores"], seed=seed)
        brain_surgeon_update(pruner.masks, fisher)
        return pruner
    try:
        return cls(model, sparsity, **options)  # type: ignore[arg-type, return-value]
    finally:
        if name in TWICE:
            accelerate(model)


_FISHERS: WeakKeyDictionary[Module, tuple[int, Fisher, float]] = WeakKeyDictionary()
"""The last one, with the seed of its draws and the seconds that it took."""


def _fisher_of(dense: Module, data: Data, seed: int) -> tuple[Fisher, float]:
    """The true Fisher matrix of a trained model and its seconds, taken once for all
    pruners and sparsities.
    """
    held = _FISHERS.get(dense)
    if held is None or held[0] != seed:
        _FISHERS.clear()  # it may have hundreds of megabytes
        given, start = prepare(data), perf_counter()
        arguments = (given.x, given.edge_index, given.get("edge_weight"))
        model = copy.deepcopy(dense)
        fisher = true_fisher(WeightMasks(model), lambda: model(*arguments), seed=seed)
        held = _FISHERS[dense] = seed, fisher, perf_counter() - start
    return held[1:]


def _facts(pruner: Pruner, seconds: float) -> Row:
    report = pruner.report()
    return {
        "weight_sparsity": report.sparsity,
        "num_weights_before": report.num_weights,
        "num_weights_after": report.num_kept,
        "num_parameters": report.num_parameters,
        "prune_seconds": seconds,
    }
