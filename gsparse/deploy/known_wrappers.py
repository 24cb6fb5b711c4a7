"""Wrappers that a file may name, with the settings that build them again."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from gsparse.compaction.inputs import InputSelection, Place
from gsparse.nn import (
    DropEdge,
    EdgeGates,
    FastGAT,
    FeatureMask,
    KEdge,
    NeuralSparse,
    PTDNet,
    SparseGAT,
)

# ruff: noqa: ANN401 (attributes of wrappers of any kind)

_LEARNED = ("sparsity", "attention")
_BOUNDED = (*_LEARNED, "ramp")


def _penalty(mask: Any) -> dict[str, Any]:
    return {"penalty": mask.factor if mask.sparsity is None else None}


def _hidden(matrix: Tensor) -> dict[str, Any]:
    """Return the sizes of the projection that gates are computed from."""
    return {"in_channels": matrix.size(1), "hidden_channels": matrix.size(0)}


def _kedge(mask: Any) -> dict[str, Any]:
    keys = (*_BOUNDED, "scope", "symmetric")
    return _named(mask, keys) | _penalty(mask) | _hidden(mask.scorer.lin.weight)


def _edge_gates(mask: Any) -> dict[str, Any]:
    return _named(mask, _BOUNDED) | _penalty(mask)


def _neural_sparse(mask: Any) -> dict[str, Any]:
    return _named(mask, (*_LEARNED, "k")) | _hidden(mask.scorer.lin.weight)


def _ptdnet(mask: Any) -> dict[str, Any]:
    keys = (*_BOUNDED, "scope", "low_rank", "k")
    return _named(mask, keys) | _penalty(mask) | _hidden(mask.scorers[0].lin.weight)


def _sparse_gat(mask: Any) -> dict[str, Any]:
    return _named(mask, _BOUNDED) | _penalty(mask) | _hidden(mask.lin.weight)


def _feature_mask(mask: Any) -> dict[str, Any]:
    sizes = {"in_channels": mask.log_odds.numel()}
    return _named(mask, ("sparsity", "dense", "ramp")) | _penalty(mask) | sizes


def _fast_gat(wrapper: Any) -> dict[str, Any]:
    keys = ("sparsity", "epsilon", "method", "reweight", "connected", "seed")
    return _named(wrapper.sparsifier, keys) | _named(wrapper, ("attention",))


def _drop_edge(wrapper: Any) -> dict[str, Any]:
    return _named(wrapper, ("p", "attention"))


def _selection(wrapper: Any) -> dict[str, Any]:
    places = zip(wrapper.names, wrapper.places, strict=True)
    return {"places": {name: list(place) for name, place in places}}


def _named(holder: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: getattr(holder, key) for key in keys}


KNOWN: dict[str, tuple[type[Module], Callable[[Any], dict[str, Any]]]] = {
    "DropEdge": (DropEdge, _drop_edge),
    "EdgeGates": (EdgeGates, _edge_gates),
    "FastGAT": (FastGAT, _fast_gat),
    "FeatureMask": (FeatureMask, _feature_mask),
    "InputSelection": (InputSelection, _selection),
    "KEdge": (KEdge, _kedge),
    "NeuralSparse": (NeuralSparse, _neural_sparse),
    "PTDNet": (PTDNet, _ptdnet),
    "SparseGAT": (SparseGAT, _sparse_gat),
}
"""Classes by their names in a file, and how their settings are read."""


def tell_wrapper(module: Module) -> tuple[str, dict[str, Any]] | None:
    """Return name and settings of a known wrapper, or ``None`` for other modules.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gsparse.deploy.known_wrappers import tell_wrapper
        >>> from gsparse.nn import DropEdge
        >>> tell_wrapper(DropEdge(GCN(5, 8, 2), p=0.25))
        ('DropEdge', {'p': 0.25, 'attention': 'fused'})
    """
    for name, (kind, read) in KNOWN.items():
        if type(module) is kind:
            settings = read(module)
            if getattr(module, "own", None) is not None:
                settings["edge_terms"] = True
            return name, settings
    return None


def wrap(name: str, settings: Mapping[str, Any], model: Module, most: int) -> Module:
    """Build a wrapper round a model; its weights are arbitrary.

    Args:
        name: A key of :data:`KNOWN`.
        settings: Its settings.
        model: The model.
        most: The largest number of weights.

    Raises:
        ValueError: If the name is unknown, or the settings do not fit.
    """
    if name not in KNOWN:
        raise ValueError(f"{name!r:.60} is no wrapper of gsparse")
    kind, options = KNOWN[name][0], dict(settings)
    sizes = [options.get(key, 1) for key in ("in_channels", "hidden_channels")]
    if not all(type(it) is int and it > 0 for it in sizes) or prod(sizes) > most:
        raise ValueError(f"{name} has sizes {sizes!r:.60}")
    if kind is InputSelection:
        return _select(options, model)
    if "seed" not in options and kind is not DropEdge:
        options["seed"] = 0  # the weights are replaced, so none need be drawn
    if options.pop("edge_terms", False):
        options["edge_index"] = torch.tensor([[0, 1], [1, 0]])
    try:
        return kind(model, **options)
    except Exception as error:  # whatever a constructor raises for odd settings
        raise ValueError(f"{name} does not take the settings ({error})") from None


def _select(options: Mapping[str, Any], model: Module) -> Module:
    places = {}
    for name, place in options["places"].items():
        position, argument, key = place
        if type(position) is not int or position < 0 or type(argument) is not str:
            raise ValueError(f"{place!r:.60} is no place of features")
        places[name] = Place(position, argument, key)
    if not places:
        raise ValueError("features need a place")
    return InputSelection(
        model, places, {name: torch.empty(0, dtype=torch.long) for name in places}
    )
