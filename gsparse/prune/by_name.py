"""Criteria and weight pruners by the names of their classes."""

import inspect

from gsparse import prune
from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.pruner import Pruner
from gsparse.prune.weight_pruner import WeightPruner


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
