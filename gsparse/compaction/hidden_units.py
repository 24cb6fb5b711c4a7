"""The hidden units of a traced model: importances, masks, and masks of dead units."""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.compaction.groups import ChannelGroup, channel_groups
from gsparse.prune import Magnitude, Pruner, RandomWeight, Units, WeightMasks


@dataclass(frozen=True)
class HiddenUnits:
    """The units of the only hidden layer of a model.

    Args:
        group: The hidden channels of a traced model; see :meth:`of`.
    """

    group: ChannelGroup

    @classmethod
    def of(cls, model: Module, example: tuple[Any, ...]) -> "HiddenUnits":
        """Trace a model.

        Args:
            model: A model with one hidden layer.
            example: Arguments of the model.

        Raises:
            ValueError: If the model has no or several hidden layers.
        """
        groups = channel_groups(model, example)
        found = [it for it in groups if it.kind == "hidden" and not it.fixed]
        if len(found) != 1:
            raise ValueError(
                f"the model must have one hidden layer (got {len(found)}); the shape "
                "of several is not searched for"
            )
        return cls(found[0])

    @property
    def structure(self) -> Units:
        """The structure that removes a unit with all the parameters that make it."""
        return Units([self.group])

    @property
    def made_by(self) -> set[str]:
        """Names of the weights, biases and attention vectors that make the units."""
        return {it.parameter for it in self.group.producers}

    @property
    def read_by(self) -> set[str]:
        """Names of the weights of the next layer."""
        return {it.parameter for it in self.group.consumers}

    def importances(self, model: Module, seed: int | None = None) -> Tensor:
        """Return the mean squared weight of every unit, or random numbers: ``[H, C]``.

        Args:
            model: The traced model; not changed.
            seed: Seed of random importances; None for magnitudes.
        """
        probe = Pruner(
            copy.deepcopy(model),
            Magnitude() if seed is None else RandomWeight(seed),
            sparsity=0.0,
            structure=self.structure,
            targets=self.targets,
        )
        return probe.group_importances().view(self.group.heads, -1)

    def targets(self, name: str, parameter: Tensor) -> bool:
        """Whether a parameter makes the units; pass it as ``targets`` to a pruner."""
        return name in self.made_by

    def masks(self, model: Module, keep: Tensor) -> dict[str, Tensor]:
        """Return masks of all parameters that make or read a unit.

        Args:
            model: The traced model.
            keep: True for the units to keep, ``[H, C]`` or ``[H * C]``.
        """
        found: dict[str, Tensor] = {}
        for member in (*self.group.producers, *self.group.consumers):
            parameter = model.get_parameter(member.parameter)
            mask = found.setdefault(
                member.parameter, torch.ones_like(parameter, dtype=torch.bool)
            )
            rows = member.rows(mask, self.group.size)
            rows.logical_and_(keep.view(-1, *[1] * (rows.dim() - 1)))
        return found


def mask_dead_units(masks: WeightMasks, example: tuple[Any, ...]) -> list[str]:
    """Mask the biases and attention vectors of hidden units without any weight.

    A unit without weights still has a bias. If that is trained further, the unit is a
    constant other than 0 and :func:`~gsparse.compaction.compact` cannot remove it.

    Args:
        masks: The masks of a pruner; not changed, the model gets additional ones.
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
