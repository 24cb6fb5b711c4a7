"""Prune a trained model to a smaller shape and fine-tune it."""

import copy
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.structured_shapes import Shape
from gsparse.compaction import HiddenUnits, reconstruct, with_output_heads
from gsparse.prune import (
    CubicSchedule,
    Magnitude,
    Pruner,
    WeightMasks,
    WeightPruner,
    even_units,
)
from gsparse.prune.learned.even_admm import EvenADMM
from gsparse.train import FitConfig, History, evaluate, fit

DENSE, SMALL, UNSTRUCTURED, RANDOM = "Dense", "Small", "Magnitude", "RandomWeight"
AT_ONCE, GRADUAL, ANSWERED = "Structured", "Structured+cubic", "Structured+U"
STRUCTURED = (AT_ONCE, GRADUAL, ANSWERED, "ADMM")
"""Ways to the same structure, one of which is selected by validation."""

METHODS = (DENSE, SMALL, UNSTRUCTURED, *STRUCTURED, RANDOM)

GRADUAL_EPOCHS, ADMM_EVERY, ADMM_UPDATES = 150, 20, 10
"""Epochs of the schedule and of the updates; half of the epochs if there are fewer."""


class Trained(NamedTuple):
    """A model after its last training, with or without masks."""

    model: Module
    history: History | None
    facts: dict[str, float]
    """Scores before this training."""


def prune_units(
    method: str,
    dense: Module,
    data: Data,
    example: tuple[Any, ...],
    shape: Shape,
    settings: FitConfig,
    seed: int,
    final: bool = True,
) -> Trained:
    """Prune a trained model to a shape and fine-tune it.

    Args:
        method: One of :data:`STRUCTURED`, or :data:`RANDOM`.
        dense: The trained model; not changed.
        data: The graph.
        example: Arguments of the model.
        shape: Shape of the smaller hidden layer, with the heads of the output layer.
        settings: Settings of the training during or after the pruning.
        seed: Random seed of dropout, and of random units.
        final: Whether test nodes are scored.
    """
    if shape.output_heads is not None:
        dense = with_output_heads(dense, example, shape.output_heads)
    model = copy.deepcopy(dense)
    units = HiddenUnits.of(model, example)
    heads = units.group.heads
    options: dict[str, Any] = {"targets": units.targets, "structure": units.structure}
    sparsity = 1 - shape.num_units / units.group.size
    whole = settings.epochs // 2
    pruner: WeightPruner
    if method == "ADMM":
        updates = min(ADMM_UPDATES, whole)
        every = min(ADMM_EVERY, whole // updates)
        options |= {"every": every, "num_updates": updates, "sparsity": sparsity}
        pruner = EvenADMM(model, heads, shape.heads, shape.width, **options)
        return Trained(model, _fit(model, data, settings, seed, pruner), {})
    importances = units.importances(model, seed if method == RANDOM else None)
    keep = even_units(importances, shape.heads, shape.width).view(-1)
    if method == ANSWERED:
        _answer(model, units, keep, example)
    schedule = None
    if method == GRADUAL:
        schedule = CubicSchedule(0, min(GRADUAL_EPOCHS, whole))
    options |= {"schedule": schedule, "protect": keep}
    pruner = Pruner(model, Magnitude(), sparsity=sparsity, **options)
    facts = {}
    if schedule is None:
        names = ("val_pruned", "test_pruned")
        facts = scores_of(model, data, settings.metric, final, names)
    return Trained(model, _fit(model, data, settings, seed, pruner), facts)


def _fit(
    model: Module, data: Data, settings: FitConfig, seed: int, pruner: WeightPruner
) -> History:
    history = fit(model, data, config=settings, seed=seed, pruner=pruner)
    pruner.finalize()
    return history


def _answer(
    model: Module, units: HiddenUnits, keep: Tensor, example: tuple[Any, ...]
) -> None:
    """Update the next layer so that the kept units make up for the removed ones."""
    wanted = units.masks(model, keep)
    masks = WeightMasks(model, targets=lambda name, _: name in wanted)
    masks.set(wanted)
    reconstruct(masks, example, names=sorted(units.read_by))
    masks.make_permanent()


def prune_weights(
    dense: Module, data: Data, num_left: int, settings: FitConfig, seed: int
) -> Trained:
    """Remove single weights of all linear maps down to a number of parameters.

    Args:
        dense: The trained model; not changed.
        data: The graph.
        num_left: Parameters to keep, including biases and attention vectors.
        settings: Settings of the fine-tuning.
        seed: Random seed of dropout.
    """
    model = copy.deepcopy(dense)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    weights = {name for name in sizes if name.endswith("weight")}
    gone = sum(sizes.values()) - num_left
    sparsity = gone / sum(sizes[name] for name in weights)
    pruner = Pruner(
        model, Magnitude(), sparsity=sparsity, targets=lambda name, _: name in weights
    )
    return Trained(model, _fit(model, data, settings, seed, pruner), {})


def scores_of(
    model: Module, data: Data, metric: str, final: bool, names: tuple[str, str]
) -> dict[str, float]:
    """Return the scores of the validation nodes and, if final, of the test nodes."""
    masks = ("val_mask", "test_mask") if final else ("val_mask",)
    return {
        name: evaluate(model, data, mask, metric)
        for name, mask in zip(names, masks, strict=False)
    }
