"""Report of a compaction: removed units, and dead units that are kept."""

from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.compaction.attention import Attention
from gsparse.compaction.dead import EVEN, LAST, Verdict
from gsparse.compaction.groups import ChannelGroup, Kind
from gsparse.compaction.operations import LinearMap
from gsparse.compaction.recording import Recording

CONSTANT = "constant but not 0"


class GroupReport(NamedTuple):
    """Result for one group of units."""

    name: str
    kind: Kind
    before: int
    after: int
    kept_dead: dict[str, int]
    """Number of kept units that are constant or unread, by reason."""


class CompactionReport(NamedTuple):
    """Size of a model before and after compaction."""

    groups: tuple[GroupReport, ...]
    parameters_before: int
    parameters_after: int
    multiply_adds_before: int
    multiply_adds_after: int
    unread: tuple[str, ...] = ()
    """Modules that no example used and that are not compacted."""
    skipped: tuple[str, ...] = ()
    """Graphs of other sizes on which the model failed, with the reasons; outputs were
    not compared on them."""

    def __str__(self) -> str:
        wide = min(max([5, *(len(group.name) for group in self.groups)]), 34)
        lines = [f"{'units':{wide}}  {'kind':6}  {'before':>9}  {'after':>9}"]
        for group in self.groups:
            name = (
                group.name if len(group.name) <= wide else f"…{group.name[1 - wide :]}"
            )
            lines.append(
                f"{name:{wide}}  {group.kind:6}  {group.before:>9,}  {group.after:>9,}"
            )
            for reason, count in group.kept_dead.items():
                lines.append(f"  {count:,} dead stay: {reason}"[:80])
        totals = {
            "parameters": (self.parameters_before, self.parameters_after),
            "multiply-adds": (self.multiply_adds_before, self.multiply_adds_after),
        }
        for name, (before, after) in totals.items():
            share = f"{after / max(before, 1):.1%}"
            lines.append(f"{name:13}  {before:>15,}  {after:>15,}  {share:>7} left")
        lines += [f"not used by any example: {name}" for name in self.unread]
        lines += [f"not checked on {why}"[:80] for why in self.skipped]
        return "\n".join(lines)


def report_groups(
    groups: list[tuple[ChannelGroup, Tensor]], recording: Recording, verdict: Verdict
) -> tuple[GroupReport, ...]:
    """Report for every group how much of it is kept, and why dead units are kept."""
    reasons = _reasons(recording, verdict)
    found = []
    for group, labels in groups:
        kept = verdict.kept[labels]
        dead: dict[str, int] = {}
        if group.kind != "output":
            counted = torch.zeros_like(kept)
            for reason, mask in reasons.items():
                here = kept & mask[labels] & ~counted
                counted |= here
                if bool(here.any()):
                    dead[reason] = int(here.sum())
        found.append(
            GroupReport(group.name, group.kind, group.size, int(kept.sum()), dead)
        )
    return tuple(found)


def _reasons(recording: Recording, verdict: Verdict) -> dict[str, Tensor]:
    """Return masks of the units that are kept although they are dead, by reason.

    Such units are constant wherever they are produced, or only an operation that reads
    all channels needs them.
    """
    made = torch.zeros_like(verdict.kept)
    varies, read = made.clone(), made.clone()
    for operation in recording.operations:
        if isinstance(operation, LinearMap):
            x, out = operation.inputs[0], operation.output
            rows = operation.matrix[out.needed.to(operation.matrix.device)]
            columns = (rows != 0).any(dim=0).cpu()
            read[verdict.classes[x.units[columns & ~x.is_zero]]] = True
            made[verdict.classes[out.units]] = True
            varies[verdict.classes[out.units[out.varies]]] = True
        if isinstance(operation, Attention):
            for value, counts in operation.scores:
                per_head = operation.record.alive.repeat_interleave(
                    operation.record.channels
                )
                read[verdict.classes[value.units[counts & per_head]]] = True
    for value in recording.outputs:
        read[verdict.classes[value.units]] = True
    constant, unread = made & ~varies, ~read
    pins = {name: verdict.reasons[name] for name in (LAST, EVEN)}
    others = {k: v for k, v in verdict.reasons.items() if k not in pins}
    dead = {name: mask & (unread | constant) for name, mask in others.items()}
    return dead | pins | {CONSTANT: constant & read}
