"""Recording of a run: values, axes of parameters, and operations."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.compaction.operations import (
    AllChannels,
    Channelwise,
    HeadRecord,
    LinearMap,
    Operation,
    Rows,
    Value,
)
from gsparse.compaction.units import Units

Role = Literal["producer", "consumer"]


class Axis(NamedTuple):
    """One dimension of a parameter or buffer, with the unit of each index.

    In a tensor of three dimensions (an attention vector ``[1, H, C]``), the channels
    are the flattened dimensions from ``dim`` on.
    """

    name: str
    tensor: Tensor
    dim: int
    units: Tensor
    role: Role
    heads: HeadRecord | None
    """The convolution whose heads it belongs to, ordered by head."""


class Step(NamedTuple):
    """A traced call of the run."""

    label: str
    """Name of the function or layer."""
    path: str
    """Path of the module that called it."""
    value: Value | None
    """Value of the result, if it is traced."""
    numbers: tuple[Any, ...] = ()
    """Numbers in the code that determine constants of the result."""

    @property
    def signature(self) -> tuple[Any, ...]:
        """Equal for two calls with the same effect on channels, up to their numbers."""
        shape = None if self.value is None else (self.value.size, self.value.axis)
        return self.label, self.path, shape


class Recording:
    """Record of a run, extended by the rules of functions and layers while the model
    runs.

    Args:
        model: The model whose parameters are named.
    """

    def __init__(self, model: Module) -> None:
        self.units = Units()
        self.axes: dict[tuple[int, int], Axis] = {}
        self.operations: list[Operation] = []
        self.values: list[Value] = []
        self.inputs: dict[str, Value] = {}
        self.outputs: list[Value] = []
        self.run = 0
        """Number of the current run."""
        self.read: set[str] = set()
        """Names of the parameters that the run read."""
        self.pinned: dict[int, Tensor] = {}
        """Parameters that were also used on tensors that are not traced."""
        self.heads: dict[int, HeadRecord] = {}
        self.widths: list[tuple[Module, str, Tensor]] = []
        """Module attributes that hold the number of these units."""
        named = [*model.named_parameters(), *model.named_buffers()]
        self.names = {id(tensor): name for name, tensor in named}

    def value(self, units: Tensor, constant: Tensor, axis: int = -1) -> Value:
        """Create a value with these channels on dimension ``axis``, counted from the
        end.
        """
        value = Value(units, constant, axis)
        self.values.append(value)
        return value

    def add(self, operation: Operation) -> Value:
        """Record an operation, and return its output."""
        operation.run = self.run
        self.operations.append(operation)
        for value in operation.inputs:
            value.consumers.append(operation)
        operation.output.producer = operation
        return operation.output

    def record(
        self,
        kind: type[Operation],
        inputs: Sequence[Value],
        constant: Tensor,
        axis: int | None = None,
        **options: Any,  # noqa: ANN401 (of the operation)
    ) -> Value:
        """Record an operation whose output has the units of its first input."""
        first = inputs[0]
        out = self.value(first.units, constant, first.axis if axis is None else axis)
        return self.add(kind(inputs, out, **options))

    def axis(
        self,
        tensor: Tensor,
        dim: int,
        role: Role = "producer",
        heads: HeadRecord | None = None,
    ) -> Tensor:
        """Return the units of a dimension of a parameter; they are created on first
        use.
        """
        key = (id(tensor), dim)
        if key not in self.axes:
            size = (
                tensor.flatten(dim).size(dim) if tensor.dim() > 2 else tensor.size(dim)
            )
            name = self.names[id(tensor)]
            units = self.units.fresh(size)
            self.axes[key] = Axis(name, tensor, dim, units, role, heads)
        return self.axes[key].units

    def attach(
        self,
        value: Value,
        tensors: Iterable[Tensor | None],
        heads: HeadRecord | None = None,
    ) -> None:
        """Tie parameters with one entry per channel to the units of a value."""
        for tensor in tensors:
            if tensor is not None:
                dim = 1 if tensor.dim() > 2 else tensor.dim() - 1
                self.units.tie(value.units, self.axis(tensor, dim, heads=heads))

    def linear(
        self,
        x: Value,
        weight: Tensor,
        bias: Tensor | None = None,
        *,
        transposed: bool = False,
        heads: HeadRecord | None = None,
    ) -> Value:
        """Record ``x @ weight.T + bias``, or ``x @ weight + bias`` if transposed."""
        out_dim = 1 if transposed else 0
        self.units.tie(x.units, self.axis(weight, 1 - out_dim, "consumer"))
        units = self.axis(weight, out_dim, heads=heads)
        matrix = weight.detach().t() if transposed else weight.detach()
        out = self.value(units, LinearMap.constant_of(matrix, x.constant, bias))
        self.attach(out, [bias], heads)
        return self.add(LinearMap(x, out, weight, matrix, bias))

    def plus(self, x: Value, bias: Tensor) -> Value:
        """Record ``x + bias`` for a parameter with one entry per channel."""
        self.attach(x, [bias])
        constant = x.constant + bias.detach().flatten().cpu()
        return self.record(Channelwise, [x], constant, bias=bias)

    def sum(self, first: Value, second: Value) -> Value:
        """Record the sum of two tensors of the same shape."""
        self.units.tie(first.units, second.units)
        constant = first.constant + second.constant
        return self.record(Channelwise, [first, second], constant, is_sum=True)

    def rows(self, x: Value) -> Value:
        """Record an operation that mixes nodes within each channel; only zeros stay
        constant.
        """
        return self.record(Rows, [x], x.unknown.masked_fill(x.is_zero, 0.0))

    def stays_whole(self, value: Value) -> bool:
        """Return whether earlier operations need all channels, so that any operation is
        allowed.
        """
        kept = torch.zeros(self.units.count, dtype=torch.bool)
        for operation in self.operations:
            if isinstance(operation, AllChannels) and operation.always:
                for x in operation.inputs:
                    kept[x.units] = True
        return bool(kept[value.units].all())

    def close(self) -> None:
        """Finish the recording: values that no operation reads are outputs."""
        for axis in list(self.axes.values()):
            if id(axis.tensor) in self.pinned:
                x = self.value(axis.units, torch.full([axis.units.numel()], torch.nan))
                reason = "its layer is also used on tensors that are not traced"
                self.record(
                    AllChannels, [x], x.constant, reason=reason, zeros=True, always=True
                )
        for value in self.values:
            value.is_output |= not value.consumers
        self.outputs = [value for value in self.values if value.is_output]

    def head_record(self, module: Any, heads: int, channels: int) -> HeadRecord:  # noqa: ANN401
        """Return the record of the heads of a convolution; it is shared by all its
        calls.
        """
        if id(module) not in self.heads:
            self.heads[id(module)] = HeadRecord(module, heads, channels)
        return self.heads[id(module)]
