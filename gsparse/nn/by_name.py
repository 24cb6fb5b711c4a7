"""Learned edge masks and other edge wrappers by the names of their classes."""

from gsparse import nn
from gsparse.edges import EdgeMethod
from gsparse.edges.by_name import public_classes
from gsparse.nn.learned_mask import LearnedMask


def edge_wrappers() -> dict[str, type[EdgeMethod]]:
    """Return every public wrapper that declares itself an edge method, by name."""
    return public_classes(nn, EdgeMethod)


def learned_masks() -> dict[str, type[LearnedMask]]:
    """Return every public learned mask by name."""
    return public_classes(nn, LearnedMask)
