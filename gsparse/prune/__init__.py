"""Weight pruners for the layers of a GNN, on masks that survive checkpoints."""

from gsparse.prune.magnitude import Magnitude, RandomWeight
from gsparse.prune.masks import Report, WeightMasks
from gsparse.prune.pruner import Pruner, ScoredPruner
from gsparse.prune.schedule import Cubic, Exponential, Linear, Rounds, Schedule
from gsparse.prune.select import keep_best, layer_budgets
from gsparse.prune.targets import Selector, find_targets

__all__ = [
    "Cubic",
    "Exponential",
    "Linear",
    "Magnitude",
    "Pruner",
    "RandomWeight",
    "Report",
    "Rounds",
    "Schedule",
    "ScoredPruner",
    "Selector",
    "WeightMasks",
    "find_targets",
    "keep_best",
    "layer_budgets",
]
