"""Find edge sparsifiers by the names of their classes."""

import inspect
from typing import Any

from gsparse import transforms
from gsparse.edges.by_name import find_by_name, public_classes
from gsparse.transforms.base import EdgeSparsifier


def sparsifier_class(method: str) -> type[EdgeSparsifier]:
    """Return the class of a sparsifier.

    Raises:
        ValueError: If there is no public sparsifier with this name.
    """
    return find_by_name(sparsifiers(), method, "method")


def make_sparsifier(method: str, /, **settings: Any) -> EdgeSparsifier:  # noqa: ANN401
    """Build a sparsifier from the settings that are not None.

    A ``seed`` is ignored if the method is deterministic.

    Raises:
        ValueError: If the method is unknown or does not have a setting.
    """
    cls = sparsifier_class(method)
    takes = inspect.signature(cls).parameters.keys()
    given = {key: value for key, value in settings.items() if value is not None}
    unknown = given.keys() - takes - {"seed"}
    if unknown:
        raise ValueError(f"{method} does not take {', '.join(sorted(unknown))}")
    return cls(**{key: value for key, value in given.items() if key in takes})


def sparsifiers() -> dict[str, type[EdgeSparsifier]]:
    """Return all public edge sparsifiers by name."""
    return public_classes(transforms, EdgeSparsifier)
