"""Whole rows, columns, heads or units pruned in an experiment, and trained on."""

import copy
import inspect
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.masks import within
from gsparse.bench.experiment.methods import ANSWERED, pruner_class, pruners
from gsparse.bench.experiment.pruning import AT_FIRST, MEANWHILE, make_pruner
from gsparse.compaction import channel_groups
from gsparse.nn.calling import model_arguments
from gsparse.prune import WeightMasks
from gsparse.prune.structured.structures import Columns, Heads, Rows, Structure, Units
from gsparse.train import fit
from gsparse.train.fit import prepare

Shape = Literal["rows", "columns", "heads", "units"]


def check_structure(structure: str, pruner: str, model: str) -> None:
    """Refuse a structure that there is not, or not for this pruner or model."""
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
    """Prune whole groups of a model, and train on what is left.

    Args:
        config: With a pruner that takes a structure, and a weight sparsity.
        seed: Of the first weights, and of what the pruner draws.
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
    groups = _groups(structure, model, config, model_arguments(prepare(data)))
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
    switch_off(pruner.masks, model_arguments(prepare(data)))
    fit(model, data, config=settings, seed=seed)
    return model


def switch_off(masks: WeightMasks, example: tuple[Any, ...]) -> list[str]:
    """Mask what is left of hidden units that have lost all their weights.

    A unit without weights still has a bias: trained on, it is a constant that is not 0,
    and cannot be taken out. So its bias and attention vectors go with the weights.

    Args:
        masks: Of a pruner; not changed, others are put on the model.
        example: Arguments of the model.

    Returns:
        Names of the parameters that have new masks.
    """
    wanted: dict[str, Tensor] = {}
    sizes = dict(masks.model.named_parameters())
    for group in channel_groups(masks.model, example):
        makers = [it for it in group.producers if sizes[it.parameter].dim() == 2]
        if group.kind != "hidden" or any(
            it.parameter not in masks.targets for it in makers
        ):
            continue
        alive = torch.zeros(group.size, dtype=torch.bool)
        for it in makers:
            alive |= it.rows(masks[it.parameter], group.size).any(1).cpu()
        for it in group.producers:
            if it in makers or it.parameter in masks.targets or bool(alive.all()):
                continue
            like = sizes[it.parameter]
            keep = wanted.setdefault(
                it.parameter, torch.ones(like.shape, dtype=torch.bool)
            )
            keep.view(-1)[it.start : it.start + group.size] = alive
    if wanted:
        WeightMasks(masks.model, lambda name, _: name in wanted).set(wanted)
    return list(wanted)


def _groups(
    name: str, model: Module, config: Config, example: tuple[Any, ...]
) -> Structure:
    if name == "units":
        return Units(channel_groups(model, example))
    if name == "heads":
        return Heads(int(config.recipe().options["heads"]))
    return Rows() if name == "rows" else Columns()
