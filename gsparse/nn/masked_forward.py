"""Forward passes of convolutions with one weight per edge."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric import EdgeIndex
from torch_geometric.nn import (
    APPNP,
    GATConv,
    GATv2Conv,
    GCN2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    SAGEConv,
    SGConv,
    TransformerConv,
)
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.utils import add_remaining_self_loops

from gsparse.kernels.tensor_cache import TensorCache
from gsparse.nn.attention_base import Attention
from gsparse.nn.fast_gat_conv import FastGATConv, FastGATv2Conv
from gsparse.nn.fast_gcn_conv import FastGCNConv, FastSAGEConv
from gsparse.nn.fast_layer import HOOKS, general, with_long_ids
from gsparse.nn.fast_twins import fast_twin, twin
from gsparse.nn.masked_parameters import plain_class
from gsparse.nn.stale_caches import caches_aside
from gsparse.nn.weighted_aggregation import aggregate_messages, aggregation_name
from gsparse.nn.weighted_sum import AGGREGATIONS, aggregate_weighted
from gsparse.nn.weighted_transformer import WeightedTransformerConv

# ruff: noqa: ANN401 (arguments of any convolution)

Forward = Callable[..., Any]

ATTENTION = (GATConv, GATv2Conv, FastGATConv, FastGATv2Conv, TransformerConv)
NORMALISED = (GCNConv, FastGCNConv, GCN2Conv, SGConv, APPNP)
SUMMED = (SAGEConv, FastSAGEConv, GINConv, GraphConv)
_STEPS = ("propagate", "message", "aggregate", "update", "edge_update")

_LOOPS: TensorCache[Tensor] = TensorCache(max_entries=16)


def forward_of(
    layer: MessagePassing, attention: Attention, *, weighted: bool
) -> Forward | None:
    """Return the forward for a :func:`plain_call` with ``edge_weight``.

    Without weights it is the fused one for attention layers, and None for all others.
    """
    kind = plain_class(layer)
    if not weighted and any(step in vars(layer) for step in _STEPS):
        return None  # the user replaced a step
    if kind in (GATConv, GATv2Conv):
        layer = fast_twin(layer, attention)
        return plain_class(layer).forward.__get__(layer)
    if kind in ATTENTION and kind is not TransformerConv:
        return kind.forward.__get__(layer)
    if not weighted:
        return None
    if kind is TransformerConv:
        layer = twin(layer, WeightedTransformerConv)
        return WeightedTransformerConv.forward.__get__(layer)
    if kind in (GCNConv, FastGCNConv):
        layer = twin(layer, FastGCNConv, weights_change=True)
        return FastGCNConv.forward.__get__(layer)
    return _summed_forward(layer) if kind in SUMMED else _uncached_forward(layer)


def plain_call(layer: MessagePassing, own: Tensor | None, x: Any) -> bool:
    """Return whether a call needs no step of PyG's own message passing.

    Otherwise :func:`general_forward` runs: for other aggregations, more dimensions,
    hooks, explanations and replaced steps.
    """
    kind, name = plain_class(layer), aggregation_name(layer.aggr_module)
    if _touched(layer) or kind not in (*ATTENTION, *NORMALISED, *SUMMED):
        return False
    pair = x if isinstance(x, tuple | list) else (x,)
    flat = all(t.dim() == 2 for t in pair if t is not None)
    flat = flat and layer.node_dim in (-2, 0)
    if kind in SUMMED:
        return flat and name in AGGREGATIONS and (own is None or name == "sum")
    return name == "sum" and (flat or not isinstance(layer, GCNConv))


def _touched(layer: MessagePassing) -> bool:
    """Return whether steps of message passing have hooks or were replaced."""
    return (
        layer.explain is True
        or layer.decomposed_layers != 1
        or any(step in vars(layer) for step in _STEPS)
        or any(getattr(layer, hooks) for hooks in HOOKS)
    )


def _summed_forward(layer: MessagePassing) -> Forward:
    """Return the layer's own forward, in which messages are aggregated with weights."""
    kind = plain_class(layer)
    if kind is FastSAGEConv:
        fast = twin(layer, FastSAGEConv, weights_change=True)
    base = SAGEConv if kind is FastSAGEConv else kind
    name: Any = aggregation_name(layer.aggr_module)

    def forward(*, x: Any, edge_weight: Tensor, size: Any = None, **kwargs: Any) -> Any:
        fits = kind is FastSAGEConv and size is None
        if fits and fast._serves(x, kwargs["edge_index"]):
            return fast.forward(x, edge_weight=edge_weight, **kwargs)

        def propagate(ends: Tensor, x: Any, size: Any = None, **given: Any) -> Tensor:
            rows = _num_targets(layer, ends, x, size)
            if layer.flow == "target_to_source":
                ends = ends.flip(0)
            return aggregate_weighted(x[0], ends, edge_weight, rows, name)

        with replaced(layer, "propagate", propagate):
            return base.forward(layer, x=x, size=size, **kwargs)

    return forward


def _num_targets(layer: MessagePassing, ends: Tensor, x: Any, size: Any) -> int:
    """Return the number of output rows, as PyG's ``propagate`` determines it."""
    sizes = layer._check_input(ends, size)
    for side in (0, 1):
        if x[side] is not None:
            layer._set_size(sizes, side, x[side])
    target = 1 if layer.flow == "source_to_target" else 0
    found = sizes[target]
    return sizes[1 - target] if found is None else found


