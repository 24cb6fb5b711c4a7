"""Gates of KEdge: Hard-Kumaraswamy variables parametrised by their log-odds."""

import math
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gsparse.kernels.gates import draw_gates
from gsparse.nn.hard_kumaraswamy import HardKumaraswamy
from gsparse.nn.rectified import log1mexp

LOW, HIGH = -0.1, 1.1
#: Bound of the log-odds: a gate that is always open or always closed has no gradient.
MOST_SURE = 10.0


class SteeredGate:
    r"""A Hard-Kumaraswamy gate that is open with given log-odds.

    .. math::
        \text{odds} = 10 \tanh(s_0 / 10), \qquad a = e^{\tanh s_1}, \qquad
        (1 - t_0^a)^b = P(z \ne 0) = \sigma(\text{odds})

    The shape parameter :math:`a` stays within a factor :math:`e` of 1, and :math:`b`
    follows from the odds. The density is then as easy to control as that of sigmoids;
    with free :math:`a` and :math:`b` it would have no gradient at wide open gates.

    Args:
        scores: :math:`s_0` and :math:`s_1` of each gate.
        fused: Whether to sample by a kernel where there is one (CPU, float32); it has
            no second derivatives. It samples the same numbers up to rounding.

    Shapes:
        - **scores:** :math:`(M, 2)`
    """

    def __init__(self, scores: Tensor, fused: bool = True) -> None:
        self.scores, self.fused = scores, fused

    @cached_property
    def rank(self) -> Tensor:
        """Log-odds of an open gate."""
        return MOST_SURE * torch.tanh(self.scores[:, 0] / MOST_SURE)

    @cached_property
    def variable(self) -> HardKumaraswamy:
        """The distribution, in torch's own operations."""
        a = torch.exp(torch.tanh(self.scores[:, 1]))
        log_power = a * math.log(-LOW / (HIGH - LOW))  # of t0
        b = softplus(-self.rank) / -log1mexp(log_power)
        return HardKumaraswamy(a, b, LOW, HIGH, validate_args=False)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Sample a weight for each edge, and return it with the probability that it is
        not 0.
        """
        scores = self.scores
        known = scores.device.type == "cpu" and scores.dtype == torch.float32
        if not (self.fused and known):
            return self.variable.rsample(), self.variable.expected_l0
        return draw_gates(scores, torch.rand(scores.size(0)), LOW, HIGH, MOST_SURE)
