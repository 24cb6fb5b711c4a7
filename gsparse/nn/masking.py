"""Run the convolutions of a model with one weight per edge."""

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

from torch import Tensor
from torch.nn import Module
from torch_geometric.nn import GCNConv, TransformerConv
from torch_geometric.nn.conv import MessagePassing
from torch_geometric.utils import is_torch_sparse_tensor

from gsparse.nn.attention_base import Attention
from gsparse.nn.edge_alignment import align_weights
from gsparse.nn.fast_gcn_conv import FastSAGEConv
from gsparse.nn.masked_forward import (
    ATTENTION,
    NORMALISED,
    SUMMED,
    Forward,
    adds_self_loops,
    forward_of,
    general_forward,
    plain_call,
    replaced,
    without_absent_loops,
)
from gsparse.nn.masked_parameters import plain_class
from gsparse.nn.recomputation import kept_in_checkpoints, num_checkpoints
from gsparse.nn.weighted_aggregation import takes_weights

# ruff: noqa: ANN401 (arguments of any convolution)

#: Computes the edge weights of a convolution from its input features.
EdgeWeigher = Callable[[Tensor], Tensor]

_LOCK = threading.RLock()


@contextmanager
def edge_weights(
    model: Module,
    edge_index: Tensor,
    edge_weight: Tensor | Mapping[str, Tensor | EdgeWeigher] | None,
    attention: Attention = "fused",
) -> Iterator[None]:
    r"""Weight the edges of every convolution of a model within this context.

    A weight of 0 equals removing the edge and weights of 1 change nothing, for every
    supported layer and all of its options:

    - ``GATConv``, ``GATv2Conv``, ``TransformerConv``: :math:`\log w` is added to the
      scores before the softmax; the self-loops that a layer adds have weight 1.
    - ``GCNConv``, ``GCN2Conv``, ``SGConv``, ``APPNP``: the weight enters the message
      and the degree. A self-loop of weight 0 is replaced by the one that the layer
      adds.
    - ``SAGEConv``, ``GINConv``, ``GraphConv``: the weight multiplies the message, in
      addition to the layer's own weights.

    With ``aggr="mean"`` the number of neighbours is the sum of the weights. A maximum
    takes :math:`m_e + \log w` of the messages :math:`m_e`, a minimum
    :math:`m_e - \log w`; both are continuous in :math:`w`.

    A model may reorder or reverse the edges before it calls its layers: the weights
    follow (see :func:`~gsparse.nn.edge_alignment.align_weights`). Layers with
    ``cached=True`` neither use nor fill their cache.

    Only the ``forward`` of the layers is replaced, and only within the context;
    parameters and hooks stay. Recomputation by ``torch.utils.checkpoint`` in the
    backward pass uses the same weights; weights that are computed from parameters need
    ``use_reentrant=False``. A lock lets one thread at a time use the context.

    Args:
        model: Any module.
        edge_index: The graph that the model will be called with.
        edge_weight: One weight per entry; or a dictionary that maps the name of each
            convolution to such a tensor, or to a function that computes it from the
            convolution's input (of a pair, the input of the sources). ``None`` leaves
            the edges unweighted.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`

    Raises:
        TypeError: If the model contains a convolution that takes no weights, or takes
            none with its ``aggr``.
        ValueError: If there is not one weight per entry, or, when the model is called,
            if a layer is given other edges.
    """
    layers = convolutions(model)
    if edge_weight is not None:
        refuse_unsupported(layers)
        _check_edges(edge_index, "edge_weights")
    outside = num_checkpoints()
    with _LOCK, ExitStack() as stack:
        for name, layer in layers.items():
            forward: Forward | None
            if edge_weight is None:
                forward = forward_of(layer, attention, weighted=False)
            else:
                shared = isinstance(edge_weight, Tensor)
                weight: Any = edge_weight if shared else edge_weight[name]  # type: ignore[index]
                forward = _weighed(layer, name, edge_index, weight, attention)
            if forward is not None:
                forward = kept_in_checkpoints(layer, forward, outside)
                stack.enter_context(replaced(layer, "forward", forward))
        yield


def convolutions(model: Module) -> dict[str, MessagePassing]:
    """Return all message passing layers of a model by name."""
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, MessagePassing)
    }


