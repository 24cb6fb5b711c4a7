"""Methods of the package by the names that rows have."""

import inspect
from typing import Any

from gsparse import nn, prune
from gsparse.nn.learned_mask import LearnedMask
from gsparse.prune import Pruner
from gsparse.train import EdgeLottery, WeightLottery
from gsparse.transforms.by_name import sparsifiers

BASELINES = ("Dense", "MLP")
"""No edge removed, and all of them."""

SUPERMASK = "Supermask"
"""A mask learned by ``ProbMask`` on weights that stay random."""

ANSWERED = "Magnitude+U"
"""The masks of ``Magnitude``, and the kept weights moved in answer (CBS-U)."""

UNCUT = (*BASELINES, "DropEdge")
"""Methods that remove no edge of the graph; DropEdge does while it trains."""


def method_class(method: str) -> type | None:
    """The transform, learned mask or other class of that name; None for baselines.

    Raises:
        ValueError: No public method has this name; lists those that are there.
    """
    if method in BASELINES:
        return None
    found = methods()
    if method not in found:
        known = ", ".join(found)
        raise ValueError(f"'method' must be one of {known} (got {method})")
    return found[method]


def methods() -> dict[str, Any]:
    """Every public method by name: sparsifiers, learned masks, and two more."""
    others = {"EdgeLottery": EdgeLottery, "DropEdge": nn.DropEdge}
    return {**sparsifiers(), **learned_masks(), **others}


def learned_masks() -> dict[str, type[LearnedMask]]:
    """Every public learned mask by name."""
    public = {name: getattr(nn, name) for name in nn.__all__}
    return {
        name: thing
        for name, thing in public.items()
        if inspect.isclass(thing) and issubclass(thing, LearnedMask)
    }


def pruners() -> dict[str, type[Pruner] | type[WeightLottery]]:
    """Every public weight pruner by name, and what else prunes weights here."""
    public = {name: getattr(prune, name) for name in prune.__all__}
    found: dict[str, Any] = {
        name: thing
        for name, thing in public.items()
        if inspect.isclass(thing)
        and issubclass(thing, Pruner)
        and not inspect.isabstract(thing)
    }
    found |= {"WeightLottery": WeightLottery, SUPERMASK: prune.ProbMask}
    return found | {ANSWERED: prune.Magnitude}


def pruner_class(pruner: str) -> type[Pruner] | type[WeightLottery]:
    """The pruner of that name.

    Raises:
        ValueError: No public pruner has this name; lists those that are there.
    """
    found = pruners()
    if pruner not in found:
        known = ", ".join(found)
        raise ValueError(f"'pruner' must be one of {known} (got {pruner})")
    return found[pruner]


def default_reweight(method: str, model: str) -> bool | None:
    """Whether new weights are used: ``FastGAT``'s default for attention models.

    Returns:
        None for a method that makes no new weights.
    """
    cls = method_class(method)
    own = inspect.signature(cls).parameters.get("reweight") if cls else None
    if own is None:
        return None
    if model.startswith("gat"):
        own = inspect.signature(nn.FastGAT).parameters["reweight"]
    return bool(own.default)
