"""Base class of the fused attention layers."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import Module, functional
from torch_geometric.typing import OptTensor, Size
from torch_geometric.utils import add_self_loops, is_torch_sparse_tensor

from gsparse.kernels import (
    Graph,
    graph_of,
    weighted_softmax,
)
from gsparse.kernels.graph import SelfLoops
from gsparse.kernels.tracing import is_transformed
from gsparse.nn.fast_layer import FastLayer, with_long_ids

# ruff: noqa: ANN401 (PyG's arguments are unions of tensors, pairs and adjacencies)

Attention = Literal["fused", "reference"]

# PyG's forward has no argument for edge weights. A context variable passes them to
# edge_update, so that one layer may run in several threads.
EDGE_WEIGHT: ContextVar["EdgeWeight | None"] = ContextVar("edge_weight", default=None)


@dataclass
class EdgeWeight:
    """Edge weights passed to ``edge_update``, with a flag that is set when they are
    used.
    """

    values: Tensor
    used: bool = False


class FastAttention(FastLayer):
    """Base class of the fused attention layers: chooses the kernel or PyG's code and
    passes edge weights to PyG's steps.
    """

    attention: str
    heads: int
    out_channels: int
    dropout: float
    negative_slope: float
    add_self_loops: bool
    concat: bool

    def __init__(
        self, *args: Any, attention: Attention = "fused", **kwargs: Any
    ) -> None:
        check_attention(attention)
        super().__init__(*args, **kwargs)
        self.attention = attention

    def _serves(self, x: Any, edge_index: Any, *others: object) -> bool:
        """Return whether the fused kernel covers this call; otherwise PyG's
        code runs.
        """
        return (
            self.attention == "fused"
            and all(other is None or other is False for other in others)
            and self.flow == "source_to_target"
            and self.aggr in ("add", "sum")
            and self.decomposed_layers == 1
            and self.takes_kernel(x, edge_index)
            and not is_transformed()
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
        """Add self-loops whose features are filled from the edges of non-zero weight.

        PyG fills them from all edges, so an edge of weight 0 would still count.
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
        """Pass edge weights to ``edge_update``, in the edge order that PyG's forward
        uses.
        """
        given = None
        if weight is not None:
            if self.aggr not in ("add", "sum") and not self._aggregates_weights():
                raise ValueError(
                    f"'edge_weight' needs aggr='add', where weight 0 is an absent edge "
                    f"(got aggr={self.aggr!r})"
                )
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
            given = EdgeWeight(weight)
        token = EDGE_WEIGHT.set(given)
        try:
            yield
        finally:
            EDGE_WEIGHT.reset(token)
        if given is not None and not given.used and given.values.numel() > 0:
            raise ValueError(
                "'edge_weight' must reach the layer's own edge_update "
                f"({type(self).__name__} overrides it and does not call super())"
            )

    def _aggregates_weights(self) -> bool:
        """Return whether a mask replaced the aggregation by one that counts its
        weights.
        """
        return getattr(vars(self).get("aggregate"), "counts_weights", False)

    def _normalise(self, score: Tensor, index: Tensor, dim_size: int | None) -> Tensor:
        """Apply weighted softmax and dropout in place of PyG's softmax."""
        given = EDGE_WEIGHT.get()
        assert given is not None
        given.used, weight = True, given.values
        loops = weight.new_ones(index.numel() - weight.numel())  # PyG appends these
        weight = torch.cat([weight, loops]).to(score.dtype)
        if dim_size is None:
            dim_size = int(index.max()) + 1 if index.numel() > 0 else 0
        share = weighted_softmax(score, index, dim_size, weight)
        return functional.dropout(share, p=self.dropout, training=self.training)


def check_module(model: object) -> None:
    """Raise an error if a model is not a module, for instance its class."""
    if not isinstance(model, Module):
        found = type(model).__name__
        got = f"the class {model.__name__}" if isinstance(model, type) else found
        raise TypeError(
            f"'model' must be a module, such as GAT(8, 16, num_layers=2) (got {got})"
        )


def check_attention(attention: str) -> None:
    """Raise an error unless ``attention`` is ``"fused"`` or ``"reference"``."""
    allowed = get_args(Attention)
    if attention not in allowed:
        raise ValueError(f"'attention' must be one of {allowed} (got {attention!r})")


def entries(edge_index: Any) -> Any:
    """Return the ``edge_index`` that a ``Graph`` was made from, for the
    reference path.
    """
    if not isinstance(edge_index, Graph):
        return with_long_ids(edge_index)
    return with_long_ids(edge_index.original_edge_index())
