"""Standard models, sparse features and the fit loop."""

from gsparse.nn.seeded import seeded
from gsparse.train.distill import Distillation
from gsparse.train.edge_exchange import EdgeExchange, Exchange
from gsparse.train.edge_lottery import EdgeLottery
from gsparse.train.features import SparseFeatures, sparse_features
from gsparse.train.fit import History, evaluate, fit, predict_logits
from gsparse.train.fit_config import FitConfig
from gsparse.train.gcnii import GCNII
from gsparse.train.incremental.fit_tasks import TaskScores, fit_tasks
from gsparse.train.incremental.rank_update import RankUpdate
from gsparse.train.incremental.tasks import binary_tasks, class_tasks, graph_tasks
from gsparse.train.iterative import Ticket, WeightLottery
from gsparse.train.load_dataset import load_dataset
from gsparse.train.mask import MaskHistory, fit_mask
from gsparse.train.models import GAT, GCN, MLP, SAGE, build_model
from gsparse.train.pruning import PrunedModel, prune_and_train
from gsparse.train.receptive_field import receptive_field
from gsparse.train.recipes import Recipe, deep_recipe, general_recipe, recipe
from gsparse.train.scores import roc_auc
from gsparse.train.sparsity_callback import SparsityCallback

__all__ = [
    "GAT",
    "GCN",
    "GCNII",
    "MLP",
    "SAGE",
    "Distillation",
    "EdgeExchange",
    "EdgeLottery",
    "Exchange",
    "FitConfig",
    "History",
    "MaskHistory",
    "PrunedModel",
    "RankUpdate",
    "Recipe",
    "SparseFeatures",
    "SparsityCallback",
    "TaskScores",
    "Ticket",
    "WeightLottery",
    "binary_tasks",
    "build_model",
    "class_tasks",
    "deep_recipe",
    "evaluate",
    "fit",
    "fit_mask",
    "fit_tasks",
    "general_recipe",
    "graph_tasks",
    "load_dataset",
    "predict_logits",
    "prune_and_train",
    "receptive_field",
    "recipe",
    "roc_auc",
    "seeded",
    "sparse_features",
]
