"""Switches of weights: what moves them, and how many are to be on."""

from typing import Literal

import torch
from torch import Tensor

Estimator = Literal["linear", "leaky", "softplus"]

SLOPE = 0.1  # of "leaky" below zero
INTEGRAL, PROPORTIONAL = 0.05, 2.0  # exponents of the steering


def straight_through(m: Tensor, estimator: Estimator = "softplus") -> Tensor:
    r"""What stands in for the derivative of :math:`h(m) = 1[m > 0]`.

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
    r"""What :math:`m` moves against:
    :math:`(\partial L / \partial t \, \mathrm{sgn}(w) + \mu) \, h'(m)`.

    The chain rule has :math:`w` in place of its sign, which would make the switches of
    small weights slow. Switches of rows get the mean over their weights.

    Args:
        gradient: :math:`\partial L / \partial t` with :math:`t = w \, h(m)`.
        weight: :math:`w`.
        m: The switches.
        mu: What an active weight costs.
        estimator: As for :func:`straight_through`.

    Shapes:
        - **gradient**, **weight:** :math:`(n_{out}, n_{in})`
        - **m**, **output:** the same, or :math:`(n_{out}, 1)`
    """
    gain = gradient * weight.sign()
    if m.shape != weight.shape:
        gain = gain.mean(dim=1, keepdim=True)
    return (gain + mu) * straight_through(m, estimator)


def steered(mu: float, active: float, wanted: float) -> tuple[float, float]:
    r"""The next :math:`\bar\mu` and the :math:`\mu` to use now, for so many active.

    With :math:`r` = active / wanted, :math:`\bar\mu \leftarrow \bar\mu r^{0.05}` and
    :math:`\mu = \bar\mu r^2`. The second factor brakes: the number of active weights
    follows the sum of all past :math:`\mu`, so that the first alone would swing.

    Example:
        >>> from gsparse.prune.learned.switches import steered
        >>> steered(1.0, active=0.1, wanted=0.1)
        (1.0, 1.0)
    """
    ratio = active / wanted
    mean = mu * ratio**INTEGRAL
    return mean, mean * ratio**PROPORTIONAL
