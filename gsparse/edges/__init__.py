"""Undirected pairs, exact budgets, and cutting a graph.

The only code in the package that slices ``edge_index``.
"""

from gsparse.edges.apply import (
    apply_edge_mask,
    cut_store,
    is_edge_level,
    require_edge_index,
)
from gsparse.edges.check import (
    check_data,
    check_edge_index,
    check_edge_weight,
    check_sparsity,
)
from gsparse.edges.hashing import (
    counter_uniform,
    draw_seed,
    pair_uniform,
    tie_breaker,
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

__all__ = [
    "Pairs",
    "apply_edge_mask",
    "budget",
    "check_data",
    "check_edge_index",
    "check_edge_weight",
    "check_sparsity",
    "counter_uniform",
    "cut_store",
    "draw_seed",
    "gather_pairs",
    "is_edge_level",
    "keep_largest",
    "keep_top",
    "pair_uniform",
    "pair_weight",
    "priority_sample",
    "require_edge_index",
    "sample_with_replacement",
    "spread",
    "tie_breaker",
    "undirected_pairs",
]