def refuse_unsupported(layers: dict[str, MessagePassing]) -> None:
    """Refuse layers that cannot take one weight per edge.

    Raises:
        TypeError: If there is such a layer.
    """
    known = (*ATTENTION, *NORMALISED, *SUMMED)
    for name, layer in layers.items():
        kind = plain_class(layer)
        label = f"layer {name!r} ({kind.__name__})"
        if kind not in known and not _is_weighted_gcn(layer):
            raise TypeError(
                f"{label} takes no edge weights; "
                f"supported are {', '.join(cls.__name__ for cls in known)}"
            )
        if not takes_weights(layer.aggr_module):
            raise TypeError(
                f"{label} takes edge weights with aggr sum, mean, max, min or a list "
                f"of them only (got {layer.aggr!r})"
            )
        weighed = "message" if kind is TransformerConv else "edge_update"
        for step in (weighed,) if kind in ATTENTION else ():
            if step in vars(layer):
                raise TypeError(
                    f"{label} takes edge weights in {step!r}, which was replaced; "
                    "remove the replacement"
                )


def _is_weighted_gcn(layer: MessagePassing) -> bool:
    """Return whether a layer is a user's subclass of GCNConv that takes weights."""
    named = "edge_weight" in _arguments(plain_class(layer))  # type: ignore[arg-type]
    return isinstance(layer, GCNConv) and named


def _weighed(
    layer: MessagePassing,
    name: str,
    edge_index: Tensor,
    edge_weight: Tensor | EdgeWeigher,
    attention: Attention,
) -> Forward:
    """Return a forward that is called like the layer's own and weights the edges."""
    kind = plain_class(layer)
    names = _arguments(kind)  # type: ignore[arg-type]
    run, version = _runner(layer, attention), _version(edge_index)
    if isinstance(edge_weight, Tensor):
        _check_weight(edge_weight, edge_index)

    def weighed(*args: Any, **kwargs: Any) -> Any:
        kwargs |= dict(zip(names, args, strict=False))
        given, x = kwargs.pop("edge_index"), kwargs["x"]
        _check_edges(given, f"layer {name!r}")
        if given is edge_index and _version(edge_index) != version:
            raise ValueError(
                f"layer {name!r} was called with an edge_index that was changed in "
                "place; the weights belong to its former edges"
            )
        weight = edge_weight
        if not isinstance(weight, Tensor):
            weight = weight(x[0] if isinstance(x, tuple | list) else x)
            _check_weight(weight, edge_index)
        weight = align_weights(weight, given, edge_index, name)
        own = kwargs.pop("edge_weight", None)
        if own is not None and "edge_weight" not in names:
            raise TypeError(f"layer {name!r} ({kind.__name__}) takes no 'edge_weight'")
        if own is not None:
            _check_weight(own, given)
        if isinstance(layer, NORMALISED) and adds_self_loops(layer):
            given, weight, own = without_absent_loops(given, weight, own)
        return run(given, weight, own, kwargs)

    return weighed


def _runner(layer: MessagePassing, attention: Attention) -> Callable[..., Any]:
    """Return a function that runs a layer with a mask and with the layer's own
    weights.
    """
    kind = plain_class(layer)
    plain, general = (
        forward_of(layer, attention, weighted=True),
        general_forward(layer, attention),
    )

    def run(
        edge_index: Tensor, mask: Tensor, own: Tensor | None, kwargs: dict[str, Any]
    ) -> Any:
        both = mask if own is None else mask * own
        kwargs["edge_index"] = edge_index
        if plain_call(layer, own, kwargs["x"]):
            return plain(**kwargs, edge_weight=both)  # type: ignore[misc]
        if kind is FastSAGEConv:
            mask = both
        elif kind not in SUMMED:
            kwargs["edge_weight"] = both
        elif own is not None:
            kwargs["edge_weight"] = own
        return general(mask=mask, **kwargs)

    def without_improvement(*args: Any) -> Any:
        # PyG's improved self-loops have weight 2 only where weights are given.
        if args[2] is not None:
            return run(*args)
        with replaced(layer, "improved", False):
            return _runner(layer, attention)(*args)

    return without_improvement if getattr(layer, "improved", False) else run


def _check_edges(edge_index: Any, where: str) -> None:
    """Refuse edges with which weights cannot be aligned."""
    if not isinstance(edge_index, Tensor) or is_torch_sparse_tensor(edge_index):
        raise TypeError(
            f"{where} needs 'edge_index' as a [2, E] tensor to weigh its edges "
            f"(got {type(edge_index).__name__})"
        )


def _check_weight(weight: Tensor, edge_index: Tensor) -> None:
    if weight.shape != edge_index.shape[1:]:
        raise ValueError(
            f"'edge_weight' must have shape [{edge_index.size(1)}], one weight per "
            f"entry (got {list(weight.shape)})"
        )


def _version(edge_index: Tensor) -> int | None:
    """Return how often a tensor was changed in place, or None if this is not
    counted.
    """
    return None if edge_index.is_inference() else edge_index._version


@cache
def _arguments(kind: Any) -> list[str]:
    """Return the parameter names of a layer's forward."""
    return list(inspect.signature(kind.forward).parameters)[1:]
