"""Clear the caches of layers with ``cached=True``.

Such a PyG layer normalises the first graph it is called with and uses that result for
every later graph. A model that was trained on a full graph and is evaluated on a sparse
one would therefore still compute its outputs on the full graph.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn import Module


def caches(model: Module) -> list[tuple[Module, str]]:
    """Return the layers that have a cache, each with the name of its attribute."""
    return [
        (layer, key)
        for layer in model.modules()
        if isinstance(vars(layer).get("cached"), bool)
        for key in vars(layer)
        if key.startswith("_cached_")
    ]


def forget(model: Module, *, inference_only: bool = False) -> None:
    """Clear the caches of a model, so that its layers normalise the next graph.

    Args:
        model: Any module.
        inference_only: Clear only caches filled in inference mode, which cannot be
            used in training.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCNConv
        >>> from gsparse.nn.stale_caches import forget
        >>> layer, x = GCNConv(1, 1, cached=True), torch.ones(2, 1)
        >>> pair, nothing = torch.tensor([[0, 1], [1, 0]]), torch.empty(2, 0).long()
        >>> _ = layer(x, pair), forget(layer), layer(x, nothing)
        >>> layer._cached_edge_index[0].size(1)
        2
    """
    for layer, key in caches(model):
        if not inference_only or _made_in_inference(getattr(layer, key)):
            setattr(layer, key, None)


def _made_in_inference(value: object) -> bool:
    if isinstance(value, tuple):
        return any(map(_made_in_inference, value))
    if isinstance(value, Tensor):
        return value.is_inference()
    coo = getattr(value, "coo", None)  # of a SparseTensor
    return callable(coo) and _made_in_inference(tuple(coo()))


@contextmanager
def fresh_caches(model: Module) -> Iterator[None]:
    """Clear the caches of a model on entering and on leaving this context.

    Costs one normalisation of each such layer within, and one at the next call.
    """
    forget(model)
    try:
        yield
    finally:
        forget(model)


@contextmanager
def caches_aside(model: Module) -> Iterator[None]:
    """Disable caches within this context, and restore them afterwards.

    Used by wrappers, which run the model on other edges or features than they are
    given. Costs one normalisation for each such layer and call.
    """
    held: list[tuple[Module, str, Any]] = []
    for layer, key in caches(model):
        held.append((layer, key, getattr(layer, key)))
        setattr(layer, key, None)
    if not held:
        yield
        return
    layers = {id(layer): layer for layer, _, _ in held if layer.cached}
    for layer in layers.values():
        layer.cached = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for layer in layers.values():
            layer.cached = True  # type: ignore[assignment]
        for layer, key, value in held:
            setattr(layer, key, value)
