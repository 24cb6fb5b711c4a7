"""One rule for each kind of torch function: where the channels go, and what is 0."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from gsparse.prune.compaction.operations import (
    AllChannels,
    Channelwise,
    Concat,
    Rows,
    Value,
)
from gsparse.prune.compaction.recording import Recording

# ruff: noqa: ANN401 (torch functions take and return anything)

_SUMS = {torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__}
_SUMS |= {Tensor.__iadd__}
_PRODUCTS = ["mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__"]
_QUOTIENTS = ["div", "div_", "divide", "true_divide", "__truediv__", "__itruediv__"]
_LARGEST = ["amax", "amin", "max", "min"]


class Refused(Exception):  # noqa: N818 (becomes a ValueError that names the place)
    """A function is used in a way that no rule covers."""


class Call:
    """One call of a torch function on tensors whose channels are followed."""

    def __init__(
        self,
        recording: Recording,
        value_of: Callable[[Any], Value | None],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        result: Any,
    ) -> None:
        self.recording, self.value_of, self.function = recording, value_of, function
        self.args, self.kwargs, self.result = args, kwargs, result

    @property
    def name(self) -> str:
        """Of the function."""
        return getattr(self.function, "__name__", "")

    @property
    def tensors(self) -> Iterator[Tensor]:
        """All tensors among the arguments."""
        leaves = tree_leaves((self.args, self.kwargs))
        return (leaf for leaf in leaves if isinstance(leaf, Tensor))

    @property
    def values(self) -> list[Value]:
        """Values of those that are followed."""
        found = [self.value_of(tensor) for tensor in self.tensors]
        return [value for value in found if value is not None]

    def first(self) -> tuple[Tensor, Value]:
        """The first argument, which has to be the only one that is followed."""
        tensor = self.argument(0, "input")
        value = self.value_of(tensor)
        if value is None or len(self.values) != 1:
            raise Refused
        return tensor, value

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """A positional or keyword argument."""
        if place < len(self.args):
            return self.args[place]
        return self.kwargs.get(name, default)

    def is_parameter(self, tensor: Any) -> bool:
        """Whether a tensor is a parameter or buffer of the model."""
        return isinstance(tensor, Tensor) and id(tensor) in self.recording.names

    def fixed(self, x: Value, reason: str) -> Value:
        """Note that the code depends on the number of channels; a value of none."""
        unread = self.recording.value(x.units, torch.full_like(x.constant, torch.nan))
        operation = AllChannels([x], unread, reason, always=True)
        return self.recording.add(operation)


Result = Value | list[Value] | None
"""Values of the results; None where none is followed."""
Rule = Callable[[Call], Result]


def channelwise(call: Call) -> Value:
    """Functions of one number each: constants are put through the function itself."""
    followed = [(t, v) for t in call.tensors if (v := call.value_of(t)) is not None]
    size, axis = max((v.size, v.axis) for _, v in followed)
    mains, factors, biases = [], [], []
    rows: dict[int, Tensor] = {}
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
        elif tensor.numel() == 1:
            rows[id(tensor)] = tensor.detach()
        elif call.is_parameter(tensor) and tensor.numel() == size and axis == -1:
            biases.append(tensor)
            rows[id(tensor)] = tensor.detach().view(1, size)
        elif tensor.dim() >= -axis and tensor.size(axis) != 1:
            raise Refused("; a factor of every channel has to be a parameter")
        if id(tensor) not in rows:  # another one for every node
            rows[id(tensor)] = tensor.new_full([1] * (1 - axis), torch.nan)
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
    constant = constant.masked_fill(varies, torch.nan)
    if call.name in _PRODUCTS:
        zero = torch.stack([value.is_zero for value in mains]).any(dim=0)
        constant = constant.masked_fill(zero, 0.0)
    if call.name in _QUOTIENTS and call.value_of(call.argument(0, "input")) is mains[0]:
        constant = constant.masked_fill(mains[0].is_zero, 0.0)
    out = call.recording.value(mains[0].units, constant, axis)
    plain = call.function in _SUMS and not call.kwargs.get("alpha") and not factors
    is_sum = plain and len(mains) == 2
    bias = biases[0] if plain and len(mains) == len(biases) == 1 else None
    return call.recording.add(Channelwise([*mains, *factors], out, bias, is_sum))


def drop_out(call: Call) -> Value:
    """Nothing in evaluation; zeros stay zeros in any case."""
    _, x = call.first()
    name = "train" if call.name == "dropout_" else "training"
    training = call.argument(2, name, default=True)
    keep = x.is_zero if training else torch.ones_like(x.needed)
    constant = x.constant.masked_fill(~keep, torch.nan)
    out = call.recording.value(x.units, constant, x.axis)
    return call.recording.add(Channelwise([x], out))


def same_shape(call: Call) -> Value:
    """Views and copies that leave the channels where they are."""
    tensor = call.argument(0, "input")
    x = call.value_of(tensor)
    if x is None:
        raise Refused
    if call.result.shape != tensor.shape:
        raise Refused(f"; it makes {list(call.result.shape)} of it")
    out = call.recording.value(x.units, x.constant, x.axis)
    return call.recording.add(Channelwise([x], out))


def rows(call: Call) -> Value:
    """Nodes are mixed, copied or summed up within a channel."""
    values = call.values
    if len({(value.size, value.axis) for value in values}) != 1:
        raise Refused
    x = values[0]
    if call.result.dim() + x.axis < 1 or call.result.size(x.axis) != x.size:
        raise Refused
    for value in values[1:]:
        call.recording.units.tie(x.units, value.units)
    zero = torch.stack([value.is_zero for value in values]).all(dim=0)
    return _moved(call, Rows, values, zero, x.axis)


def _moved(
    call: Call,
    kind: type[Channelwise],
    values: list[Value],
    zero: Tensor,
    axis: int,
) -> Value:
    constant = torch.full_like(values[0].constant, torch.nan).masked_fill(zero, 0.0)
    out = call.recording.value(values[0].units, constant, axis)
    return call.recording.add(kind(values, out))


def linear(call: Call) -> Value:
    """A linear map by a parameter."""
    _, x = call.first()
    weight, bias = call.argument(1, "weight"), call.argument(2, "bias")
    known = call.is_parameter(weight) and (bias is None or call.is_parameter(bias))
    if not known or x.axis != -1:
        raise Refused("; its weight has to be a parameter")
    return call.recording.linear(x, weight, bias)


def product(call: Call) -> Value:
    """A product with a parameter from the right, or with a matrix over nodes."""
    left, right = call.argument(0, "input"), call.argument(1, "other")
    right = call.kwargs.get("mat2", right)
    x, y = call.value_of(left), call.value_of(right)
    if x is not None and x.axis == -1 and call.is_parameter(right) and right.dim() == 2:
        return call.recording.linear(x, right, transposed=True)
    if x is None and y is not None and y.axis == -1 and right.dim() == 2:
        return call.recording.rows(y)
    raise Refused("; a factor from the right has to be a parameter")


def concatenate(call: Call) -> Value:
    """Channels one after another, or nodes one after another."""
    tensors = call.argument(0, "tensors")
    dim = _from_end(call.argument(1, "dim", 0), call.result.dim())
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
    """Channels that come from elsewhere: none of them can be removed."""
    units = call.recording.units.fresh(size)
    x = call.recording.value(units, torch.full([size], torch.nan, dtype=like.dtype))
    call.fixed(x, "they come from outside of what is followed")
    return x


def _tied(call: Call, values: list[Value | None], axis: int) -> Value:
    """Several tensors of the same channels; what is equal in all stays a constant."""
    known = [value for value in values if value is not None]
    if len(known) < len(values) or len({(v.size, v.axis) for v in known}) != 1:
        raise Refused("; all of these tensors have to come from the features")
    for value in known[1:]:
        call.recording.units.tie(known[0].units, value.units)
    constants = torch.stack([value.constant for value in known])
    equal = (constants == constants[0]).all(dim=0)  # never of NaN
    constant = constants[0].masked_fill(~equal, torch.nan)
    out = call.recording.value(known[0].units, constant, axis)
    return call.recording.add(Channelwise(known, out))


def stack(call: Call) -> Value:
    """A new dimension, before or after the channels."""
    values = [call.value_of(tensor) for tensor in call.argument(0, "tensors")]
    axis = call.values[0].axis
    dim = _from_end(call.argument(1, "dim", 0), call.result.dim())
    return _tied(call, values, axis - 1 if dim >= axis else axis)


def unsqueeze(call: Call) -> Value:
    """A new dimension of size 1."""
    _, x = call.first()
    dim = _from_end(call.argument(1, "dim"), call.result.dim())
    axis = x.axis - 1 if dim >= x.axis else x.axis
    out = call.recording.value(x.units, x.constant, axis)
    return call.recording.add(Channelwise([x], out))


def reduce(call: Call) -> Result:
    """Over nodes or layers: as propagation. Over channels: all of them are read."""
    if len(call.values) == 2:
        return channelwise(call)  # the larger of two
    tensor, x = call.first()
    dim = call.argument(1, "dim")
    if call.name == "norm":
        dim = call.argument(2, "dim")
    dims = [dim] if isinstance(dim, int) else dim
    dims = dims or list(range(tensor.dim()))
    dims = [_from_end(d, tensor.dim()) for d in dims]
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
    return call.recording.add(Rows([x], call.recording.value(x.units, constant, axis)))


def softmax(call: Call) -> Value:
    """A zero counts as well."""
    tensor, x = call.first()
    dim = call.argument(1, "dim")
    if dim is None:
        raise Refused("; name its 'dim'")
    if _from_end(dim, tensor.dim()) != x.axis:
        return _moved(call, Rows, [x], torch.zeros_like(x.needed), x.axis)
    out = call.recording.value(x.units, torch.full_like(x.constant, torch.nan), x.axis)
    reason = f"{call.name} reads every channel"
    return call.recording.add(AllChannels([x], out, reason))


def unit_length(call: Call) -> Value:
    """Division of a row by its length, which zeros do not change."""
    tensor, x = call.first()
    if _from_end(call.argument(2, "dim", 1), tensor.dim()) != x.axis:
        return _moved(call, Rows, [x], x.is_zero, x.axis)
    constant = x.constant.masked_fill(~x.is_zero, torch.nan)
    out = call.recording.value(x.units, constant, x.axis)
    reason = "the length of a row reads every channel"
    return call.recording.add(AllChannels([x], out, reason, zeros=False))


def pick(call: Call) -> Value:
    """Some nodes, or some channels by their positions."""
    tensor, x = call.first()
    index, dim = call.argument(1, "index"), None
    if call.name != "__getitem__":
        dim = _from_end(call.argument(1, "dim"), tensor.dim())
        index = call.argument(2, "index")
        if call.name == "narrow":
            start = call.argument(2, "start")
            index = slice(start, start + call.argument(3, "length"))
    elif isinstance(index, tuple):
        if len(index) == 2 and tensor.dim() == 2 and isinstance(index[0], slice):
            dim, index = -1, index[1]
        else:
            raise Refused
    if dim is None or dim != x.axis:
        if tensor.dim() + x.axis == 0 or (
            isinstance(index, Tensor) and index.dtype == torch.bool and index.dim() > 1
        ):
            raise Refused
        out = call.recording.value(x.units, x.constant, x.axis)
        return call.recording.add(Rows([x], out))
    if isinstance(index, int):
        raise Refused("; take a slice of one channel instead")
    if isinstance(index, slice) and index == slice(None):
        out = call.recording.value(x.units, x.constant, x.axis)
        return call.recording.add(Rows([x], out))
    return _sliced(call, x, index)


def _sliced(call: Call, x: Value, index: Any) -> Value:
    """Channels by their positions, which must go on being those."""
    index = index.cpu() if isinstance(index, Tensor) else index
    out = call.recording.value(x.units[index], x.constant[index], x.axis)
    reason = "taken by their positions"
    return call.recording.add(AllChannels([x], out, reason, always=True))


def split(call: Call) -> list[Value]:
    """Parts of the nodes, or of the channels by their positions."""
    tensor, x = call.first()
    parts = []
    if _from_end(call.argument(2, "dim", 0), tensor.dim()) == x.axis:
        start = 0
        for part in call.result:
            end = start + part.size(x.axis)
            parts.append(_sliced(call, x, slice(start, end)))
            start = end
        return parts
    for _ in call.result:
        out = call.recording.value(x.units, x.constant, x.axis)
        parts.append(call.recording.add(Rows([x], out)))
    return parts


def like(call: Call) -> Value:
    """New numbers in the same shape."""
    _, x = call.first()
    numbers = {"zeros_like": 0.0, "ones_like": 1.0}
    fill = numbers.get(call.name, torch.nan)
    return call.recording.value(x.units, torch.full_like(x.constant, fill), x.axis)


def _from_end(dim: int, num_dims: int) -> int:
    return dim if dim < 0 else dim - num_dims
