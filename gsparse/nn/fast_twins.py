"""Replace PyG's attention layers in a model by the fused ones."""

from typing import TypeVar
from weakref import WeakSet

from torch.nn import Module
from torch_geometric.nn import GATConv, GATv2Conv

from gsparse.nn.attention_base import Attention, check_attention, check_module
from gsparse.nn.fast_gat_conv import FastGATConv, FastGATv2Conv
from gsparse.nn.masked_parameters import masked_class, masked_names, plain_class
from gsparse.nn.replace_modules import replace_modules

M = TypeVar("M", bound=Module)

_FAST: dict[type[Module], type[Module]] = {
    GATConv: FastGATConv,
    GATv2Conv: FastGATv2Conv,
}
_PREPARED: WeakSet[type[Module]] = WeakSet()


def accelerate(model: M, attention: Attention = "fused") -> M:
    """Replace every ``GATConv`` and ``GATv2Conv`` of a model by its fused version.

    The model is changed in place and its parameters stay the same objects, so
    optimisers, hooks and checkpoints keep working. Outputs agree up to rounding.
    Subclasses of PyG's layers are left alone, since they may compute something else.
    Layers that are fused already get the given ``attention``.

    Args:
        model: Any module; may itself be such a layer.
        attention: ``"fused"``, or ``"reference"`` if second derivatives are needed.

    Returns:
        The model; a new object only if ``model`` itself was replaced.

    Raises:
        TypeError: If ``model`` is not a module.
        ValueError: If ``attention`` is unknown.

    Example:
        >>> from torch_geometric.nn import GAT
        >>> from gsparse.nn import accelerate
        >>> accelerate(GAT(8, 16, num_layers=2, heads=4)).convs[0]
        FastGATConv(8, 4, heads=4)
    """
    check_attention(attention)
    check_module(model)
    twins = {it: fast_twin(it) for it in model.modules() if plain_class(it) in _FAST}
    model = replace_modules(model, twins)  # type: ignore[assignment]
    for layer in model.modules():
        if plain_class(layer) in _FAST.values():
            layer.attention = attention  # type: ignore[assignment]
    return model


def fast_twin(layer: Module, attention: Attention = "fused") -> Module:
    """Return the fused layer of a PyG attention layer; it shares all parameters and
    hooks.
    """
    return twin(layer, _FAST[plain_class(layer)], attention=attention)


def twin(layer: Module, kind: type[M], **settings: object) -> M:
    """Return a layer of another class that shares parameters, masks, hooks and
    settings.
    """
    if masked_names(layer):
        kind = masked_class(kind, masked_names(layer))  # type: ignore[assignment]
    other, state = kind.__new__(kind), {**vars(layer), **settings}
    if kind in _PREPARED:
        Module.__setstate__(other, state)
    else:  # PyG compiles a class's propagation, once
        other.__setstate__(state)
        _PREPARED.add(kind)
    return other
