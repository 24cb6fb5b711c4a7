"""GATConv and GATv2Conv without edge-sized feature tensors; same parameters."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any, Literal, Optional, get_args

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import GATConv, GATv2Conv
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.typing import Adj, OptPairTensor, OptTensor, Size
from torch_geometric.utils import add_self_loops, is_torch_sparse_tensor

from gsparse.kernels import (
    Graph,
    gat_layer,
    gatv2_attention,
    graph_of,
    weighted_softmax,
)
from gsparse.kernels.graph import SelfLoops

# ruff: noqa: ANN401 (PyG's arguments are unions of tensors, pairs and adjacencies)

Attention = Literal["fused", "reference"]

# PyG's forward has no place for edge weights: they reach edge_update beside it, per
# thread and per call, so that one layer may run in several threads.
_WEIGHT: ContextVar[Tensor | None] = ContextVar("edge_weight", default=None)


class _FastAttention(MessagePassing):
    """What both layers share: when the kernel serves, and how weights get around."""

    attention: str
    heads: int
    out_channels: int
    dropout: float
    negative_slope: float
    add_self_loops: bool
    concat: bool

    def _serves(self, x: Any, edge_index: Any, *others: object) -> bool:
        """Whether the fused kernel covers this call; otherwise PyG's code runs."""
        plain = isinstance(edge_index, Graph) or (
            isinstance(edge_index, Tensor) and not is_torch_sparse_tensor(edge_index)
        )
        untouched = not self.explain and self.decomposed_layers == 1
        return (
            self.attention == "fused"
            and isinstance(x, Tensor)
            and plain
            and all(other is None or other is False for other in others)
            and self.flow == "source_to_target"
            and self.aggr in ("add", "sum")
            and untouched
            and not any(_hooks(self))
        )

    def _graph(self, edge_index: Tensor | Graph, num_nodes: int) -> Graph:
        if not isinstance(edge_index, Graph):
            loops: SelfLoops = "replace" if self.add_self_loops else "keep"
            return graph_of(edge_index, num_nodes, loops)
        if edge_index.num_nodes != num_nodes:
            raise ValueError(
                f"'x' must have one row per node of the Graph, "
                f"{edge_index.num_nodes} (got {num_nodes})"
            )
        return edge_index.with_self_loops("replace" if self.add_self_loops else "keep")

    def _options(self) -> dict[str, Any]:
        dropout = float(self.dropout) if self.training else 0.0
        seed = torch.randint(2**62, ()) if dropout > 0 else None
        slope = self.negative_slope
        return {"negative_slope": slope, "dropout": dropout, "seed": seed}

    def _finish(self, out: Tensor, residual: OptTensor, bias: OptTensor) -> Tensor:
        out = out.flatten(1) if self.concat else out.mean(dim=1)
        if residual is not None:
            out = out + residual
        return out if bias is None else out + bias

    def _explicit_loops(
        self,
        x: Any,
        edge_index: Any,
        edge_attr: OptTensor,
        size: Size,
        weight: OptTensor,
    ) -> tuple[Any, Any, OptTensor, OptTensor]:
        """Self-loops whose features are filled from the edges that are present.

        PyG fills them from all edges; then an edge of weight 0 would not be absent.
        """
        if weight is None or edge_attr is None or not self.add_self_loops:
            return self, edge_index, edge_attr, weight
        sizes = [
            t.size(0) for t in (x if isinstance(x, tuple) else (x,)) if t is not None
        ]
        num_nodes = min(sizes if size is None else size)
        keep = edge_index[0] != edge_index[1]
        here = keep & (weight != 0)
        _, filled = add_self_loops(
            edge_index[:, here], edge_attr[here], self.fill_value, num_nodes
        )
        loops = torch.arange(num_nodes, device=edge_index.device).expand(2, -1)
        layer = copy(self)  # shares the parameters
        layer.add_self_loops = False
        return (
            layer,
            torch.cat([edge_index[:, keep], loops], dim=1),
            torch.cat([edge_attr[keep], filled[int(here.sum()) :]]),
            torch.cat([weight[keep], weight.new_ones(num_nodes)]),
        )

    @contextmanager
    def _beside(self, edge_index: Any, weight: Tensor | None) -> Iterator[None]:
        """Hand edge weights to ``edge_update``, in the order PyG's forward makes."""
        if weight is not None:
            if not isinstance(edge_index, Tensor) or is_torch_sparse_tensor(edge_index):
                kind = type(edge_index).__name__
                raise TypeError(
                    f"'edge_weight' needs 'edge_index' as a [2, E] tensor or a Graph "
                    f"(got {kind})"
                )
            if weight.shape != edge_index.shape[1:]:
                raise ValueError(
                    f"'edge_weight' must have shape [{edge_index.size(1)}] "
                    f"(got {list(weight.shape)})"
                )
            if self.add_self_loops:
                weight = weight[edge_index[0] != edge_index[1]]
        token = _WEIGHT.set(weight)
        try:
            yield
        finally:
            _WEIGHT.reset(token)

    def _normalise(self, score: Tensor, index: Tensor, dim_size: int | None) -> Tensor:
        """Weighted softmax and dropout, where PyG has its softmax."""
        weight = _WEIGHT.get()
        assert weight is not None
        loops = weight.new_ones(index.numel() - weight.numel())  # stand last
        weight = torch.cat([weight, loops]).to(score.dtype)
        if dim_size is None:
            dim_size = int(index.max()) + 1 if index.numel() > 0 else 0
        share = weighted_softmax(score, index, dim_size, weight)
        return functional.dropout(share, p=self.dropout, training=self.training)


