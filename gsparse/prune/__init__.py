"""Weight pruners for the layers of a GNN, on masks that survive checkpoints."""

from gsparse.prune.auto_prune import AutoPrune
from gsparse.prune.combinatorial import (
    CombinatorialBrainSurgeon,
    OptimalBrainDamage,
    OptimalBrainSurgeon,
    WoodFisher,
    brain_surgeon_update,
)
from gsparse.prune.fisher import Fisher, empirical_fisher, true_fisher
from gsparse.prune.gradient_flow import (
    GradientNorm,
    GradientPreservation,
    LossPreservation,
    MagnitudeLoss,
)
from gsparse.prune.gradual_threshold import GradualThreshold
from gsparse.prune.grasp import GraSP
from gsparse.prune.magnitude import Magnitude, RandomWeight
from gsparse.prune.masks import Report, WeightMasks
from gsparse.prune.prob_mask import ProbMask
from gsparse.prune.pruner import Pruner, ScoredPruner
from gsparse.prune.schedule import Cubic, Exponential, Linear, Rounds, Schedule
from gsparse.prune.select import keep_best, layer_budgets
from gsparse.prune.snip import SNIP
from gsparse.prune.sparse_linear import SparseLinear, to_sparse
from gsparse.prune.syn_flow import SynFlow
from gsparse.prune.targets import Selector, find_targets
from gsparse.prune.wanda import Wanda

__all__ = [
    "SNIP",
    "AutoPrune",
    "CombinatorialBrainSurgeon",
    "Cubic",
    "Exponential",
    "Fisher",
    "GraSP",
    "GradientNorm",
    "GradientPreservation",
    "GradualThreshold",
    "Linear",
    "LossPreservation",
    "Magnitude",
    "MagnitudeLoss",
    "OptimalBrainDamage",
    "OptimalBrainSurgeon",
    "ProbMask",
    "Pruner",
    "RandomWeight",
    "Report",
    "Rounds",
    "Schedule",
    "ScoredPruner",
    "Selector",
    "SparseLinear",
    "SynFlow",
    "Wanda",
    "WeightMasks",
    "WoodFisher",
    "brain_surgeon_update",
    "empirical_fisher",
    "find_targets",
    "keep_best",
    "layer_budgets",
    "to_sparse",
    "true_fisher",
]
