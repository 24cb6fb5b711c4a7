"""Which units of a recorded model have to stay."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from gsparse.compaction.fold import find_targets
from gsparse.compaction.operations import HeadRecord, LinearMap, Needs
from gsparse.compaction.recording import Recording

EVEN = "heads keep equal widths"
LAST = "a layer keeps one unit"


@dataclass
class Verdict:
    """What stays.

    Shapes:
        - **classes:** number of the unit of every channel, :math:`(n,)`
        - **kept:** by these numbers, :math:`(n,)`
    """

    classes: Tensor
    kept: Tensor
    folds: list[tuple[LinearMap, Tensor]]
    reasons: dict[str, Tensor]
    """Why units stay that are constant or that no weight reads."""
    heads: dict[int, tuple[Tensor, int]] = field(default_factory=dict)
    """Of each convolution with heads, which of them stay and how wide they are."""


def judge(recording: Recording) -> Verdict:
    r"""Removes what cannot be noticed, to a fixed point.

    Backwards from the outputs, a channel is needed if a needed step reads it and it is
    not 0. A constant that a linear map reads is not needed either where :math:`Wc` can
    be added to a bias. A unit stays if any of its channels is needed: all tensors that
    it is tied to lose it together or not at all. One pass finds everything, since a
    run has no cycles; it is repeated if a constant turns out to stay for another
    reader, or units have to stay so that all heads are equally wide and no layer is
    empty.
    """
    find_targets(recording)
    classes = recording.units.classes()
    unfoldable = torch.zeros(classes.numel(), dtype=torch.bool)
    pinned = {reason: torch.zeros_like(unfoldable) for reason in (EVEN, LAST)}
    while True:
        needs = Needs(classes, unfoldable)
        kept = needed_units(recording, needs, pinned[EVEN] | pinned[LAST])
        verdict = Verdict(classes, kept, needs.folds, needs.reasons | pinned)
        both = torch.zeros_like(kept)
        for linear, fold in needs.folds:
            both[classes[linear.inputs[0].units[fold]]] = True
        both &= kept
        if bool(both.any()):
            unfoldable = unfoldable | both
            continue
        more = _even_heads(recording, verdict)
        if bool((more & ~kept).any()):
            pinned[EVEN] |= more
            continue
        more = _empty_layers(recording, verdict)
        if not bool(more.any()):
            return verdict
        pinned[LAST] |= more


def needed_units(recording: Recording, needs: Needs, pinned: Tensor) -> Tensor:
    """Which units are needed or pinned, by their numbers.

    A constant unit that no step needs may stay because it is tied to another one or
    pinned. Steps that skip it as a 0 still read it, so the rows that make it count as
    needed in another pass: it stays the constant that it was.
    """
    maps = [it for it in recording.operations if isinstance(it, LinearMap)]
    while True:
        kept = _pass(recording, needs) | pinned
        found = False
        for linear in maps:
            out = linear.output
            new = kept[needs.classes[out.units]] & ~out.varies
            new &= ~out.needed & ~linear.stays
            linear.stays |= new
            found |= bool(new.any())
        if not found:
            return kept


def _pass(recording: Recording, needs: Needs) -> Tensor:
    """One pass backwards; which units are needed."""
    needs.folds.clear()
    needs.reasons.clear()
    for value in recording.values:
        value.needed = torch.full_like(value.needed, value.is_output)
    for record in recording.heads.values():
        record.alive = torch.zeros_like(record.alive)
    for operation in reversed(recording.operations):
        operation.pull(needs)
    kept = torch.zeros_like(needs.unfoldable)
    for value in recording.values:
        kept[needs.classes[value.units[value.needed]]] = True
    return kept


def _even_heads(recording: Recording, verdict: Verdict) -> Tensor:
    """Units to keep so that what is left of every head is of one size."""
    more = torch.zeros_like(verdict.kept)
    for key, record in recording.heads.items():
        blocks = [verdict.classes[block] for block in record.blocks]
        common = [verdict.classes[block] for block in record.common]
        alive = _alive(record, [verdict.kept[block] for block in blocks])
        parts = common + [block[h] for block in blocks for h in alive.nonzero()[:, 0]]
        width = max(int(verdict.kept[part].sum()) for part in parts)
        for part in parts:
            missing = width - int(verdict.kept[part].sum())
            more[part[~verdict.kept[part]][:missing]] = True
        verdict.heads[key] = alive, width
    return more


def _alive(record: HeadRecord, kept: list[Tensor]) -> Tensor:
    """Heads that stay: of a concatenation those with a unit left, of a mean those
    that are not 0.
    """
    alive = record.alive
    if not record.common:
        alive = torch.stack(kept).any(dim=2).any(dim=0)
    if not bool(alive.any()):
        alive = torch.arange(record.heads) == 0
    return alive


def _empty_layers(recording: Recording, verdict: Verdict) -> Tensor:
    """The first unit of each layer that would have none."""
    more = torch.zeros_like(verdict.kept)
    axes = [axis.units for axis in recording.axes.values()]
    for units in axes + [value.units for value in recording.values]:
        labels = verdict.classes[units]
        if labels.numel() > 0 and not bool(verdict.kept[labels].any()):
            more[labels[0]] = True
    return more
