"""SparseGAT: L0-regularised gates on edges."""

import math

import torch
from torch import Tensor
from torch.nn import Linear, Module, Parameter, init

from gsparse.edges import draw_seed
from gsparse.nn.attention_base import Attention
from gsparse.nn.budgeted_mask import OPEN
from gsparse.nn.density import RAMP
from gsparse.nn.gate import PlainGate
from gsparse.nn.hard_concrete import HardConcrete
from gsparse.nn.learned_mask import LearnedMask
from gsparse.nn.pair_scorer import EdgeGroups
from gsparse.nn.seeded import seeded

TEMPERATURE = 0.66
LOW, HIGH = -0.1, 1.1
#: Difference between the log-odds of an open gate and the logits of the variable.
SHIFT = TEMPERATURE * math.log(HIGH / -LOW)


def gate(logits: Tensor) -> PlainGate:
    """Return a hard concrete gate, ranked by its log-odds of being open.

    Shapes:
        - **logits:** :math:`(M,)`
    """
    variable = HardConcrete(logits, TEMPERATURE, LOW, HIGH, validate_args=False)
    return PlainGate(variable.logits + SHIFT, variable)


class SparseGAT(LearnedMask):
    r"""Wraps a GNN and learns one hard concrete gate per edge, from the `"Sparse Graph
    Attention Networks" <https://arxiv.org/abs/1912.00552>`_ paper.

    The log-odds of a :class:`~gsparse.nn.HardConcrete` gate are
    :math:`a^\top (W x_u + W x_v) + c`, computed once from the features and shared by
    all heads and layers. ``penalty`` is the paper's :math:`\lambda`, here the factor of
    the *mean* number of open gates; ``sparsity`` meets an exact budget instead, as in
    :class:`~gsparse.nn.KEdge`.

    Difference from the paper: its attention is the gate divided by the sum of the
    gates, without a softmax; here the gate multiplies the edge of the wrapped model, so
    that methods can be compared on the same model.

    The mask treats a batch of graphs as one graph, with one budget over all edges.

    **When to use it.** If it depends on single nodes whether their edges are of use,
    for example because some nodes are noise; also as the simplest learned mask.

    **When not to use it.** If it depends on how similar two nodes are: the score is a
    sum over the end points and cannot express that; use :class:`~gsparse.nn.KEdge`.

    **Cost.** One addition per edge on top of the model; a training step takes about two
    plain ones. Memory is a few numbers per edge.

    Args:
        model: Any module called as ``model(x, edge_index, ...)`` whose convolutions
            :func:`~gsparse.nn.edge_weights` supports.
        in_channels: Number of node features.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        penalty: Factor of the mean number of open gates; replaces ``sparsity``.
        hidden_channels: Width of the projection :math:`W`.
        seed: Random seed of the mask's initial weights; ``None`` draws one.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.
        ramp: Number of training steps in which the density target falls to
            ``1 - sparsity``.
        edge_index: Graph whose edges get one learned term each, as in
            :class:`~gsparse.nn.KEdge`; ours, not in the paper.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`

    Raises:
        ValueError: Unless exactly one of ``sparsity`` and ``penalty`` is given.
        TypeError: If a convolution of the model takes no weights.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GAT
        >>> from gsparse.data import complete
        >>> from gsparse.nn import SparseGAT
        >>> data = complete(10)
        >>> data.x = torch.eye(10)
        >>> model = SparseGAT(GAT(10, 8, 2), in_channels=10, sparsity=0.8, seed=5)
        >>> model.sparsify(data).num_edges
        18
    """

    def __init__(
        self,
        model: Module,
        in_channels: int,
        sparsity: float | None = None,
        penalty: float | None = None,
        hidden_channels: int = 8,
        seed: int | None = None,
        attention: Attention = "fused",
        ramp: int = RAMP,
        edge_index: Tensor | None = None,
    ) -> None:
        super().__init__(
            model,
            sparsity,
            penalty,
            attention=attention,
            ramp=ramp,
            edge_index=edge_index,
        )
        self.in_channels = in_channels
        with seeded(draw_seed(seed) % 2**63):
            self.lin = Linear(in_channels, hidden_channels, bias=False)
            self.ends = Parameter(torch.empty(hidden_channels))
            init.normal_(self.ends, std=0.1)
        self.bias = Parameter(torch.tensor(OPEN - SHIFT))

    def gates(self, x: Tensor, groups: EdgeGroups) -> list[PlainGate]:
        """Return one gate per edge, from the features of its end points."""
        own = self.lin(x) @ self.ends
        ends = own.index_select(0, groups.row) + own.index_select(0, groups.col)
        scores = self._with_edge_terms((ends + self.bias).unsqueeze(1))
        return [gate(scores.squeeze(1))]
