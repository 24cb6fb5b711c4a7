"""GATConv and GATv2Conv that store no tensor of edges times channels."""

from typing import Any, Optional

from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import GATConv, GATv2Conv
from torch_geometric.typing import Adj, OptPairTensor, OptTensor, Size

from gsparse.kernels import (
    Graph,
    gat_layer,
    gatv2_attention,
)
from gsparse.nn.attention_base import (
    EDGE_WEIGHT,
    FastAttention,
    entries,
)
from gsparse.nn.fast_layer import as_dtypes_of, steps_of

# ruff: noqa: ANN401 (PyG's arguments are unions of tensors, pairs and adjacencies)


class FastGATConv(FastAttention, GATConv):
    r"""The graph attention layer of the `"Graph Attention Networks"
    <https://arxiv.org/abs/1710.10903>`_ paper, as a fused kernel.

    A drop-in replacement of :class:`torch_geometric.nn.GATConv`: it has the same
    arguments and parameter names (checkpoints load in both directions) and the same
    output up to rounding. Softmax and aggregation are one pass over the edges
    (:func:`gsparse.kernels.gat_layer`); no tensor of size
    ``edges * heads * channels`` is stored.

    In addition it takes ``edge_weight``, non-negative factors of the softmax terms:
    :math:`\alpha_{ij} \propto w_{ij} \exp(s_{ij})`, that is, ``log w`` added to the
    scores. Weight 0 equals a removed edge; self-loops that the layer adds have weight
    1. It also takes a prepared :class:`~gsparse.kernels.Graph`.

    PyG's own code runs, with the same parameters, in the cases that the kernel does not
    cover: ``edge_attr`` with ``edge_dim``, bipartite input,
    ``return_attention_weights``, sparse adjacencies, ``flow="target_to_source"``,
    aggregations other than a sum, hooks on message passing, overridden steps,
    explanations, ``torch.jit``, ``torch.export``, forward-mode differentiation, the
    transforms of ``torch.func``, and ``attention="reference"``, which is twice
    differentiable. In these cases ``edge_weight`` requires ``aggr="add"``.

    Args:
        *args: Arguments of :class:`torch_geometric.nn.GATConv`.
        attention: ``"fused"`` or ``"reference"``.
        **kwargs: Arguments of :class:`torch_geometric.nn.GATConv`.

    Shapes:
        - **x:** :math:`(N, F_{in})`
        - **edge_index:** :math:`(2, E)`, an ``EdgeIndex``, or a ``Graph``
        - **edge_weight:** :math:`(E,)`
        - **output:** :math:`(N, H \cdot F_{out})`

    Example:
        >>> import torch
        >>> from gsparse.nn import FastGATConv
        >>> conv = FastGATConv(3, 4, heads=2)
        >>> x, edge_index = torch.ones(5, 3), torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> conv(x, edge_index, edge_weight=torch.tensor([1.0, 0.5, 0.0])).shape
        torch.Size([5, 8])
    """

    def forward(
        self,
        x: Tensor | OptPairTensor,
        edge_index: Adj | Graph,
        edge_attr: OptTensor = None,
        size: Size = None,
        return_attention_weights: bool | None = None,
        *,
        edge_weight: OptTensor = None,
    ) -> Any:
        used_attr = self._used(edge_attr, edge_index)
        if self.lin is not None and self._serves(
            x, edge_index, used_attr, size, return_attention_weights
        ):
            return self._fused(x, edge_index, edge_weight)
        layer, edge_index, edge_attr, edge_weight = self._explicit_loops(
            x, entries(edge_index), used_attr, size, edge_weight
        )
        with layer._beside(edge_index, edge_weight):
            return super(FastGATConv, layer).forward(
                x, edge_index, edge_attr, size, return_attention_weights
            )

    def _used(self, edge_attr: OptTensor, edge_index: Any) -> OptTensor:
        """Return the edge features, or None if PyG ignores them after checking their
        length.
        """
        if edge_attr is None or self.lin_edge is not None:
            return edge_attr
        fits = isinstance(edge_index, Graph) or len(edge_attr) == edge_index.size(1)
        return None if fits else edge_attr

    def _fused(self, x: Tensor, edge_index: Any, edge_weight: OptTensor) -> Tensor:
        residual = None if self.res is None else self.res(x)
        hidden = as_dtypes_of(self.lin(x), self.att_src)
        fits = self.concat and self.bias is not None
        out = gat_layer(
            self._graph(edge_index, hidden.size(0)),
            hidden.view(-1, self.heads, self.out_channels),
            self.att_src[0],
            self.att_dst[0],
            self.bias if fits else None,
            edge_weight,
            **self._options(),
        )
        return self._finish(out, residual, None if fits else self.bias)

    def edge_update(
        self,
        alpha_j: Tensor,
        alpha_i: OptTensor,
        edge_attr: OptTensor,
        index: Tensor,
        ptr: OptTensor,
        dim_size: Optional[int],  # noqa: UP045 (PyG reads annotations, not unions)
    ) -> Tensor:
        if EDGE_WEIGHT.get() is None or index.numel() == 0:
            return super().edge_update(
                alpha_j, alpha_i, edge_attr, index, ptr, dim_size
            )
        score = alpha_j if alpha_i is None else alpha_j + alpha_i
        if edge_attr is not None and self.lin_edge is not None:
            edge = self.lin_edge(_matrix(edge_attr))
            edge = edge.view(-1, self.heads, self.out_channels)
            score = score + (edge * self.att_edge).sum(dim=-1)
        score = functional.leaky_relu(score, self.negative_slope)
        return self._normalise(score, index, dim_size)

    plain = GATConv
    steps = steps_of(GATConv, edge_update=edge_update)


