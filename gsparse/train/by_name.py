"""Lotteries and all ways to prune weights, by the names of their classes or rows."""

import inspect
from typing import Any, Literal

from gsparse import train
from gsparse.prune import by_name as prune_by_name
from gsparse.train.pruning_variants import VARIANTS


def lotteries(removes: Literal["edges", "weights"]) -> dict[str, Any]:
    """Return every public class that trains models to find edges or weights, by name.

    They are called with a fresh model, a graph and a seed.
    """
    public = {name: getattr(train, name) for name in train.__all__}
    return {
        name: thing
        for name, thing in public.items()
        if inspect.isclass(thing) and getattr(thing, "removes", None) == removes
    }


def public_weight_methods() -> dict[str, Any]:
    """Return every public criterion, pruner and lottery of weights by name."""
    return {**prune_by_name.methods(), **lotteries("weights")}


def weight_methods() -> dict[str, Any]:
    """Return the public methods and the variants of experiments by name."""
    return public_weight_methods() | VARIANTS


def weight_method(name: str) -> Any:  # noqa: ANN401 (a criterion, pruner or lottery)
    """Return the criterion, pruner or lottery of a name.

    Raises:
        ValueError: If there is no such method; lists the names there are.
    """
    found = weight_methods()
    if name not in found:
        known = ", ".join(found)
        raise ValueError(f"'pruner' must be one of {known} (got {name})")
    return found[name]
