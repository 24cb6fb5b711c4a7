"""NeuralSparse: every node samples k of its neighbours."""

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import draw_seed
from gsparse.nn.attention_base import Attention
from gsparse.nn.gate import PlainGate
from gsparse.nn.learned_mask import LearnedMask
from gsparse.nn.pair_scorer import EdgeGroups, PairScorer
from gsparse.nn.seeded import seeded

#: First and last temperature of the relaxed choice, and its decay per training step.
FIRST, LAST, DECAY = 1.0, 0.05, 0.99


class Choice:
    r"""k neighbours sampled by every node, relaxed to edge weights.

    A node :math:`u` samples :math:`v` with probability
    :math:`\pi_{uv} = \operatorname{softmax}_{v \in N(u)} s_{uv}`; a sample is a
    Gumbel-softmax over its neighbours. The weight of an edge is the larger one of its
    two directions.

    Args:
        score: :math:`s` of both directions of every edge.
        groups: The edges.
        num_draws: Number of samples of each node.
        temperature: Temperature of the relaxation; near 0 a sample is one neighbour.

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
        """Compute the log-softmax over the edges of each node."""
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
        """Probability that an end of the edge samples it at least once."""
        missed = (1 - self.log_share.exp()).clamp(min=0) ** self.num_draws
        return 1 - missed.view(2, -1).prod(0)

    def rsample(self) -> Tensor:
        """Sample weights in [0, 1] of all edges, differentiable in the scores."""
        most = torch.zeros_like(self.log_share)
        for _ in range(self.num_draws):
            noise = -torch.empty_like(self.log_share).exponential_().log()
            drawn = self._log_softmax((self.log_share + noise) / self.temperature)
            most = torch.maximum(most, drawn.exp())
        return most.view(2, -1).amax(0)


class NeuralSparse(LearnedMask):
    r"""Wraps a GNN and learns which k neighbours each node uses, from the `"Robust
    Graph Representation Learning via Neural Sparsification"
    <https://proceedings.mlr.press/v119/zheng20d.html>`_ paper.

    Both directions of an edge get a score :math:`s_{uv}` from the features of its end
    points (:class:`~gsparse.nn.pair_scorer.PairScorer`). In training every node
    :math:`u` samples ``k`` neighbours :math:`v` (:class:`Choice`) with the
    probabilities :math:`\operatorname{softmax}_{v \in N(u)} s_{uv}`, relaxed to a
    Gumbel-softmax with a temperature that falls by 1 % per step. In evaluation the
    edges with the largest probability are kept, at the exact budget of ``sparsity``.

    Differences from the paper: an edge is kept in both directions if either end selects
    it, so that an undirected graph stays undirected; the budget is exact.

    The mask treats a batch of graphs as one graph, with one budget over all edges.

    **When to use it.** If all nodes have labels, and each node needs few of its
    neighbours.

    **When not to use it.** With few labels: it learns from the loss of the model only.
    With a trained model :class:`~gsparse.nn.KEdge` keeps more of its predictions.

    **Cost.** ``k`` passes over the edges per training step. Memory is a few numbers per
    edge for each of the ``k`` draws.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        in_channels: Number of node features.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        k: Number of neighbours that each node samples in training.
        hidden_channels: Width of the projection that scores are computed from.
        seed: Random seed of the mask's initial weights; ``None`` draws one.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.
        edge_index: Graph whose edges get a learned term for each direction, as in
            :class:`~gsparse.nn.KEdge`; ours, not in the paper.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`

    Raises:
        ValueError: If ``sparsity`` or ``k`` is out of range.
        TypeError: If a convolution of the model takes no weights.

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

    terms_per_mask = 2

    def __init__(
        self,
        model: Module,
        in_channels: int,
        sparsity: float,
        k: int = 5,
        hidden_channels: int = 8,
        seed: int | None = None,
        attention: Attention = "fused",
        edge_index: Tensor | None = None,
    ) -> None:
        super().__init__(model, sparsity, attention=attention, edge_index=edge_index)
        self.in_channels, self.ramp = in_channels, 0  # there is no density target
        if k < 1:
            raise ValueError(f"'k' must be at least 1 (got {k})")
        self.k = k
        with seeded(draw_seed(seed) % 2**63):
            self.scorer = PairScorer(
                in_channels,
                hidden_channels,
                1,
                symmetric=False,
                fused=attention == "fused",
            )

    def gates(self, x: Tensor, groups: EdgeGroups) -> list[PlainGate]:
        """Return the relaxed choice, ranked by the probability of each edge."""
        both = [self.scorer(x, groups, flip) for flip in (False, True)]
        score = self._with_edge_terms(torch.cat(both, dim=1)).t()
        temperature = max(LAST, FIRST * DECAY ** float(self.num_steps))
        choice = Choice(score, groups, self.k, temperature)
        return [PlainGate(choice.share.logit(eps=1e-7), choice)]

    def penalty(self) -> Tensor:
        """Return zero, since the number of samples is the budget; each call lowers the
        temperature.
        """
        self._opened = []
        self.num_steps += 1
        return self.multiplier.new_zeros(())
