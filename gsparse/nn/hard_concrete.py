"""The hard concrete distribution of L0 regularisation."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all
from torch.nn.functional import logsigmoid

from gsparse.nn.rectified import Rectified

# ruff: noqa: ANN401 (the signature of torch's base class)


class HardConcrete(Rectified):
    r"""A relaxed Bernoulli variable, stretched and rectified, from the `"Learning
    Sparse Neural Networks through L0 Regularization"
    <https://arxiv.org/abs/1712.01312>`_ paper.

    :math:`k = \sigma((\log u - \log(1 - u) + \alpha) / \beta)` with :math:`u` uniform,
    :math:`\alpha` the ``logits`` and :math:`\beta` the ``temperature``;
    :math:`z = \min(1, \max(0, l + (r - l) k))`. It has the interface of
    :class:`HardKumaraswamy`, with one parameter instead of two. The mean has no closed
    form and is always computed by quadrature.

    Args:
        logits: Log-odds of the gate.
        temperature: :math:`\beta`, usually below 1; the lower it is, the more
            probability lies at 0 and 1.
        low: Value :math:`l` that 0 is stretched to.
        high: Value :math:`r` that 1 is stretched to.
        validate_args: Whether to check parameters and values.

    Shapes:
        - **logits:** any shape

    Raises:
        ValueError: If the temperature is not positive.

    Example:
        >>> import torch
        >>> from gsparse.nn import HardConcrete
        >>> gate = HardConcrete(torch.tensor(0.0))
        >>> f"{gate.prob_zero:.4f} {gate.prob_one:.4f} {gate.mean:.4f}"
        '0.1682 0.1682 0.5000'
    """

    arg_constraints: ClassVar = {"logits": constraints.real}

    def __init__(
        self,
        logits: Tensor | float,
        temperature: float = 2 / 3,
        low: float = -0.1,
        high: float = 1.1,
        validate_args: bool | None = None,
    ) -> None:
        if not temperature > 0:
            raise ValueError(f"'temperature' must be positive (got {temperature})")
        (self.logits,) = broadcast_all(logits)
        self.temperature = float(temperature)
        super().__init__(self.logits.shape, low, high, validate_args)

    @property
    def _like(self) -> Tensor:
        return self.logits

    def _log_survival(self, x: Tensor) -> Tensor:
        return logsigmoid(self.logits - self.temperature * torch.logit(x))

    def _log_density(self, x: Tensor) -> Tensor:
        shifted = self.logits - self.temperature * torch.logit(x)
        rise = math.log(self.temperature) - torch.log(x) - torch.log1p(-x)
        return rise + logsigmoid(shifted) + logsigmoid(-shifted)

    def _variable(self, v: Tensor) -> Tensor:
        return torch.sigmoid((self.logits - torch.logit(v)) / self.temperature)

    def expand(self, batch_shape: Any, _instance: object = None) -> "HardConcrete":
        """Return the same distribution with parameters of a larger shape."""
        logits = self.logits.expand(torch.Size(batch_shape))
        return HardConcrete(logits, self.temperature, self.low, self.high)
