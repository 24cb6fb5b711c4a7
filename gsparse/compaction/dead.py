"""Decide which units of a recorded model are kept."""

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
    """Which units and heads are kept, and which constants are folded into biases.

    Shapes:
        - **classes:** unit of every channel, :math:`(n,)`
        - **kept:** indexed by unit, :math:`(n,)`
    """

    classes: Tensor
    kept: Tensor
    folds: list[tuple[LinearMap, Tensor]]
    reasons: dict[str, Tensor]
    """Reasons to keep units that are constant or that no weight reads."""
    heads: dict[int, tuple[Tensor, int]] = field(default_factory=dict)
    """For each convolution with heads, the kept heads and their width."""


def judge(recording: Recording) -> Verdict:
    r"""Remove units that do not affect any output, up to a fixed point.

    Going backwards from the outputs, a channel is needed if a needed operation reads it
    and it is not 0. A constant that a linear map reads is not needed if :math:`Wc` can
    be added to a bias. A unit is kept if any of its channels is needed, since all
    tensors that share it lose it together. One pass is enough, since a run has no
    cycles. It is repeated if another reader keeps a constant, or if units must be kept
    so that heads have equal widths and no layer is empty.
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
    """Return a boolean for each unit, True if it is needed or pinned.

    A constant unit that no operation needs may be kept because it is tied to another
    one or pinned. Operations that skip it as a 0 still read it, so the rows that
    produce it are marked as needed in another pass and it keeps its constant.
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
    """Run one backward pass and return which units are needed."""
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
    """Return the units to keep so that all heads have the same width."""
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
    """Return which heads are kept: those with a kept unit in a concatenation, those
    that are not 0 in a mean.
    """
    alive = record.alive
    if not record.common:
        alive = torch.stack(kept).any(dim=2).any(dim=0)
    if not bool(alive.any()):
        alive = torch.arange(record.heads) == 0
    return alive


def _empty_layers(recording: Recording, verdict: Verdict) -> Tensor:
    """Return the first unit of each layer that would be empty."""
    more = torch.zeros_like(verdict.kept)
    axes = [axis.units for axis in recording.axes.values()]
    for units in axes + [value.units for value in recording.values]:
        labels = verdict.classes[units]
        if labels.numel() > 0 and not bool(verdict.kept[labels].any()):
            more[labels[0]] = True
    return more
