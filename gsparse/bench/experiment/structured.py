"""Prune whole rows, columns, heads or units of a model, and fine-tune it."""

import copy
import inspect
from dataclasses import replace
from typing import Any, Literal, get_args

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.masks import within
from gsparse.bench.experiment.methods import ANSWERED, pruner_class, pruners
from gsparse.bench.experiment.pruning import AT_FIRST, MEANWHILE, make_pruner
from gsparse.compaction import channel_groups, mask_dead_units
from gsparse.prune import Columns, Heads, Rows, Structure, Units
from gsparse.train import fit
from gsparse.train.fit import prepare

Shape = Literal["rows", "columns", "heads", "units"]


def check_structure(structure: str, pruner: str, model: str) -> None:
    """Raise if a structure is unknown, or does not fit the pruner or the model."""
    if structure not in get_args(Shape):
        known = ", ".join(get_args(Shape))
        raise ValueError(f"'structure' must be one of {known} (got {structure!r})")
    if structure == "heads" and model != "gat":
        raise ValueError(f"'structure' heads is for model gat (got {model})")
    takes = [name for name in pruners() if _takes_structure(name)]
    if pruner not in takes:
        raise ValueError(
            f"'structure' is for pruners of groups, {', '.join(takes)} (got {pruner})"
        )


def _takes_structure(pruner: str) -> bool:
    takes = inspect.signature(pruner_class(pruner)).parameters
    return "structure" in takes and pruner != ANSWERED


def prune_structured(
    config: Config, seed: int, data: Data, dense: Module, structure: str
) -> Module:
    """Prune whole groups of weights of a model, and fine-tune it.

    Args:
        config: Settings with a pruner that takes a structure, and a weight sparsity.
        seed: Random seed of the first weights and of the pruner.
        data: The graph to fit on.
        dense: The model trained with all weights; not changed.
        structure: ``"rows"``, ``"columns"``, ``"heads"`` or ``"units"``.

    Returns:
        The model with its masks.
    """
    assert config.pruner is not None
    assert config.weight_sparsity_target is not None
    chosen = config.recipe()
    fresh = config.pruner in (*AT_FIRST, *MEANWHILE)
    model = chosen.build(data, seed) if fresh else copy.deepcopy(dense)
    settings = within(chosen.fit, config.epochs)
    groups = _groups(structure, model, config, arguments(data))
    pruner = make_pruner(
        config.pruner,
        model,
        config.weight_sparsity_target,
        data,
        settings,
        seed,
        structure=groups,
    )
    if not pruner.done:
        whole = replace(settings, patience=settings.epochs)
        fit(model, data, config=whole, seed=seed, pruner=pruner)
    pruner.finalize()
    mask_dead_units(pruner.masks, arguments(data))
    fit(model, data, config=settings, seed=seed)
    return model


def arguments(data: Data) -> tuple[Any, ...]:
    """Return the arguments of a standard model, with edge weights if there are any."""
    given = prepare(data)
    weight = given.get("edge_weight")
    found = (given.x, given.edge_index)
    return found if weight is None else (*found, weight)


def _groups(
    name: str, model: Module, config: Config, example: tuple[Any, ...]
) -> Structure:
    if name == "units":
        return Units(channel_groups(model, example))
    if name == "heads":
        return Heads(int(config.recipe().options["heads"]))
    return Rows() if name == "rows" else Columns()
