"""A call of a torch function, as passed to the tracing rules."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from gsparse.compaction.operations import AllChannels, Value
from gsparse.compaction.recording import Recording

# ruff: noqa: ANN401 (torch functions take and return anything)


class Refused(Exception):  # noqa: N818 (becomes a ValueError with the location)
    """Raised by a rule for a call that it does not support."""


class Call:
    """A call of a torch function on tensors whose channels are traced."""

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
        """Whether the first argument was created as zeros and not written to since."""
        self.numbers: list[Any] = []
        self._varying = varying

    @property
    def name(self) -> str:
        """Name of the function."""
        return getattr(self.function, "__name__", "")

    def same(self, *numbers: Any) -> bool:
        """Note numbers of the code, and return whether they are the same in all
        runs.
        """
        self.numbers += numbers
        return not self._varying

    @property
    def tensors(self) -> Iterator[Tensor]:
        """All tensors among the arguments."""
        leaves = tree_leaves((self.args, self.kwargs))
        return (leaf for leaf in leaves if isinstance(leaf, Tensor))

    @property
    def values(self) -> list[Value]:
        """Values of the traced arguments."""
        found = [self.value_of(tensor) for tensor in self.tensors]
        return [value for value in found if value is not None]

    def first(self) -> tuple[Tensor, Value]:
        """Return the first argument and its value; it must be the only traced one."""
        tensor = self.argument(0, "input")
        value = self.value_of(tensor)
        if value is None or len(self.values) != 1:
            raise Refused
        return tensor, value

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """Return a positional or keyword argument."""
        if place < len(self.args):
            return self.args[place]
        return self.kwargs.get(name, default)

    def is_parameter(self, tensor: Any) -> bool:
        """Return whether a tensor is a parameter or buffer of the model."""
        return isinstance(tensor, Tensor) and id(tensor) in self.recording.names

    def constant(self, operand: Any, like: Tensor) -> Tensor:
        """Return a number, or the entry of a one-entry tensor, per channel; NaN if it
        varies.
        """
        if isinstance(operand, Tensor):
            one = operand.numel() == 1 and self.is_constant(operand)
            operand = operand.item() if one else torch.nan
        known = self.same(operand)
        return torch.full_like(like, operand if known else torch.nan)

    def fixed(self, x: Value, reason: str) -> Value:
        """Record that the code depends on the number of channels, and return an unused
        value.
        """
        return self.recording.record(
            AllChannels, [x], x.unknown, axis=-1, reason=reason, always=True
        )


Result = Value | list[Value] | None
"""Values of the results; None if they are not traced."""
Rule = Callable[[Call], Result]


def from_end(dim: int, num_dims: int) -> int:
    """Return a dimension counted from the end."""
    return dim if dim < 0 else dim - num_dims
