"""Weight pruners for the layers of a GNN, on masks that survive checkpoints."""

from gsparse.prune.compaction import (
    ChannelGroup,
    CompactionReport,
    channel_groups,
    compact,
    compaction_report,
    multiply_adds,
)
from gsparse.prune.deploy.export import export_program, export_weights
from gsparse.prune.deploy.model_card import ModelCard
from gsparse.prune.deploy.model_file import load_weights, save_model
from gsparse.prune.deploy.n_of_m import keep_n_of_m, prune_n_of_m, to_semi_structured
from gsparse.prune.deploy.quantise import Quantised, quantise
from gsparse.prune.deploy.quantised_linear import (
    QuantisedLinear,
    dequantise,
    quantise_weights,
)
from gsparse.prune.deploy.sparse_linear import SparseLinear, to_sparse
from gsparse.prune.learned.auto_prune import AutoPrune
from gsparse.prune.learned.gradual_threshold import GradualThreshold
from gsparse.prune.learned.prob_mask import ProbMask
from gsparse.prune.masks import Report, WeightMasks
from gsparse.prune.pruner import Pruner, ScoredPruner
from gsparse.prune.schedule import Cubic, Exponential, Linear, Rounds, Schedule
from gsparse.prune.scores.gradient_flow import LossPreservation, MagnitudeLoss
from gsparse.prune.scores.gradient_norm import GradientNorm, GradientPreservation
from gsparse.prune.scores.grasp import GraSP
from gsparse.prune.scores.magnitude import Magnitude, RandomWeight
from gsparse.prune.scores.snip import SNIP
from gsparse.prune.scores.syn_flow import SynFlow
from gsparse.prune.scores.wanda import Wanda
from gsparse.prune.select import keep_best, layer_budgets
from gsparse.prune.structured.admm import ADMM
from gsparse.prune.structured.dead_units import RemovedUnits, remove_dead_units
from gsparse.prune.structured.implicit import ImplicitReport, implicit_sparsity_report
from gsparse.prune.structured.purify import crossbar_count, purify, remove_unused_paths
from gsparse.prune.structured.reconstruct import Reconstruction, reconstruct
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
