"""Lotteries and all ways to prune weights, by the names of their classes or rows."""

from typing import Any, Literal

from gsparse import train
from gsparse.edges.by_name import find_by_name, public_classes
from gsparse.prune import by_name as prune_by_name
from gsparse.train.pruning_variants import VARIANTS


def lotteries(removes: Literal["edges", "weights"]) -> dict[str, Any]:
    """Return every public class that uses models to find edges or weights, by name.

    They are called with a fresh model, a graph and a seed, or, if they need a trained
    model, with this model and a graph.
    """
    found = public_classes(train, object)
    return {k: v for k, v in found.items() if getattr(v, "removes", None) == removes}


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
    return find_by_name(weight_methods(), name, "pruner")
