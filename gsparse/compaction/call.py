"""One call of a torch function, as the rules see it."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from gsparse.compaction.operations import AllChannels, Value
from gsparse.compaction.recording import Recording

# ruff: noqa: ANN401 (torch functions take and return anything)


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
        *,
        is_constant: Callable[[Tensor], bool],
        on_zeros: bool = False,
        varying: bool = False,
    ) -> None:
        self.recording, self.value_of, self.function = recording, value_of, function
        self.args, self.result, self.is_constant = args, result, is_constant
        self.kwargs = {key: it for key, it in kwargs.items() if key != "out"}
        self.on_zeros = on_zeros
        """Whether the first argument was made of zeros and not written to before."""
        self.numbers: list[Any] = []
        self._varying = varying

    @property
    def name(self) -> str:
        """Of the function."""
        return getattr(self.function, "__name__", "")

    def same(self, *numbers: Any) -> bool:
        """Whether numbers in the code are literals: the same in all runs."""
        self.numbers += numbers
        return not self._varying

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

    def constant(self, operand: Any, like: Tensor) -> Tensor:
        """A number, or a tensor of one, for every channel; NaN if it varies."""
        if isinstance(operand, Tensor):
            one = operand.numel() == 1 and self.is_constant(operand)
            operand = operand.item() if one else torch.nan
        known = self.same(operand)
        return torch.full_like(like, operand if known else torch.nan)

    def fixed(self, x: Value, reason: str) -> Value:
        """Note that the code depends on the number of channels; a value of none."""
        unread = self.recording.value(x.units, torch.full_like(x.constant, torch.nan))
        operation = AllChannels([x], unread, reason, always=True)
        return self.recording.add(operation)


Result = Value | list[Value] | None
"""Values of the results; None where none is followed."""
Rule = Callable[[Call], Result]


def from_end(dim: int, num_dims: int) -> int:
    """A dimension counted from the end."""
    return dim if dim < 0 else dim - num_dims
