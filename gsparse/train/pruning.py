"""Prune the weights of a model and train what is left."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.prune import WeightPruner
from gsparse.train.fit import History, evaluate, fit
from gsparse.train.fit_config import FitConfig


class PrunedModel(NamedTuple):
    """A pruner with its final masks, and how its model was trained."""

    pruner: WeightPruner
    history: History
    """Training with the final masks, or while they were learned if none follows."""
    pruning: History | None
    """Training in which the weights were removed; ``None`` if they were at once."""
    seconds: float
    """Time until the masks were final."""


def prune_and_train(
    model: Module,
    data: Data,
    make: Callable[[Module], WeightPruner],
    *,
    config: FitConfig | None = None,
    seed: int = 0,
    pruned: Callable[[WeightPruner], None] | None = None,
    callback: Callable[[int, float, float], None] | None = None,
) -> PrunedModel:
    """Prune a model and train it with its final masks.

    A pruner that removes weights during training gets a whole training of its own, and
    the model is trained again afterwards, so that every method has had a training with
    its final masks; a pruner whose :attr:`~gsparse.prune.WeightPruner.trains_after` is
    false skips the second training.

    Args:
        model: A trained or fresh model; changed in place.
        data: The graph with ``x``, ``y``, ``train_mask`` and ``val_mask``.
        make: Builds the pruner of the model.
        config: How the model is fitted, in both trainings.
        seed: Seed of both trainings.
        pruned: Called with the pruner when its masks are final.
        callback: Called after each epoch of the last training; see
            :func:`~gsparse.train.fit`.

    Example:
        >>> from gsparse.data import planted_partition, split
        >>> from gsparse.prune import Magnitude, Pruner
        >>> from gsparse.train import GCN, FitConfig, prune_and_train
        >>> data = planted_partition(100, num_classes=2, seed=7)
        >>> data = split(data, "60-20-20", seed=7)
        >>> model = GCN(data.num_features, 8, 2)
        >>> found = prune_and_train(
        ...     model,
        ...     data,
        ...     lambda model: Pruner(model, Magnitude(), sparsity=0.75),
        ...     config=FitConfig(epochs=5),
        ... )
        >>> found.pruner.report().sparsity, found.history.num_epochs
        (0.75, 5)
    """
    config = config or FitConfig()
    start = perf_counter()
    pruner, pruning = make(model), None
    if not pruner.done:
        whole = replace(config, patience=config.epochs)
        pruning = fit(model, data, config=whole, seed=seed, pruner=pruner)
    pruner.finalize()
    seconds = perf_counter() - start
    if pruning is not None and not pruner.trains_after:
        pruning.val_score = evaluate(model, data, "val_mask", config.metric)
        return PrunedModel(pruner, pruning, pruning, seconds)
    if pruned is not None:
        pruned(pruner)
    history = fit(model, data, config=config, seed=seed, callback=callback)
    return PrunedModel(pruner, history, pruning, seconds)