class FastGATv2Conv(FastAttention, GATv2Conv):
    r"""The graph attention layer of the `"How Attentive are Graph Attention Networks?"
    <https://arxiv.org/abs/2105.14491>`_ paper, as a fused kernel.

    A drop-in replacement of :class:`torch_geometric.nn.GATv2Conv`; otherwise like
    :class:`FastGATConv`. The score reads every channel of both end points, so the
    backward pass visits the edges in both directions and costs about twice that of GAT.

    Args:
        *args: Arguments of :class:`torch_geometric.nn.GATv2Conv`.
        attention: ``"fused"`` or ``"reference"``.
        **kwargs: Arguments of :class:`torch_geometric.nn.GATv2Conv`.

    Shapes:
        - **x:** :math:`(N, F_{in})`
        - **edge_index:** :math:`(2, E)`, an ``EdgeIndex``, or a ``Graph``
        - **edge_weight:** :math:`(E,)`
        - **output:** :math:`(N, H \cdot F_{out})`

    Example:
        >>> import torch
        >>> from gsparse.nn import FastGATv2Conv
        >>> conv = FastGATv2Conv(3, 4, heads=2)
        >>> conv(torch.ones(5, 3), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([5, 8])
    """

    def forward(
        self,
        x: Tensor | OptPairTensor,
        edge_index: Adj | Graph,
        edge_attr: OptTensor = None,
        return_attention_weights: bool | None = None,
        *,
        edge_weight: OptTensor = None,
    ) -> Any:
        if self._serves(x, edge_index, edge_attr, return_attention_weights):
            return self._fused(x, edge_index, edge_weight)
        layer, edge_index, edge_attr, edge_weight = self._explicit_loops(
            x, entries(edge_index), edge_attr, None, edge_weight
        )
        with layer._beside(edge_index, edge_weight):
            return super(FastGATv2Conv, layer).forward(
                x, edge_index, edge_attr, return_attention_weights
            )

    def _fused(self, x: Tensor, edge_index: Any, edge_weight: OptTensor) -> Tensor:
        residual = None if self.res is None else self.res(x)
        shape = (-1, self.heads, self.out_channels)
        x_src = as_dtypes_of(self.lin_l(x), self.att).view(shape)
        x_dst = x_src
        if not self.share_weights:
            x_dst = as_dtypes_of(self.lin_r(x), self.att).view(shape)
        graph = self._graph(edge_index, x_src.size(0))
        out = gatv2_attention(
            graph, x_src, x_dst, self.att[0], edge_weight, **self._options()
        )
        return self._finish(out, residual, self.bias)

    def edge_update(
        self,
        x_j: Tensor,
        x_i: Tensor,
        edge_attr: OptTensor,
        index: Tensor,
        ptr: OptTensor,
        dim_size: Optional[int],  # noqa: UP045 (PyG reads annotations, not unions)
    ) -> Tensor:
        if EDGE_WEIGHT.get() is None or index.numel() == 0:
            return super().edge_update(x_j, x_i, edge_attr, index, ptr, dim_size)
        hidden = x_i + x_j
        if edge_attr is not None:
            edge = self.lin_edge(_matrix(edge_attr))
            hidden = hidden + edge.view(-1, self.heads, self.out_channels)
        hidden = functional.leaky_relu(hidden, self.negative_slope)
        return self._normalise((hidden * self.att).sum(dim=-1), index, dim_size)

    plain = GATv2Conv
    steps = steps_of(GATv2Conv, edge_update=edge_update)


def _matrix(edge_attr: Tensor) -> Tensor:
    """Return edge features as ``[E, D]``; PyG also takes ``[E]``."""
    return edge_attr.view(-1, 1) if edge_attr.dim() == 1 else edge_attr
