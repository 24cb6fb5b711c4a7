"""Relaxed masks with a gradient: the binary Gumbel-softmax."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# ruff: noqa: ANN401 (the signature of torch's base class)


#: Distance from 0 and 1 to which probabilities are clamped.
CLOSEST = 1e-3


class RelaxedBernoulli(Function):
    r"""Draws :math:`m = \sigma((\log s - \log(1 - s) + \log u - \log(1 - u)) / \tau)`
    with :math:`u` uniform: the binary Gumbel-softmax. :math:`P(m > 1/2) = s` at every
    temperature.

    ``s`` is an argument for its gradient only. The log-odds, and their derivative
    divided by the temperature, are computed once for several draws and passed as well.
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
    """Return the log-odds of clamped probabilities, and the derivative that
    :class:`RelaxedBernoulli` takes.
    """
    inner = s.clamp(CLOSEST, 1 - CLOSEST)
    return torch.logit(inner), (inner * (1 - inner) * temperature).reciprocal_()
