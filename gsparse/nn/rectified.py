"""Variables on [0, 1] that are exactly 0 and exactly 1 with positive probability."""

from abc import abstractmethod
from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

#: Number of nodes of the Gauss-Legendre rule for means that need a gradient.
QUADRATURE = 64


def log1mexp(y: Tensor) -> Tensor:
    r"""Compute :math:`\log(1 - e^y)` for :math:`y < 0`, accurately at both ends.

    Example:
        >>> import torch
        >>> from gsparse.nn.rectified import log1mexp
        >>> log1mexp(torch.tensor([-1e-6, -30.0]))
        tensor([-1.3816e+01, -9.3576e-14])
    """
    near = y > -0.6931
    # The branch not taken must have a finite gradient as well.
    small = torch.log(-torch.expm1(torch.where(near, y, -torch.ones_like(y))))
    large = torch.log1p(-torch.exp(torch.where(near, -torch.ones_like(y), y)))
    return torch.where(near, small, large)


class Rectified(Distribution):
    r"""A variable :math:`k` on (0, 1), stretched to (low, high) and clipped to [0, 1].

    :math:`z = \min(1, \max(0, l + (r - l) k))`. Values below 0 become exactly 0, so the
    gate is closed with positive probability and still has a gradient.

    Subclasses implement the logarithms of :math:`P(k > x)` and of the density of
    :math:`k`, and :math:`k` as a function of a uniform variable.

    Args:
        batch_shape: Shape of the parameters.
        low: Value that 0 is stretched to; below 0.
        high: Value that 1 is stretched to; above 1.
        validate_args: Whether to check parameters and values.

    Raises:
        ValueError: Unless ``low < 0 < 1 < high``.
    """

    has_rsample = True
    support = constraints.unit_interval

    def __init__(
        self,
        batch_shape: torch.Size,
        low: float,
        high: float,
        validate_args: bool | None = None,
    ) -> None:
        if not low < 0 < 1 < high:
            raise ValueError(
                f"'low' must be below 0 and 'high' above 1 (got {low} and {high})"
            )
        self.low, self.high = float(low), float(high)
        super().__init__(batch_shape, validate_args=validate_args)

    @abstractmethod
    def _log_survival(self, x: Tensor) -> Tensor:
        """Return the logarithm of P(k > x), for x in (0, 1)."""

    @abstractmethod
    def _log_density(self, x: Tensor) -> Tensor:
        """Return the logarithm of the density of k, for x in (0, 1)."""

    @abstractmethod
    def _variable(self, v: Tensor) -> Tensor:
        """Return k for v uniform on (0, 1); decreasing in v."""

    @property
    @abstractmethod
    def _like(self) -> Tensor:
        """Any parameter, for its dtype and device."""

    def _place(self, z: Tensor | float) -> Tensor:
        """Return the x in (0, 1) that is stretched to z."""
        x = (z - self.low) / (self.high - self.low)
        return torch.as_tensor(x, dtype=self._like.dtype, device=self._like.device)

    def rsample(
        self,
        sample_shape: Iterable[int] = (),
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Sample z, differentiable in the parameters; clipped values have no gradient.

        Args:
            sample_shape: Shape of the independent samples.
            generator: Random generator.

        Shapes:
            - **output:** ``sample_shape + batch_shape``
        """
        like, shape = self._like, self._extended_shape(torch.Size(sample_shape))
        v = torch.rand(shape, generator=generator, dtype=like.dtype, device=like.device)
        v = v.clamp(min=torch.finfo(like.dtype).tiny)
        return (self.low + (self.high - self.low) * self._variable(v)).clamp(0, 1)

    @property
    def prob_zero(self) -> Tensor:
        """P(z = 0)."""
        return -torch.expm1(self._log_survival(self._place(0.0)))

    @property
    def prob_one(self) -> Tensor:
        """P(z = 1)."""
        return torch.exp(self._log_survival(self._place(1.0)))

    @property
    def expected_l0(self) -> Tensor:
        """P(z != 0), the expected number of open gates, for each gate."""
        return torch.exp(self._log_survival(self._place(0.0)))

    def cdf(self, value: Tensor) -> Tensor:
        """Return P(z <= value), which jumps at 0 and 1."""
        inside = self._place(value.clamp(0, 1))
        below = -torch.expm1(self._log_survival(inside))
        below = torch.where(value < 0, torch.zeros_like(below), below)
        return torch.where(value >= 1, torch.ones_like(below), below)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the logarithm of the probability at 0 and 1, and of the density in
        between.
        """
        if self._validate_args:
            self._validate_sample(value)
        inside = (value > 0) & (value < 1)
        x = self._place(torch.where(inside, value, torch.full_like(value, 0.5)))
        density = self._log_density(x) - np.log(self.high - self.low)
        zero = log1mexp(self._log_survival(self._place(0.0)))
        one = self._log_survival(self._place(1.0))
        return torch.where(inside, density, torch.where(value <= 0, zero, one))

    @property
    def mean(self) -> Tensor:
        r"""E[z] :math:`= \int_0^1 P(z > t) dt`, by a differentiable quadrature."""
        nodes, weights = _legendre()
        total = torch.zeros_like(self._like)
        for t, w in zip(nodes, weights, strict=True):
            total = total + w * torch.exp(self._log_survival(self._place(t)))
        return total

    @property
    def mode(self) -> Tensor:
        """Value of z at test time: 0 or 1 if that is more likely than the other and
        than any value in between, else the mean.
        """
        zero, one = self.prob_zero, self.prob_one
        between = 1 - zero - one
        out = torch.where((one > zero) & (one >= between), torch.ones_like(one), 0.0)
        middle = (between > zero) & (between > one)
        return torch.where(middle, self.mean, out)


@cache
def _legendre() -> tuple[tuple[float, ...], tuple[float, ...]]:
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE)
    return tuple((nodes + 1) / 2), tuple(weights / 2)
