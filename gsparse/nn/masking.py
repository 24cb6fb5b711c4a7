"""How each convolution takes a weight per edge."""

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from torch import Tensor
from torch.nn import Module
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

from gsparse.nn.fast_gat_conv import Attention, FastGATConv, FastGATv2Conv
from gsparse.nn.fast_gcn_conv import FastGCNConv, FastSAGEConv
from gsparse.nn.fast_twins import fast_twin, twin
from gsparse.nn.masked_parameters import plain_class
from gsparse.nn.weighted_sum import AGGREGATIONS, aggregate_weighted
from gsparse.nn.weighted_transformer import WeightedTransformerConv

# ruff: noqa: ANN401 (a convolution's arguments are its own)

Forward = Callable[..., Any]
#: Weights of the edges of a convolution, from the features it is given.
EdgeWeigher = Callable[[Tensor], Tensor]

_ATTENTION = (GATConv, GATv2Conv, FastGATConv, FastGATv2Conv, TransformerConv)
_NORMALISED = (GCNConv, FastGCNConv, GCN2Conv, SGConv, APPNP)
_SUMMED = (SAGEConv, FastSAGEConv, GINConv, GraphConv)
_CACHES = ("_cached_edge_index", "_cached_adj_t", "_cached_x")

_LOCK = threading.RLock()


@contextmanager
def edge_weights(
    model: Module,
    edge_index: Tensor,
    edge_weight: Tensor | Mapping[str, Tensor | EdgeWeigher] | None,
    attention: Attention = "fused",
) -> Iterator[None]:
    r"""Within this context every convolution of a model weighs its edges.

    A weight of 0 means what removing the edge means, for every supported layer:

    - ``GATConv``, ``GATv2Conv``, ``TransformerConv``: :math:`\log w` is added to the
      scores before the softmax; the self-loops that a layer adds have weight 1.
    - ``GCNConv``, ``GCN2Conv``, ``SGConv``, ``APPNP``: the weight counts in the message
      and in the degree.
    - ``SAGEConv``, ``GINConv``, ``GraphConv``: the weight counts in the message, and in
      the number of neighbours of a mean; a maximum takes :math:`x_j + \log w`.

    The model itself is not changed: its layers' ``forward`` is replaced while the
    context lasts, parameters and hooks stay. Threads take turns.

    Args:
        model: Any module.
        edge_index: The graph that the model will be called with.
        edge_weight: One weight per entry, or for each convolution, by its name in the
            model, such a tensor or a function that makes one of the features the
            convolution is called with (of a pair those of the sources); ``None``
            leaves the edges as they are.
        attention: ``"reference"`` where second derivatives are needed.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`

    Raises:
        TypeError: If the model contains a convolution that takes no weights.
    """
    layers = convolutions(model)
    if edge_weight is not None:
        refuse_unsupported(layers)
    with _LOCK, ExitStack() as stack:
        for name, layer in layers.items():
            forward: Forward | None
            if edge_weight is None:
                forward = _forward_of(layer, attention, weighted=False)
            else:
                shared = isinstance(edge_weight, Tensor)
                weight: Any = edge_weight if shared else edge_weight[name]  # type: ignore[index]
                forward = _weighed(layer, name, edge_index, weight, attention)
            if forward is not None:
                stack.enter_context(_replaced(layer, "forward", forward))
        yield


