"""Weight pruners for the layers of a GNN."""

from gsparse.nn.quantised_linear import Quantised
from gsparse.prune.criteria.criterion import Criterion
from gsparse.prune.criteria.gradient_flow import LossPreservation, MagnitudeLoss
from gsparse.prune.criteria.gradient_norm import GradientNorm, GradientPreservation
from gsparse.prune.criteria.grasp import GraSP
from gsparse.prune.criteria.lamp import LAMP
from gsparse.prune.criteria.magnitude import Magnitude, RandomWeight
from gsparse.prune.criteria.snip import SNIP
from gsparse.prune.criteria.syn_flow import SynFlow
from gsparse.prune.criteria.wanda import Wanda
from gsparse.prune.implicit import ImplicitReport, implicit_sparsity_report
from gsparse.prune.learned.admm import ADMM
from gsparse.prune.learned.auto_prune import AutoPrune
from gsparse.prune.learned.gradual_threshold import GradualThreshold
from gsparse.prune.learned.prob_mask import ProbMask
from gsparse.prune.masks import Report, WeightMasks
from gsparse.prune.pruner import Pruner
from gsparse.prune.quantise import quantise
from gsparse.prune.quantise_weights import dequantise, quantise_weights
from gsparse.prune.schedule import (
    CubicSchedule,
    ExponentialSchedule,
    LinearSchedule,
    RoundsSchedule,
    Schedule,
)
from gsparse.prune.select import keep_best, layer_budgets
from gsparse.prune.structured.even_units import even_units
from gsparse.prune.structured.select_groups import keep_best_groups
from gsparse.prune.structured.structures import (
    Blocks,
    Columns,
    CrossbarColumns,
    CrossbarRows,
    Heads,
    Rows,
    Structure,
    Units,
)
from gsparse.prune.surgeons.combinatorial import (
    CombinatorialBrainSurgeon,
    brain_surgeon_update,
)
from gsparse.prune.surgeons.fisher import Fisher
from gsparse.prune.surgeons.ranked import (
    OptimalBrainDamage,
    OptimalBrainSurgeon,
    WoodFisher,
)
from gsparse.prune.surgeons.take_fisher import empirical_fisher, true_fisher
from gsparse.prune.targets import Selector, find_targets
from gsparse.prune.weight_pruner import WeightPruner

__all__ = [
    "ADMM",
    "LAMP",
    "SNIP",
    "AutoPrune",
    "Blocks",
    "Columns",
    "CombinatorialBrainSurgeon",
    "Criterion",
    "CrossbarColumns",
    "CrossbarRows",
    "CubicSchedule",
    "ExponentialSchedule",
    "Fisher",
    "GraSP",
    "GradientNorm",
    "GradientPreservation",
    "GradualThreshold",
    "Heads",
    "ImplicitReport",
    "LinearSchedule",
    "LossPreservation",
    "Magnitude",
    "MagnitudeLoss",
    "OptimalBrainDamage",
    "OptimalBrainSurgeon",
    "ProbMask",
    "Pruner",
    "Quantised",
    "RandomWeight",
    "Report",
    "RoundsSchedule",
    "Rows",
    "Schedule",
    "Selector",
    "Structure",
    "SynFlow",
    "Units",
    "Wanda",
    "WeightMasks",
    "WeightPruner",
    "WoodFisher",
    "brain_surgeon_update",
    "dequantise",
    "empirical_fisher",
    "even_units",
    "find_targets",
    "implicit_sparsity_report",
    "keep_best",
    "keep_best_groups",
    "layer_budgets",
    "quantise",
    "quantise_weights",
    "true_fisher",
]

_MOVED = {
    "gsparse.compaction": "ChannelGroup CompactionReport channel_groups compact "
    "compaction_report crossbar_count multiply_adds purify reconstruct Reconstruction "
    "remove_dead_units remove_unused_paths RemovedUnits",
    "gsparse.deploy": "ModelCard export_program export_weights keep_n_of_m "
    "load_weights prune_n_of_m save_model to_semi_structured",
    "gsparse.nn": "QuantisedLinear SparseLinear to_sparse",
    "gsparse.prune, with the suffix Schedule": "Cubic Exponential Linear Rounds",
    "gsparse.prune, as Pruner(model, criterion, sparsity=...)": "ScoredPruner",
}


def __getattr__(name: str) -> object:
    """Say where a public name of version 0.1 is now."""
    for place, names in _MOVED.items():
        if name in names.split():
            raise ImportError(f"gsparse.prune.{name} is now in {place}")
    raise AttributeError(f"module 'gsparse.prune' has no attribute {name!r}")