def _hooks(layer: MessagePassing) -> Iterator[Any]:
    for step in ("propagate", "message", "aggregate", "edge_update"):
        yield getattr(layer, f"_{step}_forward_pre_hooks")
        yield getattr(layer, f"_{step}_forward_hooks")


def check_attention(attention: str) -> None:
    """Raise unless ``attention`` names a way to compute it."""
    if attention not in get_args(Attention):
        allowed = get_args(Attention)
        raise ValueError(f"'attention' must be one of {allowed} (got {attention!r})")


def _entries(edge_index: Any) -> Any:
    """The ``edge_index`` a Graph was made from, for the reference path."""
    if not isinstance(edge_index, Graph):
        return edge_index
    return edge_index.original_edge_index()


class FastGATConv(_FastAttention, GATConv):
    r"""`"Graph Attention Networks" <https://arxiv.org/abs/1710.10903>`_, fused.

    A drop-in for :class:`torch_geometric.nn.GATConv`: same arguments, same parameter
    names (checkpoints load both ways), same output to rounding. Softmax and
    aggregation are one pass over the edges (:func:`gsparse.kernels.gat_layer`);
    nothing of the size ``edges * heads * channels`` is ever stored.

    Beyond PyG's layer it takes ``edge_weight``, non-negative factors of the softmax
    terms: :math:`\alpha_{ij} \propto w_{ij} \exp(s_{ij})`, that is, ``log w`` added
    to the scores. Weight 0 equals an absent edge; self-loops that the layer adds have
    weight 1. And it takes a prepared :class:`~gsparse.kernels.Graph`.

    PyG's own code runs, with the same parameters, for what the kernel does not do:
    ``edge_attr`` with ``edge_dim``, bipartite input, ``return_attention_weights``,
    sparse adjacencies, hooks on message passing, explanations, and
    ``attention="reference"``, which is differentiable twice.

    Args:
        *args: As :class:`torch_geometric.nn.GATConv`.
        attention: ``"fused"`` or ``"reference"``.
        **kwargs: As :class:`torch_geometric.nn.GATConv`.

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

    def __init__(
        self,
        *args: Any,
        attention: Attention = "fused",
        **kwargs: Any,
    ) -> None:
        check_attention(attention)
        super().__init__(*args, **kwargs)
        self.attention = attention

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
        used_attr = edge_attr if self.lin_edge is not None else None
        if self.lin is not None and self._serves(
            x, edge_index, used_attr, size, return_attention_weights
        ):
            return self._fused(x, edge_index, edge_weight)
        layer, edge_index, edge_attr, edge_weight = self._explicit_loops(
            x, _entries(edge_index), used_attr, size, edge_weight
        )
        with layer._beside(edge_index, edge_weight):
            return super(FastGATConv, layer).forward(
                x, edge_index, edge_attr, size, return_attention_weights
            )

    def _fused(self, x: Tensor, edge_index: Any, edge_weight: OptTensor) -> Tensor:
        residual = None if self.res is None else self.res(x)
        hidden = self.lin(x)
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
        if _WEIGHT.get() is None:
            return super().edge_update(
                alpha_j, alpha_i, edge_attr, index, ptr, dim_size
            )
        score = alpha_j if alpha_i is None else alpha_j + alpha_i
        if edge_attr is not None and self.lin_edge is not None:
            edge = self.lin_edge(edge_attr.view(index.numel(), -1))
            edge = edge.view(-1, self.heads, self.out_channels)
            score = score + (edge * self.att_edge).sum(dim=-1)
        score = functional.leaky_relu(score, self.negative_slope)
        return self._normalise(score, index, dim_size)


class FastGATv2Conv(_FastAttention, GATv2Conv):
    r"""`"How Attentive are Graph Attention Networks?"
    <https://arxiv.org/abs/2105.14491>`_, fused.

    A drop-in for :class:`torch_geometric.nn.GATv2Conv`; otherwise as
    :class:`FastGATConv`. The score sees every channel of both end points, so its
    backward pass walks both structures and costs about twice that of GAT.

    Args:
        *args: As :class:`torch_geometric.nn.GATv2Conv`.
        attention: ``"fused"`` or ``"reference"``.
        **kwargs: As :class:`torch_geometric.nn.GATv2Conv`.

    Shapes:
        As :class:`FastGATConv`.

    Example:
        >>> import torch
        >>> from gsparse.nn import FastGATv2Conv
        >>> conv = FastGATv2Conv(3, 4, heads=2)
        >>> conv(torch.ones(5, 3), torch.tensor([[0, 1, 2], [1, 2, 0]])).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        *args: Any,
        attention: Attention = "fused",
        **kwargs: Any,
    ) -> None:
        check_attention(attention)
        super().__init__(*args, **kwargs)
        self.attention = attention

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
            x, _entries(edge_index), edge_attr, None, edge_weight
        )
        with layer._beside(edge_index, edge_weight):
            return super(FastGATv2Conv, layer).forward(
                x, edge_index, edge_attr, return_attention_weights
            )

    def _fused(self, x: Tensor, edge_index: Any, edge_weight: OptTensor) -> Tensor:
        residual = None if self.res is None else self.res(x)
        shape = (-1, self.heads, self.out_channels)
        x_src = self.lin_l(x).view(shape)
        x_dst = x_src if self.share_weights else self.lin_r(x).view(shape)
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
        if _WEIGHT.get() is None:
            return super().edge_update(x_j, x_i, edge_attr, index, ptr, dim_size)
        hidden = x_i + x_j
        if edge_attr is not None:
            edge = self.lin_edge(edge_attr.view(index.numel(), -1))
            hidden = hidden + edge.view(-1, self.heads, self.out_channels)
        hidden = functional.leaky_relu(hidden, self.negative_slope)
        return self._normalise((hidden * self.att).sum(dim=-1), index, dim_size)
