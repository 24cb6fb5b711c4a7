"""Timing contests: contenders take turns in one process and leave one row each.

``python -m gsparse.bench.contests NAME`` runs the contest that the module of this name
defines as ``CONTEST``.
"""

__all__ = [
    "attention",
    "bottleneck_cuts",
    "bottleneck_models",
    "bottleneck_scores",
    "compact_models",
    "epoch",
    "feature_error",
    "laplacian_solvers",
    "large",
    "mask_fits",
    "resistance",
    "resistance_families",
    "scaling",
    "short_fits",
    "sparse_features",
    "sparse_weights",
    "training_steps",
]
