"""How each convolution takes a weight per edge."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv
from torch_geometric.nn.conv import MessagePassing

from gsparse.nn.fast_gat_conv import Attention, FastGATConv, FastGATv2Conv
from gsparse.nn.fast_twins import fast_twin

# ruff: noqa: ANN401 (a convolution's arguments are its own)

Forward = Callable[..., Any]

_LOCK = threading.RLock()


@contextmanager
def edge_weights(
    model: Module,
    edge_index: Tensor,
    edge_weight: Tensor | None,
    attention: Attention = "fused",
) -> Iterator[None]:
    r"""Within this context every convolution of a model weighs its edges.

    A weight of 0 means what removing the edge means, for every supported layer:

    - ``GATConv``, ``GATv2Conv``: :math:`\log w` is added to the scores before the
      softmax; the self-loops that the layer adds have weight 1.
    - ``GCNConv``: the weight counts in the message and in the degree.

    The model itself is not changed: its layers' ``forward`` is replaced while the
    context lasts, parameters and hooks stay. Threads take turns.

    Args:
        model: Any module.
        edge_index: The graph that the model will be called with.
        edge_weight: One weight per entry; ``None`` leaves the edges as they are.
        attention: ``"reference"`` where second derivatives are needed.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`

    Raises:
        TypeError: If the model contains a convolution that takes no weights.
    """
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, MessagePassing)
    }
    refuse_unsupported(layers, edge_weight)
    with _LOCK, ExitStack() as stack:
        for name, layer in layers.items():
            if isinstance(layer, GATConv | GATv2Conv):
                forward = _attention_forward(layer, attention)
            elif isinstance(layer, GCNConv) and edge_weight is not None:
                forward = _gcn_forward(layer)
            else:
                continue
            if edge_weight is not None:
                forward = _weighed(forward, name, edge_index, edge_weight)
            stack.enter_context(_replaced(layer, forward))
        yield


def refuse_unsupported(
    layers: dict[str, MessagePassing], edge_weight: Tensor | None
) -> None:
    """Name the layers that cannot take a weight per edge."""
    if edge_weight is None:
        return
    known = (GCNConv, GATConv, GATv2Conv, FastGATConv, FastGATv2Conv)
    for name, layer in layers.items():
        exact = type(layer) in known or isinstance(layer, GCNConv)
        if not exact:
            raise TypeError(
                f"layer {name!r} ({type(layer).__name__}) takes no edge weights; "
                f"supported are {', '.join(cls.__name__ for cls in known)}"
            )


def _attention_forward(layer: Module, attention: Attention) -> Forward:
    if type(layer) in (GATConv, GATv2Conv):
        layer = fast_twin(layer, attention)
    return type(layer).forward.__get__(layer)


def _gcn_forward(layer: GCNConv) -> Forward:
    def forward(x: Tensor, edge_index: Tensor, **kwargs: Any) -> Tensor:
        with _uncached(layer):
            return type(layer).forward(layer, x, edge_index, **kwargs)

    return forward


@contextmanager
def _uncached(layer: GCNConv) -> Iterator[None]:
    """A cached normalisation would freeze the first weights it saw."""
    cached, layer.cached = layer.cached, False
    try:
        yield
    finally:
        layer.cached = cached


def _weighed(
    forward: Forward, name: str, edge_index: Tensor, edge_weight: Tensor
) -> Forward:
    def weighed(x: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(given, Tensor) or given.shape != edge_index.shape:
            shape = list(getattr(given, "shape", []))
            raise ValueError(
                f"layer {name!r} was called with another graph than the model "
                f"(edge_index {shape}, expected {list(edge_index.shape)}); edges must "
                "not be added or dropped between the model's input and its layers"
            )
        own = kwargs.pop("edge_weight", None)
        weight = edge_weight if own is None else edge_weight * own
        return forward(x, given, *args, edge_weight=weight, **kwargs)

    return weighed


@contextmanager
def _replaced(layer: Module, forward: Forward) -> Iterator[None]:
    before = vars(layer).get("forward")
    object.__setattr__(layer, "forward", forward)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(layer, "forward")
        else:
            object.__setattr__(layer, "forward", before)
