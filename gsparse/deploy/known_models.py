"""Models that a file may name: built by us, with arguments read from the file."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import expm1
from typing import Any

import torch
import torch_geometric.nn as pyg
from torch.nn import Module, Parameter

from gsparse.nn.masked_parameters import plain_class
from gsparse.train.gcnii import GCNII
from gsparse.train.models import GAT, GCN, MLP, SAGE

# ruff: noqa: ANN401 (attributes of models of any kind)

KNOWN: dict[str, type[Module]] = {
    "gsparse.train:GCN": GCN,
    "gsparse.train:GCNII": GCNII,
    "gsparse.train:GAT": GAT,
    "gsparse.train:SAGE": SAGE,
    "gsparse.train:MLP": MLP,
    "torch_geometric.nn:GCN": pyg.GCN,
    "torch_geometric.nn:GraphSAGE": pyg.GraphSAGE,
    "torch_geometric.nn:GIN": pyg.GIN,
    "torch_geometric.nn:GAT": pyg.GAT,
    "torch_geometric.nn:EdgeCNN": pyg.EdgeCNN,
    "torch_geometric.nn:MLP": pyg.MLP,
}
"""Classes by the only names in a file that are ever built without being passed in."""

_SIZES = ("in_channels", "out_channels", "hidden_channels")


def name_of(build: object) -> str | None:
    """Return the name of a known class, or ``None``."""
    return next((name for name, kind in KNOWN.items() if kind is build), None)


def build_known(name: str, arguments: Mapping[str, Any], most: int) -> Module:
    """Build a known model without memory for its weights, on the meta device.

    Args:
        name: A key of :data:`KNOWN`.
        arguments: Arguments of its constructor.
        most: The largest number of layers, and of entries of a list.

    Raises:
        ValueError: If the arguments do not fit.
    """
    layers = arguments.get("num_layers", 2)
    if type(layers) is not int or not 0 < layers <= most:
        raise ValueError(f"'num_layers' must be in 1 to {most} (got {layers!r:.40})")
    if not all(map(partial(_is_short, most=most + 1), arguments.values())):
        raise ValueError(f"lists must have at most {most + 1} entries")
    try:
        with torch.device("meta"):
            return KNOWN[name](**arguments)
    except Exception as error:  # whatever a constructor raises for odd arguments
        raise ValueError(f"{name} does not take the arguments ({error})") from None


def _is_short(value: Any, most: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return True
    return len(value) <= most and all(_is_short(it, most) for it in value)


def tell_arguments(model: Module) -> tuple[str, dict[str, Any]] | None:
    """Return the name of a known model and the arguments that build one like it.

    They are a guess from its attributes: the caller compares the model that they build
    with this one. Sizes may be those after compaction.

    Example:
        >>> from torch_geometric.nn import GAT
        >>> from gsparse.deploy.known_models import tell_arguments
        >>> name, arguments = tell_arguments(GAT(5, 8, 2, 3, heads=4, dropout=0.5))
        >>> name, arguments["heads"], arguments["dropout"]
        ('torch_geometric.nn:GAT', 4, 0.5)
    """
    name = name_of(plain_class(model))
    if name is None:
        return None
    try:
        return name, _READ[name](model)
    except (AttributeError, IndexError, TypeError, KeyError, StopIteration):
        return None  # somebody has rebuilt it


def _stack(model: Any) -> dict[str, Any]:
    """Return the sizes of one of our models from its first and last layer."""
    first, last = _widths(model.layers[0]), _widths(model.layers[-1])
    return {
        "in_channels": first[0],
        "hidden_channels": first[1],
        "out_channels": last[1],
        "num_layers": len(model.layers),
        "dropout": model.dropout,
    }


def _gcn(model: Any) -> dict[str, Any]:
    deep = [layer for layer in model.layers if hasattr(layer, "conv")]
    return _stack(model) | {
        "hidden_dropout": model.hidden_dropout,
        "near_identity": model.near_identity,
        "self_loop": any(layer.own is not None for layer in deep),
        "batch_norm": any(layer.norm is not None for layer in deep),
    }


def _gcnii(model: Any) -> dict[str, Any]:
    first = model.layers[1]
    return _stack(model) | {
        "num_layers": len(model.layers) - 2,
        "hidden_dropout": model.hidden_dropout,
        "alpha": first.alpha,
        "theta": round(expm1(first.beta), 12),
    }


def _gat(model: Any) -> dict[str, Any]:
    first, last = model.layers[0], model.layers[-1]
    return _stack(model) | {
        "hidden_channels": first.out_channels,
        "out_channels": last.out_channels,
        "heads": first.heads,
        "output_heads": last.heads,
        "attention_dropout": first.dropout,
        "attention": getattr(first, "attention", "pyg"),
    }


def _basic(model: Any) -> dict[str, Any]:
    """Return the arguments of one of PyG's basic models."""
    convs = list(model.convs)
    heads = getattr(convs[0], "heads", 1)
    hidden = -(-model.hidden_channels // heads) * heads  # a multiple of the heads
    ends = getattr(model, "_is_conv_to_out", False) or hasattr(model, "lin")
    act, options = _activation(model.act)
    return {
        "in_channels": model.in_channels,
        "hidden_channels": hidden,
        "num_layers": model.num_layers,
        "out_channels": model.out_channels if ends else None,
        "dropout": model.dropout.p,
        "act": act,
        "act_kwargs": options,
        "act_first": model.act_first,
        "norm": model.norm,
        "norm_kwargs": model.norm_kwargs,
        "jk": model.jk_mode,
        **_of_convolution(convs[0], ends=len(convs) == 1),
    }


def _of_convolution(conv: Any, ends: bool) -> dict[str, Any]:
    """Return all settings of a convolution; their defaults may change one day."""
    kinds = (it for it in type(conv).__mro__ if it.__module__.startswith(pyg.__name__))
    kind = next(kinds)
    found: dict[str, Any] = {}
    if kind is pyg.GATv2Conv:
        found["v2"] = True
    for key, default in _options(kind):
        value = getattr(conv, key, default)
        if isinstance(value, Parameter) or key == "bias":
            value = _has_bias(conv)
        if key == "concat" and ends:
            continue  # the last layer averages its heads whatever was asked for
        if not isinstance(value, torch.Tensor):
            found[key] = value
    if getattr(conv, "flow", "source_to_target") != "source_to_target":
        found["flow"] = conv.flow
    if kind is pyg.GINConv:
        found["eps"] = conv.initial_eps
        found["train_eps"] = isinstance(conv.eps, Parameter)
    return found


def _options(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the optional arguments of a convolution and their defaults."""
    for key, parameter in inspect.signature(kind).parameters.items():
        named = parameter.kind is not parameter.VAR_KEYWORD
        if named and key not in (*_SIZES, "nn", "eps", "train_eps"):
            yield key, parameter.default


def _has_bias(conv: Any) -> bool:
    """Return whether a convolution, or the first map of SAGE, has a bias."""
    places = conv, getattr(conv, "lin_l", None)
    return any(getattr(it, "bias", None) is not None for it in places)


def _mlp(model: Any) -> dict[str, Any]:
    """Return the arguments of PyG's MLP."""
    act, options = _activation(model.act)
    norms = [type(it).__name__ for it in model.norms]
    norm = next((it for it in norms if it != "Identity"), None)
    return {
        "channel_list": list(model.channel_list),
        "dropout": list(model.dropout),
        "act": act,
        "act_kwargs": options,
        "act_first": model.act_first,
        "norm": norm,
        "plain_last": model.plain_last,
        "bias": [lin.bias is not None for lin in model.lins],
    }


def _activation(act: Any) -> tuple[str | None, dict[str, Any] | None]:
    """Return the name of an activation and its settings."""
    if act is None:
        return None, None
    if not isinstance(act, Module):
        raise TypeError("functions are not named in files")
    names = inspect.signature(type(act)).parameters
    options = {key: getattr(act, key) for key in names if hasattr(act, key)}
    plain = {k: v for k, v in options.items() if isinstance(v, bool | int | float)}
    return type(act).__name__, plain or None


def _widths(layer: Any) -> tuple[int, int]:
    """Return the numbers of inputs and outputs of a layer."""
    layer = getattr(layer, "conv", layer)
    if hasattr(layer, "in_features"):
        return layer.in_features, layer.out_features
    return layer.in_channels, layer.out_channels


_READ: dict[str, Callable[[Any], dict[str, Any]]] = {
    "gsparse.train:GCN": _gcn,
    "gsparse.train:GCNII": _gcnii,
    "gsparse.train:GAT": _gat,
    "gsparse.train:SAGE": _stack,
    "gsparse.train:MLP": _stack,
    "torch_geometric.nn:MLP": _mlp,
    **{f"torch_geometric.nn:{it}": _basic for it in ("GCN", "GraphSAGE", "GIN")},
    **{f"torch_geometric.nn:{it}": _basic for it in ("GAT", "EdgeCNN")},
}
