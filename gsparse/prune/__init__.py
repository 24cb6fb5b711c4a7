"""Weight pruners for the layers of a GNN, on masks that survive checkpoints."""

from gsparse.prune.admm import ADMM
from gsparse.prune.auto_prune import AutoPrune
from gsparse.prune.combinatorial import (
    CombinatorialBrainSurgeon,
    OptimalBrainDamage,
    OptimalBrainSurgeon,
    WoodFisher,
    brain_surgeon_update,
)
from gsparse.prune.compaction import (
    ChannelGroup,
    CompactionReport,
    channel_groups,
    compact,
    compaction_report,
    multiply_adds,
)
from gsparse.prune.dead_units import RemovedUnits, remove_dead_units
from gsparse.prune.export import export_program, export_weights
from gsparse.prune.fisher import Fisher, empirical_fisher, true_fisher
from gsparse.prune.gradient_flow import (
    GradientNorm,
    GradientPreservation,
    LossPreservation,
    MagnitudeLoss,
)
from gsparse.prune.gradual_threshold import GradualThreshold
from gsparse.prune.grasp import GraSP
from gsparse.prune.implicit import ImplicitReport, implicit_sparsity_report
from gsparse.prune.magnitude import Magnitude, RandomWeight
from gsparse.prune.masks import Report, WeightMasks
from gsparse.prune.model_card import ModelCard
from gsparse.prune.model_file import load_weights, save_model
from gsparse.prune.n_of_m import keep_n_of_m, prune_n_of_m, to_semi_structured
from gsparse.prune.prob_mask import ProbMask
from gsparse.prune.pruner import Pruner, ScoredPruner
from gsparse.prune.purify import crossbar_count, purify, remove_unused_paths
from gsparse.prune.quantise import Quantised, quantise
from gsparse.prune.quantised_linear import QuantisedLinear, dequantise, quantise_weights
from gsparse.prune.reconstruct import Reconstruction, reconstruct
from gsparse.prune.schedule import Cubic, Exponential, Linear, Rounds, Schedule
from gsparse.prune.select import keep_best, layer_budgets
from gsparse.prune.select_groups import keep_best_groups
from gsparse.prune.snip import SNIP
from gsparse.prune.sparse_linear import SparseLinear, to_sparse
from gsparse.prune.structures import (
    Blocks,
    Columns,
    CrossbarColumns,
    CrossbarRows,
    Heads,
    Rows,
    Structure,
    Units,
)
from gsparse.prune.syn_flow import SynFlow
from gsparse.prune.targets import Selector, find_targets
from gsparse.prune.wanda import Wanda

__all__ = [
    "ADMM",
    "SNIP",
    "AutoPrune",
    "Blocks",
    "ChannelGroup",
    "Columns",
    "CombinatorialBrainSurgeon",
    "CompactionReport",
    "CrossbarColumns",
    "CrossbarRows",
    "Cubic",
    "Exponential",
    "Fisher",
    "GraSP",
    "GradientNorm",
    "GradientPreservation",
    "GradualThreshold",
    "Heads",
    "ImplicitReport",
    "Linear",
    "LossPreservation",
    "Magnitude",
    "MagnitudeLoss",
    "ModelCard",
    "OptimalBrainDamage",
    "OptimalBrainSurgeon",
    "ProbMask",
    "Pruner",
    "Quantised",
    "QuantisedLinear",
    "RandomWeight",
    "Reconstruction",
    "RemovedUnits",
    "Report",
    "Rounds",
    "Rows",
    "Schedule",
    "ScoredPruner",
    "Selector",
    "SparseLinear",
    "Structure",
    "SynFlow",
    "Units",
    "Wanda",
    "WeightMasks",
    "WoodFisher",
    "brain_surgeon_update",
    "channel_groups",
    "compact",
    "compaction_report",
    "crossbar_count",
    "dequantise",
    "empirical_fisher",
    "export_program",
    "export_weights",
    "find_targets",
    "implicit_sparsity_report",
    "keep_best",
    "keep_best_groups",
    "keep_n_of_m",
    "layer_budgets",
    "load_weights",
    "multiply_adds",
    "prune_n_of_m",
    "purify",
    "quantise",
    "quantise_weights",
    "reconstruct",
    "remove_dead_units",
    "remove_unused_paths",
    "save_model",
    "to_semi_structured",
    "to_sparse",
    "true_fisher",
]
