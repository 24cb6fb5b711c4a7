"""The gates of KEdge: Hard-Kumaraswamy variables that are steered by their log-odds."""

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gsparse.kernels.gates import draw_gates
from gsparse.nn.hard_kumaraswamy import HardKumaraswamy
from gsparse.nn.rectified import log1mexp

LOW, HIGH = -0.1, 1.1
#: Bound of the log-odds: a gate that is open or closed for good learns no more.
MOST_SURE = 10.0


class SteeredGate:
    r"""A Hard-Kumaraswamy gate that is open with given log-odds.

    .. math::
        \text{odds} = 10 \tanh(s_0 / 10), \qquad a = e^{\tanh s_1}, \qquad
        (1 - t_0^a)^b = P(z \ne 0) = \sigma(\text{odds})

    The shape parameter :math:`a` stays within a factor :math:`e` of 1, and :math:`b`
    follows. So the density is as easy to steer as that of sigmoids; with free
    :math:`a` and :math:`b` it has no gradient left where a gate is wide open.

    Args:
        scores: :math:`s_0` and :math:`s_1` of each gate.
        fused: Draw by a kernel where there is one (CPU, float32), which has no second
            derivatives. The same numbers, to rounding, for the same generator.

    Shapes:
        - **scores:** :math:`(M, 2)`
    """

    def __init__(self, scores: Tensor, fused: bool = True) -> None:
        self.scores, self.fused = scores, fused

    @cached_property
    def rank(self) -> Tensor:
        """Log P(z != 0) / P(z = 0)."""
        return MOST_SURE * torch.tanh(self.scores[:, 0] / MOST_SURE)

    @cached_property
    def variable(self) -> HardKumaraswamy:
        """The distribution, in torch's own operations."""
        a = torch.exp(torch.tanh(self.scores[:, 1]))
        log_power = a * math.log(-LOW / (HIGH - LOW))  # of t0
        b = softplus(-self.rank) / -log1mexp(log_power)
        return HardKumaraswamy(a, b, LOW, HIGH, validate_args=False)

    def draw(self) -> tuple[Tensor, Tensor]:
        """A weight of each edge, and the probability that it is not 0."""
        scores = self.scores
        known = scores.device.type == "cpu" and scores.dtype == torch.float32
        if not (self.fused and known):
            return self.variable.rsample(), self.variable.expected_l0
        return draw_gates(scores, torch.rand(scores.size(0)), LOW, HIGH, MOST_SURE)
