"""Rules of functions that move channels: concatenation, stacks, slices, splits."""

from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from gsparse.compaction.call import Call, Refused, from_end
from gsparse.compaction.operations import (
    AllChannels,
    Channelwise,
    Concat,
    Rows,
    Value,
)

# ruff: noqa: ANN401 (an index is of many types)


def concatenate(call: Call) -> Value:
    """Trace a concatenation of channels or of nodes."""
    tensors = call.argument(0, "tensors")
    dim = from_end(call.argument(1, "dim", 0), call.result.dim())
    values = [call.value_of(tensor) for tensor in tensors]
    axis = call.values[0].axis
    if dim == axis:
        parts = [
            _foreign(call, tensor.size(dim), tensor) if value is None else value
            for tensor, value in zip(tensors, values, strict=True)
        ]
        units = torch.cat([part.units for part in parts])
        constant = torch.cat([part.constant for part in parts])
        return call.recording.add(
            Concat(parts, call.recording.value(units, constant, axis))
        )
    return _tied(call, values, axis)


def _foreign(call: Call, size: int, like: Tensor) -> Value:
    """Create a value for channels that are not traced; none of them can be removed."""
    units = call.recording.units.fresh(size)
    x = call.recording.value(units, torch.full([size], torch.nan, dtype=like.dtype))
    call.fixed(x, "they are concatenated from a tensor that is not traced")
    return x


def _tied(call: Call, values: list[Value | None], axis: int) -> Value:
    """Tie several tensors with the same channels; constants equal in all stay
    constant.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len({(v.size, v.axis) for v in known}) != 1:
        raise Refused("; all of these tensors have to come from the features")
    for value in known[1:]:
        call.recording.units.tie(known[0].units, value.units)
    constants = torch.stack([value.constant for value in known])
    equal = (constants == constants[0]).all(dim=0)  # never of NaN
    constant = constants[0].masked_fill(~equal, torch.nan)
    return call.recording.record(Channelwise, known, constant, axis)


def stack(call: Call) -> Value:
    """Trace ``stack``, which adds a dimension before or after the channels."""
    values = [call.value_of(tensor) for tensor in call.argument(0, "tensors")]
    axis = call.values[0].axis
    dim = from_end(call.argument(1, "dim", 0), call.result.dim())
    return _tied(call, values, axis - 1 if dim >= axis else axis)


def unsqueeze(call: Call) -> Value:
    """Trace ``unsqueeze``, which adds a dimension of size 1."""
    _, x = call.first()
    dim = from_end(call.argument(1, "dim"), call.result.dim())
    axis = x.axis - 1 if dim >= x.axis else x.axis
    return call.recording.record(Channelwise, [x], x.constant, axis)


def squeeze(call: Call) -> Value:
    """Trace ``squeeze``, which must not remove the dimension of the channels."""
    tensor, x = call.first()
    dims = call.argument(1, "dim")
    if call.result.shape == tensor.shape:
        return call.recording.record(Channelwise, [x], x.constant)
    if dims is None:
        raise Refused("; name its 'dim'")
    places = [
        from_end(d, tensor.dim()) for d in ([dims] if isinstance(dims, int) else dims)
    ]
    gone = [place for place in places if tensor.size(place) == 1]
    if x.axis in gone:
        raise Refused("; it takes the dimension of the channels away")
    axis = x.axis + sum(place > x.axis for place in gone)
    return call.recording.record(Channelwise, [x], x.constant, axis)


def pick(call: Call) -> Value:
    """Trace indexing of nodes, or of channels by their positions."""
    tensor, x = call.first()
    index, dim = call.argument(1, "index"), None
    if call.name != "__getitem__":
        dim = from_end(call.argument(1, "dim"), tensor.dim())
        index = call.argument(2, "index")
        if call.name == "narrow":
            start = call.argument(2, "start")
            index = slice(start, start + call.argument(3, "length"))
    elif isinstance(index, tuple):
        if len(index) == 2 and tensor.dim() == 2 and isinstance(index[0], slice):
            dim, index = -1, index[1]
        else:
            raise Refused
    if index is None or (isinstance(index, tuple) and None in index):
        raise Refused("; write unsqueeze()")
    if dim is None or dim != x.axis:
        if call.name == "select" and dim is not None and dim > x.axis:
            return call.recording.record(Rows, [x], x.constant, x.axis + 1)
        if tensor.dim() + x.axis == 0 or (
            isinstance(index, Tensor) and index.dtype == torch.bool and index.dim() > 1
        ):
            raise Refused
        return call.recording.record(Rows, [x], x.constant)
    if isinstance(index, int):
        raise Refused("; take a slice of one channel instead")
    if isinstance(index, slice) and index == slice(None):
        return call.recording.record(Rows, [x], x.constant)
    return _sliced(call, x, index)


def _sliced(call: Call, x: Value, index: Any) -> Value:
    """Trace a selection of channels by position, which all have to be kept."""
    parts = (index.start, index.stop) if isinstance(index, slice) else ()
    varying = isinstance(index, Tensor) and not call.is_constant(index)
    if varying or not call.same(*parts):
        raise Refused("; the positions of its channels depend on the example")
    index = index.cpu() if isinstance(index, Tensor) else index
    out = call.recording.value(x.units[index], x.constant[index], x.axis)
    reason = "taken by their positions"
    return call.recording.add(AllChannels([x], out, reason, always=True))


def split(call: Call) -> list[Value]:
    """Trace a split of the nodes, or of the channels by their positions."""
    tensor, x = call.first()
    if from_end(call.argument(2, "dim", 0), tensor.dim()) != x.axis:
        return [call.recording.record(Rows, [x], x.constant) for _ in call.result]
    ends = list(accumulate((part.size(x.axis) for part in call.result), initial=0))
    return [_sliced(call, x, slice(*ends)) for ends in pairwise(ends)]
