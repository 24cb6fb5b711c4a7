"""Criteria and weight pruners by the names of their classes."""

import inspect

from gsparse import prune
from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.pruner import Pruner
from gsparse.prune.weight_pruner import WeightPruner


def criteria() -> dict[str, type[Criterion]]:
    """Return every public criterion by name."""
    return {k: v for k, v in methods().items() if issubclass(v, Criterion)}


def pruners() -> dict[str, type[WeightPruner]]:
    """Return every public pruner with a criterion of its own by name."""
    return {k: v for k, v in methods().items() if issubclass(v, WeightPruner)}


def methods() -> dict[str, type[Criterion] | type[WeightPruner]]:
    """Return every public criterion and every pruner with one of its own by name."""
    public = {name: getattr(prune, name) for name in prune.__all__}
    return {
        name: thing
        for name, thing in public.items()
        if inspect.isclass(thing)
        and issubclass(thing, Criterion | WeightPruner)
        and not inspect.isabstract(thing)
        and thing is not Pruner
    }


def method_class(name: str) -> type[Criterion] | type[WeightPruner]:
    """Return the criterion or pruner of a name.

    Raises:
        ValueError: If no public method has this name; lists the names there are.
    """
    found = methods()
    if name not in found:
        known = ", ".join(found)
        raise ValueError(f"'pruner' must be one of {known} (got {name})")
    return found[name]
