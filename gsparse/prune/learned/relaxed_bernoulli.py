"""Masks between 0 and 1 with a gradient: the binary Gumbel-softmax."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# ruff: noqa: ANN401 (the signature of torch's base class)


#: Masks are drawn as if no probability were nearer to 0 or 1.
CLOSEST = 1e-3


class RelaxedBernoulli(Function):
    r"""Draws :math:`m = \sigma((\log s - \log(1 - s) + \log u - \log(1 - u)) / \tau)`
    with :math:`u` uniform: the binary Gumbel-softmax. :math:`P(m > 1/2) = s` at every
    temperature.

    Takes ``s`` for its gradient only; what is computed from it once for several draws
    comes beside it: the log-odds, and their derivative divided by the temperature.
    """

    @staticmethod
    def forward(
        ctx: Any,
        s: Tensor,
        log_odds: Tensor,
        rate: Tensor,
        temperature: float,
        generator: torch.Generator,
    ) -> Tensor:
        m = torch.empty_like(log_odds).uniform_(generator=generator)
        m.logit_().add_(log_odds).mul_(1 / temperature).sigmoid_()
        ctx.save_for_backward(m, rate)
        ctx.dtype = s.dtype
        return m

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        m, rate = ctx.saved_tensors
        found = torch.ops.aten.sigmoid_backward(grad, m).mul_(rate)
        return found.to(ctx.dtype), None, None, None, None


def log_odds_of(s: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The log-odds of probabilities kept off 0 and 1, and their slope at the
    temperature.
    """
    inner = s.clamp(CLOSEST, 1 - CLOSEST)
    return torch.logit(inner), (inner * (1 - inner) * temperature).reciprocal_()
