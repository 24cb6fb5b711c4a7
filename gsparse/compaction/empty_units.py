"""Masks on the other parameters of hidden units that have lost all their weights."""

from typing import Any

import torch
from torch import Tensor

from gsparse.compaction.groups import channel_groups
from gsparse.prune import WeightMasks


def mask_empty_units(masks: WeightMasks, example: tuple[Any, ...]) -> list[str]:
    """Mask the biases and attention vectors of units that have lost all their weights.

    A unit without weights still has a bias: after more training it is a constant other
    than 0, and cannot be removed by compaction.

    Args:
        masks: Masks of a pruner; not changed, others are put on the model.
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
