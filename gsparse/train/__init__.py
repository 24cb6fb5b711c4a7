"""Standard models, sparse features and the fit loop."""

from gsparse.train.distill import Distillation
from gsparse.train.edge_lottery import EdgeLottery
from gsparse.train.features import SparseFeatures, sparse_features
from gsparse.train.fit import (
    FitConfig,
    History,
    class_scores,
    evaluate,
    fit,
    seeded,
)
from gsparse.train.iterative import Ticket, WeightLottery
from gsparse.train.mask import fit_mask
from gsparse.train.models import GAT, GCN, MLP, SAGE, build_model
from gsparse.train.recipes import Recipe, deep_recipe, recipe
from gsparse.train.scores import roc_auc

__all__ = [
    "GAT",
    "GCN",
    "MLP",
    "SAGE",
    "Distillation",
    "EdgeLottery",
    "FitConfig",
    "History",
    "Recipe",
    "SparseFeatures",
    "Ticket",
    "WeightLottery",
    "build_model",
    "class_scores",
    "deep_recipe",
    "evaluate",
    "fit",
    "fit_mask",
    "recipe",
    "roc_auc",
    "seeded",
    "sparse_features",
]
