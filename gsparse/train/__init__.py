"""Standard models, sparse features and the fit loop."""

from gsparse.train.features import SparseFeatures, sparse_features
from gsparse.train.fit import FitConfig, History, evaluate, fit, seeded
from gsparse.train.models import GAT, GCN, MLP, SAGE, build_model
from gsparse.train.recipes import Recipe, recipe
from gsparse.train.scores import roc_auc

__all__ = [
    "GAT",
    "GCN",
    "MLP",
    "SAGE",
    "FitConfig",
    "History",
    "Recipe",
    "SparseFeatures",
    "build_model",
    "evaluate",
    "fit",
    "recipe",
    "roc_auc",
    "seeded",
    "sparse_features",
]