def _uncached_forward(layer: MessagePassing) -> Forward:
    """Return the layer's own forward without its cache, which would keep the first
    weights.
    """
    kind = GCNConv if plain_class(layer) is FastGCNConv else plain_class(layer)

    def forward(*, edge_index: Tensor, edge_weight: Tensor, **kwargs: Any) -> Any:
        edge_weight = edge_weight.to(kwargs["x"].dtype)
        edge_index = with_long_ids(edge_index)
        if getattr(layer, "normalize", True) and not adds_self_loops(layer):
            edge_weight = _without_undefined(layer, edge_index, edge_weight)
        with caches_aside(layer):
            return kind.forward(
                layer, edge_index=edge_index, edge_weight=edge_weight, **kwargs
            )

    return forward


def _without_undefined(
    layer: MessagePassing, edge_index: Tensor, weight: Tensor
) -> Tensor:
    """Return weights without a derivative where a node has degree 0.

    PyG's :math:`d^{-1/2}` is not differentiable there, and its gradient would be NaN.
    """
    if not weight.requires_grad:
        return weight
    target = edge_index[1 if layer.flow == "source_to_target" else 0]
    target = target.as_subclass(Tensor).long()
    degree = weight.new_zeros(int(edge_index.max()) + 1 if target.numel() else 0)
    degree = degree.index_add(0, target, weight.detach())
    return torch.where(degree[target] == 0, weight.detach(), weight)


def general_forward(layer: MessagePassing, attention: Attention) -> Forward:
    """Return PyG's own forward, in which messages are aggregated with weights.

    It takes the weights of the mask as ``mask`` and the layer's own weights as
    ``edge_weight``.
    """
    kind = plain_class(layer)
    runner, call = layer, _uncached_forward(layer)
    if kind in ATTENTION:
        if kind is TransformerConv:
            runner = twin(layer, WeightedTransformerConv)
        elif kind in (GATConv, GATv2Conv):
            runner = fast_twin(layer, "reference")
        else:
            runner = twin(layer, kind, attention="reference")
        call = plain_class(runner).forward.__get__(runner)
    elif kind in SUMMED:
        call = (SAGEConv if kind is FastSAGEConv else kind).forward.__get__(layer)

    def forward(*, edge_index: Tensor, mask: Tensor, **kwargs: Any) -> Any:
        if kind in SUMMED and isinstance(edge_index, EdgeIndex):
            kwargs["size"] = edge_index.sparse_size()
        edge_index = edge_index.as_subclass(Tensor).long()
        own_aggregate, dim = type(runner).aggregate, runner.node_dim

        def aggregate(inputs: Tensor, index: Tensor, **others: Any) -> Tensor:
            weight = _message_weights(
                layer, edge_index, mask, inputs.size(dim), kwargs["x"]
            )
            if own_aggregate is not MessagePassing.aggregate:
                there = (weight != 0).nonzero().view(-1)
                inputs = inputs.index_select(dim, there)
                return own_aggregate(runner, inputs, index[there], **others)
            return aggregate_messages(
                runner.aggr_module,
                inputs,
                index,
                weight,
                others["dim_size"],
                dim,
                carried=kind not in SUMMED,
            )

        aggregate.counts_weights = True  # type: ignore[attr-defined]
        with replaced(runner, "aggregate", aggregate), _own_propagate(runner):
            return call(edge_index=edge_index, **kwargs)

    return forward


def _message_weights(
    layer: MessagePassing, edge_index: Tensor, mask: Tensor, num: int, x: Any
) -> Tensor:
    """Return the mask of all messages, including those of added self-loops."""
    if not adds_self_loops(layer):
        return mask
    if isinstance(layer, NORMALISED):
        num_nodes = x.size(layer.node_dim)
        return add_remaining_self_loops(edge_index, mask, 1.0, num_nodes)[1]
    kept = mask[edge_index[0] != edge_index[1]]
    return torch.cat([kept, kept.new_ones(num - kept.numel())])


@contextmanager
def _own_propagate(layer: MessagePassing) -> Iterator[None]:
    """Bind PyG's ``propagate`` to this layer within this context; a twin would run
    another one.

    The compiled version supports neither explanations nor decomposition.
    """
    if plain_class(layer).__module__.split(".")[0] not in (
        "torch_geometric",
        "gsparse",
    ):
        yield
        return
    whole = layer.explain is True or layer.decomposed_layers != 1
    propagate = general("propagate") if whole else type(layer).propagate
    with replaced(layer, "propagate", MethodType(propagate, layer)):
        yield


def adds_self_loops(layer: Module) -> bool:
    """Return whether a layer adds self-loops."""
    return bool(getattr(layer, "add_self_loops", False)) and bool(
        getattr(layer, "normalize", True)
    )


def without_absent_loops(
    edge_index: Tensor, weight: Tensor, own: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Remove self-loops of weight 0, so that the layer adds its own instead.

    Layers of the GCN family keep the weight of an existing self-loop, even if it is 0.
    """
    ends = edge_index.as_subclass(Tensor)
    loops = _LOOPS.get(
        (edge_index,), None, lambda: (ends[0] == ends[1]).nonzero().view(-1)
    )
    absent = loops[weight.index_select(0, loops) == 0]
    if absent.numel() == 0:
        return edge_index, weight, own
    there = torch.ones_like(weight, dtype=torch.bool).index_fill(0, absent, False)
    return ends[:, there], weight[there], None if own is None else own[there]


@contextmanager
def replaced(layer: Module, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a layer within this context."""
    before = vars(layer).get(name)
    object.__setattr__(layer, name, value)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(layer, name)
        else:
            object.__setattr__(layer, name, before)
