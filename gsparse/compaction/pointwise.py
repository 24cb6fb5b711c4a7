"""Rules of elementwise functions: activations, sums, factors, copies."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from gsparse.compaction.call import Call, Refused
from gsparse.compaction.operations import Channelwise, Value

_SUMS = {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__}
_SUMS |= {Tensor.__iadd__}
_PRODUCTS = ["mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"]
_QUOTIENTS = ["div", "div_", "divide", "true_divide", "__truediv__", "__itruediv__"]


def channelwise(call: Call) -> Value:
    """Trace an elementwise function; constants are passed through the function
    itself.
    """
    followed = [(t, v) for t in call.tensors if (v := call.value_of(t)) is not None]
    size, axis = max((v.size, v.axis) for _, v in followed)
    dtype = followed[0][0].dtype
    mains, factors, biases = [], [], []
    rows: dict[int, Tensor] = {}
    numbers: list[Any] = []
    shape = [size] + [1] * (-1 - axis)
    for tensor in call.tensors:
        value = call.value_of(tensor)
        if value is not None and (value.size, value.axis) == (size, axis):
            mains.append(value)
            constant = value.constant.to(tensor.dtype).to(tensor.device)
            rows[id(tensor)] = constant.view(1, *shape).clone()
        elif value is not None and (value.size, value.axis) == (1, axis):
            factors.append(value)
        elif value is not None:
            raise Refused
        elif tensor.numel() == 1 and call.is_constant(tensor):
            rows[id(tensor)] = tensor.detach()
            numbers.append(tensor.item())
        elif call.is_parameter(tensor) and tensor.numel() == size and axis == -1:
            biases.append(tensor)
            rows[id(tensor)] = tensor.detach().flatten()
        elif tensor.dim() >= -axis and tensor.size(axis) != 1:
            raise Refused("; a factor of every channel has to be a parameter")
        if id(tensor) not in rows:  # differs between nodes
            like = tensor.to(dtype) if not tensor.is_floating_point() else tensor
            rows[id(tensor)] = like.new_full([1] * (1 - axis), torch.nan)
    if not mains or len({id(bias) for bias in biases}) != len(biases):
        raise Refused
    for value in mains[1:]:
        call.recording.units.tie(mains[0].units, value.units)
    call.recording.attach(mains[0], biases)
    args, kwargs = tree_map_only(
        Tensor, lambda tensor: rows[id(tensor)], (call.args, call.kwargs)
    )
    constant = call.function(*args, **kwargs).flatten().cpu()
    varies = torch.stack([value.varies for value in mains]).any(dim=0)
    leaves = tree_leaves((call.args, call.kwargs))
    numbers += [leaf for leaf in leaves if isinstance(leaf, int | float | complex)]
    if not call.same(*numbers):
        varies = torch.ones_like(varies)
    constant = constant.masked_fill(varies, torch.nan)
    if call.name in _PRODUCTS:
        zero = torch.stack([value.is_zero for value in mains]).any(dim=0)
        constant = constant.masked_fill(zero, 0.0)
    if call.name in _QUOTIENTS and call.value_of(call.argument(0, "input")) is mains[0]:
        constant = constant.masked_fill(mains[0].is_zero, 0.0)
    plain = call.function in _SUMS and not call.kwargs.get("alpha") and not factors
    is_sum = plain and len(mains) == 2
    bias = biases[0] if plain and len(mains) == len(biases) == 1 else None
    return call.recording.record(
        Channelwise, [*mains, *factors], constant, bias=bias, is_sum=is_sum
    )


def drop_out(call: Call) -> Value:
    """Trace a dropout, which has no effect in evaluation and keeps zeros."""
    _, x = call.first()
    name = "train" if call.name == "dropout_" else "training"
    training = call.argument(2, name, default=True)
    keep = x.is_zero if training else torch.ones_like(x.needed)
    constant = x.constant.masked_fill(~keep, torch.nan)
    return call.recording.record(Channelwise, [x], constant)


def same_shape(call: Call) -> Value | None:
    """Trace views and copies that leave the channels in their dimension."""
    tensor = call.argument(0, "input")
    x = call.value_of(tensor)
    if x is None:  # a traced tensor only defines the shape or dtype
        return None
    if call.result.shape[x.axis :] != tensor.shape[x.axis :]:
        raise Refused(f"; it makes {list(call.result.shape)} of it")
    return call.recording.record(Channelwise, [x], x.constant)


def widened(call: Call) -> Value | None:
    """Trace the copy of one number per node to all channels."""
    x = call.value_of(call.argument(1, "other"))
    if x is None or len(call.values) != 1:
        return same_shape(call)
    if call.argument(0, "self").size(x.axis) != 1:
        raise Refused
    return call.recording.value(x.units, x.unknown, x.axis)


def like(call: Call) -> Value:
    """Trace new tensors with the shape of a traced one."""
    _, x = call.first()
    numbers = {"zeros_like": 0.0, "ones_like": 1.0}
    fill = numbers.get(call.name, torch.nan)
    return call.recording.value(x.units, torch.full_like(x.constant, fill), x.axis)
