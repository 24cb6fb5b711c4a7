"""Functions of the caller that build models, and their names."""

from importlib import import_module
from operator import attrgetter
from typing import NamedTuple

from gsparse.deploy.blueprint import Builder
from gsparse.deploy.known_models import KNOWN, name_of


class Named(NamedTuple):
    """A function and its name ``module:function``."""

    name: str
    build: Builder | None
    """``None`` for a model that a file may name."""


def named_builder(build: str | Builder) -> Named:
    """Return a function, or the one with a name, which the caller's code gives.

    Never call it with a name from a file.

    Raises:
        ValueError: If there is no such function.
        TypeError: If it cannot be called, or has no name.
    """
    if isinstance(build, str):
        if build in KNOWN:
            return Named(build, None)
        module, _, function = build.partition(":")
        if not module or not function:
            raise ValueError(
                f"'build' must be a function or its name, module:function (got "
                f"{build!r})"
            )
        try:
            found = attrgetter(function)(import_module(module))
        except (ImportError, AttributeError) as error:
            raise ValueError(f"'build' cannot be imported ({error})") from error
        return Named(build, _callable(found))
    known = name_of(build)
    if known is not None:
        return Named(known, None)
    name = getattr(_callable(build), "__qualname__", "")
    if not name or "<" in name:
        raise TypeError(
            f"'build' must be a function or class with a name of its own (got {build})"
        )
    return Named(f"{build.__module__}:{name}", build)


def _callable(found: Builder) -> Builder:
    if not callable(found):
        raise TypeError(
            f"'build' must be a function that returns a model (got "
            f"{type(found).__name__})"
        )
    return found
