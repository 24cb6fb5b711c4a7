"""Learned edge masks and other edge wrappers by the names of their classes."""

import inspect

from gsparse import nn
from gsparse.edges import EdgeMethod
from gsparse.nn.learned_mask import LearnedMask


def edge_wrappers() -> dict[str, type[EdgeMethod]]:
    """Return every public wrapper that declares itself an edge method, by name."""
    public = {name: getattr(nn, name) for name in nn.__all__}
    return {
        name: thing
        for name, thing in public.items()
        if inspect.isclass(thing) and issubclass(thing, EdgeMethod)
    }


def learned_masks() -> dict[str, type[LearnedMask]]:
    """Return every public learned mask by name."""
    found = edge_wrappers()
    return {name: it for name, it in found.items() if issubclass(it, LearnedMask)}
