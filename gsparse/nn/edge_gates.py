"""EdgeGates: one free gate per edge, computed from no features."""

import torch
from torch import Tensor
from torch.nn import Module, init

from gsparse.nn.attention_base import Attention
from gsparse.nn.budgeted_mask import OPEN
from gsparse.nn.density import RAMP
from gsparse.nn.gate import PlainGate
from gsparse.nn.learned_mask import LearnedMask
from gsparse.nn.pair_scorer import EdgeGroups
from gsparse.nn.sparse_gat import SHIFT, gate


class EdgeGates(LearnedMask):
    r"""Wraps a GNN and learns one :class:`~gsparse.nn.HardConcrete` gate per undirected
    edge, whose log-odds are a free parameter, as in `"Learning Sparse Neural Networks
    through L0 Regularization" <https://arxiv.org/abs/1712.01312>`_.

    A gate is sampled in training and multiplies its edge; in evaluation the edges of
    largest log-odds are kept, at the exact budget. Gates meet the budget by the
    Lagrangian of :class:`~gsparse.nn.KEdge`.

    **When to use it.** As the control for masks that are computed from features, such
    as :class:`~gsparse.nn.KEdge`. On the graph that it is fitted to, with the
    predictions of a trained model at all nodes as signal
    (:func:`gsparse.train.fit_mask`), it keeps as many of them.

    **When not to use it.** For edges or graphs that were not there when it was fitted,
    nor with few labels as the only signal: an edge far from them has no gradient.

    **Cost.** One sample per edge and step; a training step takes about two plain ones.
    Memory is one parameter per edge, with its moments in the optimiser.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        in_channels: Not used; accepted so that all masks are built alike.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        penalty: Factor of the mean number of open gates; replaces ``sparsity``.
        seed: Not used, since all gates start alike.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.
        ramp: Number of training steps in which the density target falls to
            ``1 - sparsity``.
        edge_index: The graph, which is required.

    Shapes:
        - **edge_index:** :math:`(2, E)`

    Raises:
        ValueError: Unless exactly one of ``sparsity`` and ``penalty`` is given; without
            ``edge_index``, or if called with another graph.
        TypeError: If a convolution of the model takes no weights.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.data import complete
        >>> from gsparse.nn import EdgeGates
        >>> data = complete(10)
        >>> data.x = torch.eye(10)
        >>> mask = EdgeGates(GCN(10, 8, 2), sparsity=0.8, edge_index=data.edge_index)
        >>> mask.sparsify(data).num_edges
        18
    """

    edge_terms = "always"
    _otherwise = "make a new mask for it"

    def __init__(
        self,
        model: Module,
        in_channels: int | None = None,
        sparsity: float | None = None,
        penalty: float | None = None,
        seed: int | None = None,
        attention: Attention = "fused",
        ramp: int = RAMP,
        edge_index: Tensor | None = None,
    ) -> None:
        if edge_index is None:
            raise ValueError(
                "'edge_index' must be the graph whose edges get a gate (got None); use "
                "KEdge for gates that are computed from features"
            )
        super().__init__(
            model,
            sparsity,
            penalty,
            attention=attention,
            ramp=ramp,
            edge_index=edge_index,
        )
        with torch.no_grad():
            init.constant_(self.own, OPEN - SHIFT)

    def gates(self, x: Tensor, groups: EdgeGroups) -> list[PlainGate]:
        """Return the free gates; the features are not read."""
        return [gate(self.own.squeeze(1))]
