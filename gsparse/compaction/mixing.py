"""Rules of functions that mix nodes or channels: products, sums, softmax, norms."""

import torch

from gsparse.compaction.call import Call, Refused, Result, from_end
from gsparse.compaction.operations import (
    AllChannels,
    Channelwise,
    Rows,
    Value,
)
from gsparse.compaction.pointwise import channelwise

_LARGEST = ["amax", "amin", "max", "min"]
_ADDMM = ("input", "mat1")


def rows(call: Call) -> Value:
    """Trace functions that mix, copy or sum nodes within a channel."""
    values = call.values
    if len({(value.size, value.axis) for value in values}) != 1:
        raise Refused
    x = values[0]
    if call.result.dim() + x.axis < 1 or call.result.size(x.axis) != x.size:
        raise Refused
    for value in values[1:]:
        call.recording.units.tie(x.units, value.units)
    zero = torch.stack([value.is_zero for value in values]).all(dim=0)
    return call.recording.record(Rows, values, x.unknown.masked_fill(zero, 0.0))


def gather(call: Call) -> Value:
    """Trace ``gather``: nodes are picked by an index within each channel."""
    tensor, x = call.first()
    if from_end(call.argument(1, "dim"), tensor.dim()) == x.axis:
        raise Refused("; it picks channels by their positions")
    return rows(call)


def linear(call: Call) -> Value:
    """Trace a linear map by a parameter."""
    _, x = call.first()
    weight, bias = call.argument(1, "weight"), call.argument(2, "bias")
    known = call.is_parameter(weight) and (bias is None or call.is_parameter(bias))
    if not known or x.axis != -1:
        raise Refused("; its weight has to be a parameter")
    return call.recording.linear(x, weight, bias)


def product(call: Call) -> Value:
    """Trace a product with a parameter from the right, or with a matrix over nodes."""
    left, right = call.argument(0, "input"), call.argument(1, "other")
    right = call.kwargs.get("mat2", right)
    x, y = call.value_of(left), call.value_of(right)
    if x is not None and x.axis == -1 and call.is_parameter(right) and right.dim() == 2:
        return call.recording.linear(x, right, transposed=True)
    if x is None and y is not None and y.axis == -1 and right.dim() == 2:
        return call.recording.rows(y)
    raise Refused("; a factor from the right has to be a parameter")


def scaled_sum(call: Call) -> Value:
    """Trace ``beta * x + alpha * y @ weight``, as in ``GCN2Conv``."""
    x, y = (call.value_of(call.argument(i, name)) for i, name in enumerate(_ADDMM))
    weight = call.argument(2, "mat2")
    if x is None or y is None or not call.is_parameter(weight):
        raise Refused("; its weight has to be a parameter")
    made = call.recording.linear(y, weight, transposed=True)
    parts = [(made, call.kwargs.get("alpha", 1)), (x, call.kwargs.get("beta", 1))]
    known = call.same(*(factor for _, factor in parts))
    first, second = (
        call.recording.record(
            Channelwise, [v], v.constant * (factor if known else torch.nan), axis=-1
        )
        for v, factor in parts
    )
    return call.recording.sum(first, second)


def reduce(call: Call) -> Result:
    """Trace a reduction: over nodes like propagation; over channels it reads all of
    them.
    """
    if len(call.values) == 2:
        return channelwise(call)  # the larger of two
    tensor, x = call.first()
    dim = call.argument(1, "dim")
    if call.name == "norm":
        dim = call.argument(2, "dim")
    dims = [dim] if isinstance(dim, int) else dim
    dims = dims or list(range(tensor.dim()))
    dims = [from_end(d, tensor.dim()) for d in dims]
    if x.axis in dims:
        call.fixed(x, f"{call.name} over all channels")
        return None
    places = {"norm": 3, "std": 3, "var": 3, "max": 2, "min": 2}
    kept = call.argument(places.get(call.name, 2), "keepdim", default=False)
    axis = x.axis if kept else x.axis + sum(d > x.axis for d in dims)
    keep = ~x.varies if call.name in _LARGEST else x.is_zero
    if call.name in ("prod", "logsumexp"):
        keep = torch.zeros_like(keep)
    constant = x.constant.masked_fill(~keep, torch.nan)
    return call.recording.record(Rows, [x], constant, axis)


def kept_whole(call: Call) -> None:
    """Trace recurrent layers, which read every channel and whose outputs are not
    traced.
    """
    for value in call.values:
        call.fixed(value, f"{call.name} reads every channel")


def softmax(call: Call) -> Value:
    """Trace a softmax, in which zeros count as well."""
    tensor, x = call.first()
    dim = call.argument(1, "dim")
    if dim is None:
        raise Refused("; name its 'dim'")
    if from_end(dim, tensor.dim()) != x.axis:
        return call.recording.record(Rows, [x], x.unknown)
    reason = f"{call.name} reads every channel"
    return call.recording.record(AllChannels, [x], x.unknown, reason=reason)


def unit_length(call: Call) -> Value:
    """Trace the division of a row by its length, which zeros do not change."""
    tensor, x = call.first()
    if from_end(call.argument(2, "dim", 1), tensor.dim()) != x.axis:
        return call.recording.rows(x)
    constant = x.constant.masked_fill(~x.is_zero, torch.nan)
    reason = "the length of a row reads every channel"
    return call.recording.record(AllChannels, [x], constant, reason=reason, zeros=False)
