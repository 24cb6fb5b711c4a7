"""Groups of parameters that belong to the same units of a model."""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.compaction.operations import AllChannels
from gsparse.compaction.recording import Axis, Recording
from gsparse.compaction.trace import trace
from gsparse.nn.final_masks import unmasked_copy

Kind = Literal["input", "hidden", "output"]


class Member(NamedTuple):
    """Position of a group in a parameter: unit ``i`` has index ``start + i``."""

    parameter: str
    """Name in ``named_parameters()`` or ``named_buffers()``."""
    dim: int
    """Dimension; for an attention vector ``[1, H, C]`` it is 1, and the index refers to
    ``parameter.flatten(1)``."""
    start: int

    def rows(self, tensor: Tensor, size: int) -> Tensor:
        """Return the part of a parameter that belongs to the group as a view with one
        row per unit.
        """
        if tensor.dim() > 2:
            tensor = tensor.flatten(self.dim)
        part = tensor.movedim(self.dim, 0)[self.start : self.start + size]
        return part if part.dim() > 1 else part.unsqueeze(1)


class ChannelGroup(NamedTuple):
    """Units of one layer, and all parameters that are removed with a unit.

    Unit ``i`` is removed by removing index ``start + i`` of every member. Zeros in all
    of its producers switch it off, if the following activations map zero to zero.
    """

    name: str
    """Module or argument that produces the units."""
    kind: Kind
    size: int
    heads: int
    """Number of concatenated attention heads, otherwise 1. The units are ordered by
    head, and all remaining heads must keep the same number of units."""
    producers: tuple[Member, ...]
    """Rows of weights that produce the units, and parameters with one entry per unit:
    biases, attention vectors, scales and shifts of norms."""
    consumers: tuple[Member, ...]
    """Columns of weights that read the units."""
    buffers: tuple[Member, ...]
    """Statistics of norms."""
    fixed: str
    """Reason why no unit may be removed; empty if units may be removed."""


def channel_groups(model: Module, example: tuple[Any, ...]) -> list[ChannelGroup]:
    """Return the groups of units of a model, found by one run on an example.

    Units that are added, compared or normalised together form one group: both sides of
    a residual, the heads of an attention layer that averages them, all layers of a
    maximum of JumpingKnowledge. Parts of a concatenation are separate groups. The
    groups cover every parameter that produces or reads channels, and do not overlap.

    It costs a copy of the model and one forward pass.

    Args:
        model: Any module that :func:`~gsparse.compaction.compact` supports; not
            changed.
        example: The tuple of its arguments.

    Returns:
        The groups in the order of the run.

    Raises:
        ValueError: If the model uses an unknown operation on its channels.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.compaction import channel_groups
        >>> model = GCN(5, 4, num_layers=2, out_channels=3)
        >>> example = torch.ones(2, 5), torch.tensor([[0, 1], [1, 0]])
        >>> for group in channel_groups(model, example):
        ...     print(group.kind, group.name, group.size, group.consumers)
        input x 5 (Member(parameter='convs.0.lin.weight', dim=1, start=0),)
        hidden convs.0.lin 4 (Member(parameter='convs.1.lin.weight', dim=1, start=0),)
        output convs.1.lin 3 ()
    """
    model = unmasked_copy(model)
    return groups_of(trace(model, example), model)


def groups_of(recording: Recording, model: Module) -> list[ChannelGroup]:
    """Return the groups of a run."""
    return [group for group, _ in groups_with_units(recording, model)]


