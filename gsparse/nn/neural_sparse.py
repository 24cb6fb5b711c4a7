"""NeuralSparse: every node chooses k of its neighbours."""

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import draw_seed
from gsparse.nn.fast_gat_conv import Attention
from gsparse.nn.learned_mask import LearnedMask, PlainGate
from gsparse.nn.pair_scorer import EdgeGroups, PairScorer

#: Temperatures of the relaxed choice, from the first training step on.
FIRST, LAST, DECAY = 1.0, 0.05, 0.99


class Choice:
    r"""k draws of a neighbour by every node, relaxed to weights of the edges.

    A node :math:`u` draws :math:`v` with probability
    :math:`\pi_{uv} = \operatorname{softmax}_{v \in N(u)} s_{uv}`; a draw is a
    Gumbel-softmax over its neighbours. An edge has the larger weight of its two ends.

    Args:
        score: :math:`s` of both directions of every edge.
        groups: The edges.
        num_draws: Draws of each node.
        temperature: Of the relaxation; near 0 a draw is one neighbour.

    Shapes:
        - **score:** :math:`(2, M)`
    """

    def __init__(
        self, score: Tensor, groups: EdgeGroups, num_draws: int, temperature: float
    ) -> None:
        self.chooser = torch.cat([groups.row, groups.col])
        self.num_nodes = groups.pattern.shape[0]
        self.log_share = self._log_softmax(score.flatten())
        self.num_draws, self.temperature = num_draws, temperature

    def _log_softmax(self, value: Tensor) -> Tensor:
        """Over the edges of each node."""
        most = value.new_full((self.num_nodes,), -torch.inf)
        most = most.scatter_reduce(0, self.chooser, value.detach(), "amax")
        shifted = value - most.index_select(0, self.chooser)
        total = value.new_zeros(self.num_nodes)
        total = total.index_add(0, self.chooser, shifted.exp())
        return shifted - total.log().index_select(0, self.chooser)

    @property
    def share(self) -> Tensor:
        """Larger of the two probabilities of every edge, for one draw."""
        return self.log_share.exp().view(2, -1).amax(0)

    @property
    def expected_l0(self) -> Tensor:
        """Probability that an end of the edge draws it at least once."""
        missed = (1 - self.log_share.exp()).clamp(min=0) ** self.num_draws
        return 1 - missed.view(2, -1).prod(0)

    def rsample(self) -> Tensor:
        """Weights in [0, 1] of all edges, differentiable in the scores."""
        most = torch.zeros_like(self.log_share)
        for _ in range(self.num_draws):
            noise = -torch.empty_like(self.log_share).exponential_().log()
            drawn = self._log_softmax((self.log_share + noise) / self.temperature)
            most = torch.maximum(most, drawn.exp())
        return most.view(2, -1).amax(0)


class NeuralSparse(LearnedMask):
    r"""Wraps a GNN and learns which k neighbours each node listens to, from the
    `"Robust Graph Representation Learning via Neural Sparsification"
    <https://proceedings.mlr.press/v119/zheng20d.html>`_ paper.

    Both directions of an edge get a score from the features of its end points
    (:class:`~gsparse.nn.pair_scorer.PairScorer`); see :class:`Choice` for what is
    drawn in training, with a temperature that falls by 1 % a step. In evaluation the
    edges of largest probability stay, at the exact budget of ``sparsity``.

    Differs from the paper: an edge stays in both directions if either end wants it, so
    an undirected graph stays one; the budget is exact. Learns from the loss of the
    model only, so few labels teach it little. A batch of graphs is one graph to the
    mask, with one budget over all its edges.
    Costs ``k`` passes over the edges a training step.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        in_channels: Number of node features.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        k: Draws of each node in training.
        hidden_channels: Width of the projection that scores are computed from.
        seed: Of the first weights of the mask; ``None`` draws one.
        attention: ``"reference"`` where second derivatives are needed.

    Raises:
        ValueError: If ``sparsity`` or ``k`` is out of range.
        TypeError: If a convolution of the model takes no weights; says which.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.nn import NeuralSparse
        >>> data = complete(10)
        >>> data.x = torch.eye(10)
        >>> model = NeuralSparse(GCN(10, 8, 2), 10, sparsity=0.8, k=2, seed=5)
        >>> model.sparsify(data).num_edges
        18
    """

    def __init__(
        self,
        model: Module,
        in_channels: int,
        sparsity: float,
        k: int = 5,
        hidden_channels: int = 8,
        seed: int | None = None,
        attention: Attention = "fused",
    ) -> None:
        super().__init__(model, sparsity, attention=attention)
        self.in_channels, self.ramp = in_channels, 0  # there is no target that falls
        if k < 1:
            raise ValueError(f"'k' must be at least 1 (got {k})")
        self.k = k
        with torch.random.fork_rng([]):
            torch.manual_seed(draw_seed(seed) % 2**63)
            self.scorer = PairScorer(
                in_channels,
                hidden_channels,
                1,
                symmetric=False,
                fused=attention == "fused",
            )

    def gates(self, x: Tensor, groups: EdgeGroups) -> list[PlainGate]:
        """What is drawn, and the share that edges are ranked by."""
        both = [self.scorer(x, groups, flip) for flip in (False, True)]
        score = torch.stack(both).squeeze(2)
        temperature = max(LAST, FIRST * DECAY ** float(self.num_steps))
        choice = Choice(score, groups, self.k, temperature)
        return [PlainGate(choice.share.logit(eps=1e-7), choice)]

    def penalty(self) -> Tensor:
        """Zero: the number of draws is the budget. Each call cools the choice."""
        self._opened = []
        self.num_steps += 1
        return self.multiplier.new_zeros(())
