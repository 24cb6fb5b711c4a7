"""Gradients of the switches of weights, and control of their number."""

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["linear", "leaky", "softplus"]

SLOPE = 0.1  # slope of "leaky" below zero
INTEGRAL, PROPORTIONAL = 0.05, 2.0  # exponents of the steering


def straight_through(m: Tensor, estimator: Estimator = "softplus") -> Tensor:
    r"""Return a surrogate for the derivative of :math:`h(m) = 1[m > 0]`.

    Args:
        m: The switches.
        estimator: ``"linear"``: 1; ``"leaky"``: 1 where :math:`m \ge 0` and 0.1 below;
            ``"softplus"``: :math:`\sigma(m)`.

    Example:
        >>> import torch
        >>> from gsparse.prune.learned.switches import straight_through
        >>> straight_through(torch.tensor([-1.0, 0.0, 1.0]), "leaky")
        tensor([0.1000, 1.0000, 1.0000])
    """
    if estimator == "softplus":
        return m.sigmoid()
    if estimator == "leaky":
        return torch.where(m >= 0, 1.0, SLOPE).to(m)
    return torch.ones_like(m)


def switch_gradient(
    gradient: Tensor, weight: Tensor, m: Tensor, mu: float, estimator: Estimator
) -> Tensor:
    r"""Return the gradient of the switches,
    :math:`(\partial L / \partial t \, \mathrm{sgn}(w) + \mu) \, h'(m)`.

    The chain rule has :math:`w` in place of its sign, which would make the switches of
    small weights slow. The switch of a row gets the mean over its weights.

    Args:
        gradient: :math:`\partial L / \partial t` with :math:`t = w \, h(m)`.
        weight: :math:`w`.
        m: The switches.
        mu: Cost of an active weight.
        estimator: See :func:`straight_through`.

    Shapes:
        - **gradient**, **weight:** :math:`(n_{out}, n_{in})`
        - **m**, **output:** the same, or :math:`(n_{out}, 1)`
    """
    gain = gradient * weight.sign()
    if m.shape != weight.shape:
        gain = gain.mean(dim=1, keepdim=True)
    return (gain + mu) * straight_through(m, estimator)


def steered(mu: float, active: float, wanted: float) -> tuple[float, float]:
    r"""Return the next :math:`\bar\mu` and the :math:`\mu` to use now.

    With :math:`r` = active / wanted, :math:`\bar\mu \leftarrow \bar\mu r^{0.05}` and
    :math:`\mu = \bar\mu r^2`. The second factor damps: the number of active weights
    follows the sum of all past :math:`\mu`, so the first factor alone would oscillate.

    Example:
        >>> from gsparse.prune.learned.switches import steered
        >>> steered(1.0, active=0.1, wanted=0.1)
        (1.0, 1.0)
    """
    ratio = active / wanted
    mean = mu * ratio**INTEGRAL
    return mean, mean * ratio**PROPORTIONAL