def convolutions(model: Module) -> dict[str, MessagePassing]:
    """All layers of a model that pass messages, by their names in it."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, MessagePassing)
    }


def refuse_unsupported(layers: dict[str, MessagePassing]) -> None:
    """Name the layers that cannot take a weight per edge.

    Raises:
        TypeError: If there is one.
    """
    known = (*_ATTENTION, *_NORMALISED, *_SUMMED)
    for name, layer in layers.items():
        kind = plain_class(layer)
        if kind not in known and not isinstance(layer, GCNConv):
            raise TypeError(
                f"layer {name!r} ({kind.__name__}) takes no edge weights; "
                f"supported are {', '.join(cls.__name__ for cls in known)}"
            )
        if kind in _SUMMED and layer.aggr not in AGGREGATIONS:
            raise TypeError(
                f"layer {name!r} ({kind.__name__}) takes edge weights with aggr "
                f"{', '.join(AGGREGATIONS)} only (got {layer.aggr!r})"
            )


def _forward_of(
    layer: MessagePassing, attention: Attention, *, weighted: bool
) -> Forward | None:
    """A layer's forward that takes ``edge_weight``; None to leave it as it is."""
    kind = plain_class(layer)
    if kind in (GATConv, GATv2Conv):
        layer = fast_twin(layer, attention)
        return plain_class(layer).forward.__get__(layer)
    if kind in _ATTENTION and kind is not TransformerConv:
        return kind.forward.__get__(layer)
    if not weighted:
        return None
    if kind is TransformerConv:
        layer = twin(layer, WeightedTransformerConv)
        return WeightedTransformerConv.forward.__get__(layer)
    if kind in (GCNConv, FastGCNConv):
        layer = twin(layer, FastGCNConv, weights_change=True)
        return FastGCNConv.forward.__get__(layer)
    if kind is FastSAGEConv and layer.aggr == "mean" and not layer.project:
        layer = twin(layer, FastSAGEConv, weights_change=True)
        return FastSAGEConv.forward.__get__(layer)
    return _summed_forward(layer) if kind in _SUMMED else _uncached_forward(layer)


def _summed_forward(layer: MessagePassing) -> Forward:
    """The layer's own forward, in which messages are collected with weights."""
    kind = plain_class(layer)
    base = SAGEConv if kind is FastSAGEConv else kind

    def forward(*args: Any, edge_weight: Tensor, **kwargs: Any) -> Tensor:
        def propagate(ends: Tensor, x: Any, size: Any = None, **given: Any) -> Tensor:
            source, target = x if isinstance(x, tuple) else (x, x)
            rows = size[1] if target is None else target.size(0)
            if layer.flow == "target_to_source":
                ends = ends.flip(0)
            return aggregate_weighted(source, ends, edge_weight, rows, layer.aggr)

        with _replaced(layer, "propagate", propagate):
            return base.forward(layer, *args, **kwargs)

    return forward


def _uncached_forward(layer: MessagePassing) -> Forward:
    """The layer's own forward; a cache would freeze the first weights it saw."""

    def forward(*args: Any, **kwargs: Any) -> Tensor:
        kept = {key: vars(layer)[key] for key in _CACHES if key in vars(layer)}
        cached, layer.cached = layer.cached, False
        for key in kept:
            object.__setattr__(layer, key, None)
        try:
            return plain_class(layer).forward(layer, *args, **kwargs)
        finally:
            layer.cached = cached
            for key, value in kept.items():
                object.__setattr__(layer, key, value)

    return forward


def _weighed(
    layer: MessagePassing,
    name: str,
    edge_index: Tensor,
    edge_weight: Tensor | EdgeWeigher,
    attention: Attention,
) -> Forward:
    forward = _forward_of(layer, attention, weighted=True)
    assert forward is not None
    names = _arguments(plain_class(layer))  # type: ignore[arg-type]

    def weighed(*args: Any, **kwargs: Any) -> Any:
        kwargs |= dict(zip(names, args, strict=False))
        given = kwargs["edge_index"]
        if not isinstance(given, Tensor) or given.shape != edge_index.shape:
            shape = list(getattr(given, "shape", []))
            raise ValueError(
                f"layer {name!r} was called with another graph than the model "
                f"(edge_index {shape}, expected {list(edge_index.shape)}); edges must "
                "not be added or dropped between the model's input and its layers"
            )
        weight = edge_weight
        if not isinstance(weight, Tensor):
            x = kwargs["x"]
            weight = weight(x[0] if isinstance(x, tuple | list) else x)
        own = kwargs.pop("edge_weight", None)
        if own is not None:
            return forward(**kwargs, edge_weight=weight * own)
        if not getattr(layer, "improved", False):
            return forward(**kwargs, edge_weight=weight)
        # PyG's improved self-loops have weight 2 only where weights are given.
        with _replaced(layer, "improved", False):
            same = _forward_of(layer, attention, weighted=True)
            return same(**kwargs, edge_weight=weight)  # type: ignore[misc]

    return weighed


@cache
def _arguments(kind: Any) -> list[str]:
    """Names of what a kind of layer is called with."""
    return list(inspect.signature(kind.forward).parameters)[1:]


@contextmanager
def _replaced(layer: Module, name: str, value: Any) -> Iterator[None]:
    before = vars(layer).get(name)
    object.__setattr__(layer, name, value)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(layer, name)
        else:
            object.__setattr__(layer, name, before)
