"""Models that are not ours: built by a function that is named ``module:function``."""

import importlib
import operator
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.experiment.model_fingerprint import model_fingerprint
from gsparse.nn.calling import call_arguments, call_form
from gsparse.nn.evaluating import evaluating
from gsparse.nn.seeded import seeded
from gsparse.train import Recipe
from gsparse.train.recipes import GRAPH_MODELS, num_classes

Builder = Callable[[int, int], Module]
"""Called with the number of features and of classes; returns a model with fresh
weights, which is called as ``model(x, edge_index)`` and returns logits ``[N, C]``."""

_GIVEN: ContextVar[dict[str, Builder] | None] = ContextVar("given", default=None)


class OwnModel(NamedTuple):
    """What experiments have to know of a model."""

    fingerprint: str
    """Hash of its source code and its settings."""

    takes_weights: bool
    """Whether its ``forward`` takes edge weights."""


@dataclass(frozen=True)
class OwnRecipe(Recipe):
    """A model ``module:function`` and the settings of its training."""

    def build(self, data: Data, seed: int) -> Module:
        """Return a fresh model for a graph; equal seeds give equal models."""
        builder = find_builder(self.model)
        with seeded(seed):
            model = builder(data.x.size(1), num_classes(data.y))
        return model.to(data.x.device)


def own_recipe(model: str, standard: Recipe) -> OwnRecipe:
    """Return the recipe of a model that has no settings of its own.

    Args:
        model: ``module:function``.
        standard: Recipe of a standard model on the same graph. Learning rate, weight
            decay, epochs and patience are taken from it; weight decay is on all layers.
    """
    fit = replace(standard.fit, decay_first_layer_only=False)
    return OwnRecipe(model, {}, fit)


def is_own_model(model: str) -> bool:
    """Return whether the name of a model is ``module:function``."""
    return ":" in model


@contextmanager
def offered(name: str, builder: Builder) -> Iterator[None]:
    """Let :func:`find_builder` find a function of this process by a name."""
    token = _GIVEN.set({**(_GIVEN.get() or {}), name: builder})
    try:
        yield
    finally:
        _GIVEN.reset(token)


def find_builder(name: str) -> Builder:
    """Import a function by its name ``module:function``.

    Modules are searched in the current folder first, then on ``sys.path``.

    Raises:
        ValueError: If there is no such module or function, or it is not callable.
    """
    given = (_GIVEN.get() or {}).get(name)
    if given is not None:
        return given
    module, _, function = name.partition(":")
    if not module or not function or "/" in module or module.endswith(".py"):
        raise ValueError(
            f"'model' must be one of {', '.join(GRAPH_MODELS)}, or module:function "
            f"without folders and suffix, such as mymodels:make_gat (got {name})"
        )
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = operator.attrgetter(function)(importlib.import_module(module))
    except Exception as error:  # a module may raise anything
        raise ValueError(
            f"model {name} cannot be imported ({type(error).__name__}: {error})"
        ) from error
    if not callable(found):
        raise ValueError(
            f"model {name} must be a function of the number of features and the number "
            f"of classes (got {type(found).__name__})"
        )
    return found


def inspect_model(name: str, data: Data) -> OwnModel:
    """Build and call a model, and return what experiments have to know of it.

    Args:
        name: ``module:function``.
        data: A graph with ``x``, ``edge_index`` and ``y``.

    Raises:
        ValueError: If the function cannot be imported, does not return a fresh model,
            or the model does not return logits for the graph.
    """
    builder, sizes = find_builder(name), (data.x.size(1), num_classes(data.y))
    try:
        with seeded(0):
            model, other = builder(*sizes), builder(*sizes)
    except Exception as error:
        raise ValueError(
            f"model {name} is called with the number of features and the number of "
            f"classes, {sizes} ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(model, Module):
        raise ValueError(
            f"model {name} must return a torch.nn.Module (got {type(model).__name__})"
        )
    if {id(it) for it in _parts(model)} & {id(it) for it in _parts(other)}:
        raise ValueError(
            f"model {name} must return a model with weights of its own at every call "
            "(got the same weights twice), because every run trains one; build or "
            "deep-copy the model inside the function"
        )
    try:
        with evaluating(model), torch.no_grad():
            out = call_arguments(model, data).call(model)
    except Exception as error:
        raise ValueError(
            f"model {name} must run on (x, edge_index) of the graph with shapes "
            f"{list(data.x.shape)} and {list(data.edge_index.shape)} "
            f"({type(error).__name__}: {error})"
        ) from error
    wanted = (data.x.size(0), sizes[1])
    if not isinstance(out, Tensor) or out.shape != wanted:
        got = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f"model {name} must return logits of shape {list(wanted)} (got {got})"
        )
    takes_weights = call_form(model).weight is not None
    return OwnModel(model_fingerprint(builder, model), takes_weights)


def _parts(model: object) -> list[object]:
    """Return what training changes in a model, and the model itself."""
    if not isinstance(model, Module):
        return []
    trained = [it for it in model.parameters() if it.requires_grad]
    return [model, *trained]
