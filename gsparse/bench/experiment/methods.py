"""Edge methods by the names that rows have."""

from typing import Any

from gsparse.edges.by_name import find_by_name
from gsparse.nn.by_name import edge_wrappers
from gsparse.nn.learned_mask import LearnedMask
from gsparse.train.by_name import lotteries
from gsparse.transforms.by_name import sparsifiers

BASELINES = ("Dense", "MLP")
"""No edge removed, and all of them."""


def methods() -> dict[str, Any]:
    """Return every public edge method by name."""
    return {**sparsifiers(), **edge_wrappers(), **lotteries("edges")}


def method_class(method: str) -> Any:  # noqa: ANN401 (a class of any family)
    """Return the class of an edge method; ``None`` for baselines.

    Raises:
        ValueError: If no public method has this name; lists the names there are.
    """
    if method in BASELINES:
        return None
    return find_by_name(methods(), method, "method")


def cuts(method: str) -> bool:
    """Return whether a method removes edges of the graph; baselines do not."""
    found = method_class(method)
    return found is not None and found.cuts


def is_learned(method: str) -> bool:
    """Return whether a method is a mask that is learned with a model."""
    found = method_class(method)
    return found is not None and issubclass(found, LearnedMask)


def trains_edges(method: str) -> bool:
    """Return whether a method trains to choose edges, which takes long."""
    return is_learned(method) or getattr(method_class(method), "trains", False)


def default_reweight(method: str, model: str) -> bool | None:
    """Return whether new edge weights are used: not by attention, as in ``FastGAT``.

    Returns:
        ``None`` for a method that makes no new weights.
    """
    found = method_class(method)
    return None if found is None or not found.reweights else model[:3] != "gat"


def has_edge_terms(method: str, teacher: str, wanted: bool | None = None) -> bool:
    """Return whether a learned mask has terms of single edges in an experiment.

    Args:
        method: Name of a learned mask.
        teacher: What a trained model is used for; ``"none"`` for labels alone.
        wanted: What the experiment says; None for the usual of the class.

    Raises:
        ValueError: If a mask without features is to have no terms.
    """
    usual = method_class(method).edge_terms
    if wanted is False and usual == "always":
        raise ValueError(
            f"'edge_terms' must be with or auto for {method}, which has nothing else "
            "(got without)"
        )
    if wanted is not None:
        return wanted
    return usual == "always" or (usual == "with a teacher" and teacher != "none")
