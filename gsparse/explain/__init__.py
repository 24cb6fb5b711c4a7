"""Find the features or hidden units that interact in a fitted model."""

from gsparse.explain.bayesian import BayesianGCN, BayesianMLP
from gsparse.explain.concrete_dropout import ConcreteDropout
from gsparse.explain.expected_hessian import interactions
from gsparse.explain.gradient import saliency
from gsparse.explain.groups import choose_num_groups
from gsparse.explain.null import p_values, permutation_null, permuted_targets
from gsparse.explain.plot import plot_graph, plot_pairs
from gsparse.explain.progress import text_bar
from gsparse.explain.table import Interactions

__all__ = [
    "BayesianGCN",
    "BayesianMLP",
    "ConcreteDropout",
    "Interactions",
    "choose_num_groups",
    "interactions",
    "p_values",
    "permutation_null",
    "permuted_targets",
    "plot_graph",
    "plot_pairs",
    "saliency",
    "text_bar",
]
