"""KEdge: learn which edges a network does not need."""

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.edges import draw_seed
from gsparse.nn.attention_base import Attention
from gsparse.nn.budgeted_mask import OPEN
from gsparse.nn.density import RAMP
from gsparse.nn.learned_mask import LearnedMask, Scope
from gsparse.nn.pair_scorer import EdgeGroups, PairScorer
from gsparse.nn.seeded import seeded
from gsparse.nn.steered_gate import SteeredGate


class KEdge(LearnedMask):
    r"""Wraps a GNN and learns a mask on its edges, after the `"Learnt Sparsification
    for Interpretable Graph Neural Networks" <https://arxiv.org/abs/2106.12920>`_ paper.

    Each undirected edge has a :class:`~gsparse.nn.HardKumaraswamy` gate
    :math:`z \in [0, 1]`, exactly 0 with positive probability, whose two shape
    parameters are computed from the features of its end points
    (:class:`~gsparse.nn.pair_scorer.PairScorer`,
    :class:`~gsparse.nn.steered_gate.SteeredGate`). If ``edge_index`` is given, a
    learned term per edge is added. In training a gate is sampled and multiplies the
    edge; gates and model are learned together by gradient descent. In evaluation the
    mask is 0 or 1, and the output equals that of the model on ``self.sparsify(data)``,
    from which the edges are removed.

    An augmented Lagrangian pulls the mean probability of an open gate towards
    ``1 - sparsity``. :meth:`penalty` returns it and :func:`gsparse.train.fit` adds it
    to the loss. In evaluation the pairs with the largest :math:`P(z \ne 0)` are kept,
    at the exact budget, whether the mask is trained or not. With ``penalty=`` the loss
    has a fixed factor times that mean instead, as in the paper, and evaluation removes
    the pairs for which 0 is the most likely of three cases: 0, 1, and anything in
    between.

    **How to train it.** :func:`gsparse.train.fit_mask` fits it so that the sparse graph
    keeps the predictions of a trained model at all nodes; the numbers in
    ``docs/kedge.md`` were obtained in this way.

    **When to use it.** For a trained model, if edges or graphs are to be cut that are
    not there yet, or if the mask is to be learned with the weights.

    **When not to use it.** With few labels as the only signal: they carry no
    information about edges far from them, and fitted to PubMed's 60 labels alone the
    mask was no better than random edges. For a trained model on one graph
    :class:`~gsparse.train.EdgeExchange` is faster and keeps more.

    Differences from the paper: its parameter network is not public, so the network, the
    Lagrangian, the exact budget and the terms per edge are ours.

    The mask treats a batch of graphs as one graph, with one budget over all edges.

    **Cost.** One inner product per edge and shape parameter on top of the model; a
    training step takes one to three plain ones. No tensor of edges times channels is
    stored beyond those of the layers.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        in_channels: Number of node features.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        penalty: Factor of the mean number of open gates; replaces ``sparsity``.
        hidden_channels: Width of the projection that gates are computed from.
        scope: ``"shared"`` is one mask for all layers, ``"layer"`` one per layer.
        symmetric: Whether both directions of an edge share one gate.
        seed: Random seed of the mask's initial weights; ``None`` draws one.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.
        edge_index: Graph whose edges get one learned term each, in addition to the one
            computed from their end points; the mask then works on this graph only.
            With ``None`` the mask is computed from features and works on any graph.
        ramp: Number of training steps in which the density target falls to
            ``1 - sparsity``.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`

    Raises:
        ValueError: Unless exactly one of ``sparsity`` and ``penalty`` is given; if the
            mask is called with another graph than that of ``edge_index``.
        TypeError: If a convolution of the model takes no weights.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.nn import KEdge
        >>> data = complete(10)
        >>> data.x = torch.eye(10)
        >>> model = KEdge(GCN(10, 8, 2), in_channels=10, sparsity=0.8, seed=5).eval()
        >>> model(data.x, data.edge_index).shape
        torch.Size([10, 8])
        >>> model.sparsify(data).num_edges, data.num_edges
        (18, 90)
    """

    takes_scope = True
    terms_per_mask = 2
    edge_terms = "with a teacher"

    def __init__(
        self,
        model: Module,
        in_channels: int,
        sparsity: float | None = None,
        penalty: float | None = None,
        hidden_channels: int = 8,
        scope: Scope = "shared",
        symmetric: bool = True,
        seed: int | None = None,
        attention: Attention = "fused",
        edge_index: Tensor | None = None,
        ramp: int = RAMP,
    ) -> None:
        super().__init__(
            model, sparsity, penalty, scope, symmetric, attention, ramp, edge_index
        )
        self.in_channels = in_channels
        num_scores = 2 * len(self.names)
        with seeded(draw_seed(seed) % 2**63):
            self.scorer = PairScorer(
                in_channels,
                hidden_channels,
                num_scores,
                symmetric,
                fused=attention == "fused",
            )
        with torch.no_grad():
            self.scorer.bias[::2] = OPEN

    def gates(self, x: Tensor, groups: EdgeGroups) -> list[SteeredGate]:
        """Return the gates of each mask, from features and, if any, the terms
        per edge.
        """
        scores = self._with_edge_terms(self.scorer(x, groups))
        fused = self.attention == "fused"
        return [SteeredGate(two, fused) for two in scores.split(2, dim=1)]
