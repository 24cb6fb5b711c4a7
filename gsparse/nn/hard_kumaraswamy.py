"""The Hard-Kumaraswamy distribution, from which KEdge samples its gates."""

from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import betainc, betaln
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all

from gsparse.nn.rectified import Rectified, log1mexp

# ruff: noqa: ANN401 (the signature of torch's base class)


class HardKumaraswamy(Rectified):
    r"""A Kumaraswamy variable, stretched and rectified (HardKuma), from the
    `"Interpretable Neural Predictions with Differentiable Binary Variables"
    <https://arxiv.org/abs/1905.08160>`_ paper.

    :math:`k` has :math:`P(k > x) = (1 - x^a)^b` on (0, 1), much like a Beta variable
    but with an inverse in closed form; :math:`z = \min(1, \max(0, l + (r - l) k))`.
    With :math:`t_0 = -l / (r - l)` and :math:`t_1 = (1 - l) / (r - l)`

    .. math::
        P(z = 0) = 1 - (1 - t_0^a)^b, \qquad P(z = 1) = (1 - t_1^a)^b.

    Small :math:`a` and large :math:`b` close the gate, large :math:`a` and small
    :math:`b` open it. Everything is computed from logarithms: values and gradients are
    finite in float32 for parameters from 1e-6 to 100. A sample that is clipped to 0 or
    1 has no gradient, so a gate that is nearly always closed learns from
    ``expected_l0`` only; start with open gates.

    ``mean`` is exact if no gradient is needed (an incomplete beta function, computed by
    SciPy on the CPU), and a quadrature otherwise.

    Args:
        a: First shape parameter.
        b: Second shape parameter.
        low: Value :math:`l` that 0 is stretched to.
        high: Value :math:`r` that 1 is stretched to.
        validate_args: ``False`` skips the check of the parameters.

    Shapes:
        - **a, b:** any shapes that broadcast

    Raises:
        ValueError: If a parameter is not positive.

    Example:
        >>> import torch
        >>> from gsparse.nn import HardKumaraswamy
        >>> gate = HardKumaraswamy(torch.tensor(0.5), torch.tensor(0.5))
        >>> f"{gate.prob_zero:.4f} {gate.prob_one:.4f} {gate.mean:.4f}"
        '0.1566 0.2063 0.5365'
    """

    arg_constraints: ClassVar = {"a": constraints.positive, "b": constraints.positive}

    def __init__(
        self,
        a: Tensor | float,
        b: Tensor | float,
        low: float = -0.1,
        high: float = 1.1,
        validate_args: bool | None = None,
    ) -> None:
        self.a, self.b = broadcast_all(a, b)
        if validate_args is not False:
            for name, parameter in (("a", self.a), ("b", self.b)):
                if not (parameter > 0).all():
                    worst = float(parameter.min())
                    raise ValueError(f"{name!r} must be positive (got {worst})")
        super().__init__(self.a.shape, low, high, validate_args)

    @property
    def _like(self) -> Tensor:
        return self.a

    def _log_survival(self, x: Tensor) -> Tensor:
        return self.b * log1mexp(self.a * torch.log(x))

    def _log_density(self, x: Tensor) -> Tensor:
        log_x = torch.log(x)
        rest = log1mexp(self.a * log_x)
        log_ab = torch.log(self.a) + torch.log(self.b)
        return log_ab + (self.a - 1) * log_x + (self.b - 1) * rest

    def _variable(self, v: Tensor) -> Tensor:
        return torch.exp(log1mexp(torch.log(v) / self.b) / self.a)

    @property
    def mean(self) -> Tensor:
        if torch.is_grad_enabled() and (self.a.requires_grad or self.b.requires_grad):
            return super().mean
        a = self.a.detach().double().cpu().numpy()
        b = self.b.detach().double().cpu().numpy()
        ends = [float(self._place(z).double()) for z in (0.0, 1.0)]
        low, high = (betainc(1 / a, b + 1, end**a) for end in ends)
        scale = np.exp(betaln(1 / a, b + 1)) / a
        mean = (self.high - self.low) * scale * (high - low)
        return torch.as_tensor(mean, dtype=self.a.dtype, device=self.a.device)

    def expand(self, batch_shape: Any, _instance: object = None) -> "HardKumaraswamy":
        """Return the same distribution with parameters of a larger shape."""
        a, b = (p.expand(torch.Size(batch_shape)) for p in (self.a, self.b))
        return HardKumaraswamy(a, b, self.low, self.high)
