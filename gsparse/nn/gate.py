"""Gates of a learned mask: sampled in training, ranked in evaluation."""

from typing import NamedTuple, Protocol

from torch import Tensor


class Drawn(Protocol):
    """Edge weights that are sampled in training."""

    @property
    def expected_l0(self) -> Tensor:
        """Probability that a weight is not 0."""

    def rsample(self) -> Tensor:
        """Sample weights in [0, 1], differentiable in the parameters."""


class Gate(Protocol):
    """Gates of all edges: sampled in training, ranked in evaluation."""

    @property
    def rank(self) -> Tensor:
        """Rank of each edge, larger is kept; for gates the log-odds of being open."""

    @property
    def variable(self) -> Drawn:
        """Distribution of the weights."""

    def draw(self) -> tuple[Tensor, Tensor]:
        """Sample weights, and return them with the probabilities that they are
        not 0.
        """


class PlainGate(NamedTuple):
    """A gate that samples from its variable."""

    rank: Tensor
    variable: Drawn

    def draw(self) -> tuple[Tensor, Tensor]:
        """Sample weights, and return them with the probabilities that they are
        not 0.
        """
        return self.variable.rsample(), self.variable.expected_l0
