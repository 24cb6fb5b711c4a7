"""Rules of functions that write: item assignment, masks, scatter, copies."""

from typing import Any

import torch
from torch import Tensor

from gsparse.compaction.call import Call, Refused, Result, from_end
from gsparse.compaction.operations import Channelwise, Rows, Value

# ruff: noqa: ANN401 (an index is of many types)

_NAMED = "an entry is written by its position"


def scatter(call: Call) -> Value:
    """Trace ``target.scatter_add_(dim, index, source)`` and similar functions over
    nodes.
    """
    target, source = call.argument(0, "input"), _source(call)
    x, y = call.value_of(target), call.value_of(source)
    known = [value for value in (x, y) if value is not None]
    main = known[0]
    dim = from_end(call.argument(1, "dim"), target.dim())
    if dim == main.axis or len({(it.size, it.axis) for it in known}) != 1:
        raise Refused("; it writes to channels by their positions")
    if call.result.dim() + main.axis < 0 or call.result.size(main.axis) != main.size:
        raise Refused
    if len(known) == 2:
        call.recording.units.tie(known[0].units, known[1].units)
    zero = torch.stack([value.is_zero for value in known]).all(dim=0)
    if x is None and not call.on_zeros:
        zero = torch.zeros_like(zero)  # the old entries are not known
    if y is None:
        zero &= call.constant(source, main.constant) == 0
    return call.recording.record(Rows, known, main.unknown.masked_fill(zero, 0.0))


def _source(call: Call) -> Any:
    named = [call.kwargs[it] for it in ("src", "source", "value") if it in call.kwargs]
    return named[0] if named else call.argument(3, "src")


def assign(call: Call) -> Result:
    """Trace ``h[index] = value``."""
    target, index, value = call.argument(0, "input"), *_index_and_value(call)
    x, y = call.value_of(target), call.value_of(value)
    if x is None and y is None:
        raise Refused("; write h.masked_fill(mask, number) or torch.where()")
    axis = y.axis if x is None else x.axis  # type: ignore[union-attr]
    by_position = _touches(index, target.dim(), axis)
    if x is not None:
        if by_position:
            call.fixed(x, _NAMED)
            if y is not None:
                call.fixed(y, _NAMED)
            value = torch.nan if y is not None else value
        return _one_of(call, x, target, [value])
    assert y is not None
    if by_position or target.size(axis) != y.size:
        call.fixed(y, "it is written into another tensor")
        return None
    before = 0.0 if call.on_zeros else torch.nan
    return _one_of(call, y, target, [before])


def _index_and_value(call: Call) -> tuple[Any, Any]:
    if call.name == "__setitem__":
        return call.args[1], call.args[2]
    if call.argument(3, "accumulate", default=False):
        raise Refused("; write index_add()")
    return tuple(call.argument(1, "indices")), call.argument(2, "values")


def choose(call: Call) -> Value:
    """Trace ``torch.where(condition, first, second)``."""
    condition, first, second = call.args
    if not isinstance(condition, Tensor) or condition.dtype != torch.bool:
        first, condition = condition, first  # as a method of the first
    values = [call.value_of(first), call.value_of(second)]
    x = next(value for value in values if value is not None)
    if condition.dim() >= -x.axis and condition.size(x.axis) != 1:
        call.fixed(x, "a mask has an entry for every channel")
    return _one_of(call, x, call.result, [first, second])


def fill(call: Call) -> Value:
    """Trace functions that write a number to some or all places."""
    tensor, x = call.first()
    if call.name in ("zero_", "fill_"):
        number = 0.0 if call.name == "zero_" else call.argument(1, "value")
        constant = call.constant(number, x.constant)
        return call.recording.record(Channelwise, [x], constant)
    if call.name.startswith("index_fill"):
        if from_end(call.argument(1, "dim"), tensor.dim()) == x.axis:
            call.fixed(x, _NAMED)
        return _one_of(call, x, tensor, [call.argument(3, "value")])
    mask = call.argument(1, "mask")
    if mask.dim() >= -x.axis and mask.size(x.axis) != 1:
        call.fixed(x, "a mask has an entry for every channel")
    return _one_of(call, x, tensor, [call.argument(2, "value")])


def copy(call: Call) -> Result:
    """Trace ``target.copy_(source)``."""
    target, source = call.argument(0, "input"), call.argument(1, "other")
    y = call.value_of(source)
    if y is None:
        raise Refused
    if target.shape != source.shape:
        call.fixed(y, "it is written into another tensor")
        return None
    return call.recording.record(Channelwise, [y], y.constant)


def _one_of(call: Call, x: Value, tensor: Tensor, others: list[Any]) -> Value:
    """Trace entries that come from ``x`` or others; a channel is constant if
    all agree.
    """
    parts, constants = [x], [x.constant]
    for other in others:
        value = call.value_of(other)
        if value is x:
            continue
        if value is None:
            wide = isinstance(other, Tensor) and other.dim() >= -x.axis
            if wide and other.size(x.axis) != 1:
                call.fixed(x, "values for every channel come from elsewhere")
            constants.append(call.constant(other, x.constant))
            continue
        if (value.size, value.axis) != (x.size, x.axis):
            raise Refused("; what is written must have the same channels")
        call.recording.units.tie(x.units, value.units)
        parts.append(value)
        constants.append(value.constant.to(x.constant))
    table = torch.stack(constants)
    equal = (table == table[0]).all(dim=0)  # never of NaN
    constant = x.constant.masked_fill(~equal, torch.nan)
    return call.recording.record(Rows, parts, constant)


def _touches(index: Any, num_dims: int, axis: int) -> bool:
    """Return whether an index names channels by their positions."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(part is None or isinstance(part, bool) for part in parts):
        return True
    taken = [_dims(part) for part in parts if part is not Ellipsis]
    if Ellipsis in [part for part in parts if not isinstance(part, Tensor)]:
        place = next(i for i, part in enumerate(parts) if part is Ellipsis)
        parts[place : place + 1] = [slice(None)] * (num_dims - sum(taken))
    place, channel = 0, num_dims + axis
    for part in parts:
        if place <= channel < place + _dims(part):
            return not (isinstance(part, slice) and part == slice(None))
        place += _dims(part)
    return False


def _dims(part: Any) -> int:
    """Return the number of dimensions that a part of an index takes."""
    masks = isinstance(part, Tensor) and part.dtype in (torch.bool, torch.uint8)
    return part.dim() if masks else 1