def groups_with_units(
    recording: Recording, model: Module
) -> list[tuple[ChannelGroup, Tensor]]:
    """Return the groups of a run and the class of each of their units."""
    classes = recording.units.classes()
    axes = list(recording.axes.values())
    inputs = [(name, value.units) for name, value in recording.inputs.items()]
    tables = [classes[units] for _, units in inputs]
    tables += [classes[axis.units] for axis in axes]
    places: dict[int, list[tuple[int, int]]] = {}
    for number, table in enumerate(tables):
        for position, label in enumerate(table.tolist()):
            places.setdefault(label, []).append((number, position))
    found: list[tuple[ChannelGroup, Tensor]] = []
    buffers = {name for name, _ in model.named_buffers()}
    kinds = _Kinds(recording, classes)
    for run in _runs(tables, places):
        members = places[run[0]]
        name = _name(members, inputs, axes, len(run))
        group = kinds.group(name, run, members, axes, len(inputs), buffers)
        found.append((group, torch.tensor(run)))
    return found


def _runs(
    tables: list[Tensor], places: dict[int, list[tuple[int, int]]]
) -> list[list[int]]:
    """Return runs of classes that are adjacent wherever they occur."""
    runs: list[list[int]] = []
    seen: set[int] = set()
    for table in tables:
        last: int | None = None
        for label in table.tolist():
            if label in seen:
                last = None
                continue
            seen.add(label)
            beside = last is not None and places[label] == [
                (number, position + 1) for number, position in places[last]
            ]
            if beside:
                runs[-1].append(label)
            else:
                runs.append([label])
            last = label
    return runs


def _name(
    members: list[tuple[int, int]],
    inputs: list[tuple[str, Tensor]],
    axes: list[Axis],
    size: int,
) -> str:
    """Return the name of the argument or module that produces the units, with their
    range.
    """
    count = len(inputs)
    made = [m for m in members if m[0] < count or axes[m[0] - count].role == "producer"]
    number, start = (made or members)[0]
    if number < count:
        name, width = inputs[number][0], inputs[number][1].numel()
    else:
        axis = axes[number - count]
        name, width = axis.name.rpartition(".")[0] or axis.name, axis.units.numel()
    whole = size * sum(other == number for other, _ in members) == width
    return name if whole else f"{name}[{start}:{start + size}]"


class _Kinds:
    """Masks of the units that are inputs, outputs, heads or fixed."""

    def __init__(self, recording: Recording, classes: Tensor) -> None:
        def mask(parts: list[Tensor]) -> Tensor:
            out = torch.zeros(classes.numel(), dtype=torch.bool)
            for part in parts:
                out[classes[part]] = True
            return out

        self.inputs = mask([value.units for value in recording.inputs.values()])
        self.outputs = mask([value.units for value in recording.outputs])
        self.fixed: dict[str, Tensor] = {}
        for operation in recording.operations:
            if isinstance(operation, AllChannels) and operation.always:
                units = [value.units for value in operation.inputs]
                old = self.fixed.get(operation.reason, mask([]))
                self.fixed[operation.reason] = old | mask(units)
        self.heads = [
            (mask([block.flatten()]), record.heads)
            for record in recording.heads.values()
            for block in record.blocks
        ]

    def group(
        self,
        name: str,
        run: list[int],
        members: list[tuple[int, int]],
        axes: list[Axis],
        num_inputs: int,
        buffers: set[str],
    ) -> ChannelGroup:
        kind: Kind = "output" if self.outputs[run[0]] else "hidden"
        kind = "input" if self.inputs[run[0]] and kind == "hidden" else kind
        heads = [count for mask, count in self.heads if mask[run[0]]]
        fixed = [reason for reason, mask in self.fixed.items() if mask[run[0]]]
        parts: dict[str, list[Member]] = {"producer": [], "consumer": [], "buffer": []}
        for number, start in members:
            if number >= num_inputs:
                axis = axes[number - num_inputs]
                role = "buffer" if axis.name in buffers else axis.role
                parts[role].append(Member(axis.name, axis.dim, start))
        return ChannelGroup(
            name,
            kind,
            len(run),
            heads[0] if heads and len(run) % heads[0] == 0 else 1,
            tuple(parts["producer"]),
            tuple(parts["consumer"]),
            tuple(parts["buffer"]),
            fixed[0] if fixed else "",
        )
