"""Criteria and weight pruners by the names of their classes."""

from gsparse import prune
from gsparse.edges.by_name import public_classes
from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.pruner import Pruner
from gsparse.prune.weight_pruner import WeightPruner


def methods() -> dict[str, type[Criterion] | type[WeightPruner]]:
    """Return every public criterion and every pruner with one of its own by name."""
    pruners = public_classes(prune, WeightPruner)
    found = {**public_classes(prune, Criterion), **pruners}
    found.pop(Pruner.__name__)
    return {name: found[name] for name in prune.__all__ if name in found}
