"""Undirected pairs, exact budgets, and the removal of edges.

Only this room slices ``edge_index``.
"""

from gsparse.edges.apply import apply_edge_mask, cut_store
from gsparse.edges.batches import edge_graphs, num_graphs
from gsparse.edges.check import check_edge_index, check_edge_weight, check_sparsity
from gsparse.edges.declarations import EdgeMethod, EdgeNeed, EdgeWhen
from gsparse.edges.hashing import (
    counter_uniform,
    draw_seed,
    pair_uniform,
    tie_breaker,
)
from gsparse.edges.levels import (
    is_edge_level,
    require_edge_index,
    require_single_form,
)
from gsparse.edges.pairs import (
    Pairs,
    gather_pairs,
    pair_weight,
    spread,
    undirected_pairs,
)
from gsparse.edges.sample import priority_sample, sample_with_replacement
from gsparse.edges.select import budget, keep_largest, keep_top
from gsparse.edges.slices import rebuild_slices, set_num_nodes
from gsparse.edges.split_batch import SplitBatch

__all__ = [
    "EdgeMethod",
    "EdgeNeed",
    "EdgeWhen",
    "Pairs",
    "SplitBatch",
    "apply_edge_mask",
    "budget",
    "check_edge_index",
    "check_edge_weight",
    "check_sparsity",
    "counter_uniform",
    "cut_store",
    "draw_seed",
    "edge_graphs",
    "gather_pairs",
    "is_edge_level",
    "keep_largest",
    "keep_top",
    "num_graphs",
    "pair_uniform",
    "pair_weight",
    "priority_sample",
    "rebuild_slices",
    "require_edge_index",
    "require_single_form",
    "sample_with_replacement",
    "set_num_nodes",
    "spread",
    "tie_breaker",
    "undirected_pairs",
]
