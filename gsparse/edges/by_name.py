"""Public classes of a package by their names; ``__all__`` is the only list."""

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def public_classes(package: ModuleType, kind: type) -> dict[str, Any]:
    """Return the public subclasses of ``kind`` that can be built, by name."""
    public = {name: getattr(package, name) for name in package.__all__}
    return {
        name: thing
        for name, thing in public.items()
        if inspect.isclass(thing)
        and issubclass(thing, kind)
        and not inspect.isabstract(thing)
    }


def find_by_name(found: Mapping[str, T], name: str, argument: str) -> T:
    """Return the entry of a name.

    Args:
        found: Entries by name.
        name: The name to look up.
        argument: Name of the argument, for the error.

    Raises:
        ValueError: If there is no such entry; lists the names there are, and last the
            one that was probably meant.
    """
    if name not in found:
        lower = {it.lower(): it for it in found}
        near = get_close_matches(name.lower(), lower, n=1)
        hint = f"; did you mean {lower[near[0]]}?" if near else ""
        raise ValueError(
            f"'{argument}' must be one of {', '.join(found)} (got {name}){hint}"
        )
    return found[name]
