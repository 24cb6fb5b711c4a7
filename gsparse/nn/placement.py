"""Copy values to positions of a longer list, with gradients that need no scatter."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.compiler import is_compiling

from gsparse.kernels.tracing import is_transformed

# ruff: noqa: ANN401 (torch's contexts are untyped)

MOST_COPIES = 2
"""Copies of a value up to which gathering its gradients is faster than scattering."""


class Placement(NamedTuple):
    """Positions that values are copied to.

    Shapes:
        - **value:** :math:`(P,)`
        - **others:** positions of a constant
        - **copies:** :math:`(K, M)`
    """

    value: Tensor
    """The value at each position; any for a constant."""

    others: Tensor
    copies: Tensor | None
    """Positions of each value if all have equally many, at most two; else None."""

    def put(self, values: Tensor, constant: float = 1.0) -> Tensor:
        """Return the value at each position.

        Shapes:
            - **values:** :math:`(M,)`
            - **output:** :math:`(P,)`
        """
        if self.value.numel() == self.others.numel():
            none = values[:0].sum()  # keeps the result differentiable
            return none + values.new_full(self.value.shape, constant)
        if self.copies is None or is_transformed() is not False or is_compiling():
            found = values.index_select(0, self.value)
            return found.index_fill(0, self.others, constant)
        return _Put.apply(values, self.value, self.others, self.copies, constant)


def placement(value: Tensor, num_values: int) -> Placement:
    """Prepare the positions of values.

    Args:
        value: The value at each position, ``num_values`` for a constant.
        num_values: Number of values M.

    Shapes:
        - **value:** :math:`(P,)`
    """
    others = (value == num_values).nonzero().view(-1)
    count = torch.bincount(value, minlength=num_values)[:num_values]
    most = int(count.max()) if num_values else 0
    inside = value.clamp(max=max(num_values - 1, 0))
    if not 0 < most <= MOST_COPIES or int(count.min()) != most:
        return Placement(inside, others, None)
    first = value.sort(stable=True).indices[: num_values * most]
    return Placement(inside, others, first.view(num_values, most).t().contiguous())


class _Put(Function):
    """Copy values, and add the gradients of the copies of each."""

    @staticmethod
    def forward(
        values: Tensor, value: Tensor, others: Tensor, copies: Tensor, constant: float
    ) -> Tensor:
        return values.index_select(0, value).index_fill_(0, others, constant)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, value, others, copies, _ = inputs
        ctx.save_for_backward(value, others, copies)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        found = [grad.index_select(0, at) for at in ctx.saved_tensors[2]]
        return sum(found[1:], found[0]), None, None, None, None
