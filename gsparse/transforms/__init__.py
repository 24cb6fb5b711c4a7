"""Sparsifiers: graph in, graph out, one file a method."""

from gsparse.transforms.d_spar import DSpar, d_spar
from gsparse.transforms.effective_resistance import (
    EffectiveResistance,
    spectral_sparsify,
)
from gsparse.transforms.random_edge import RandomEdge, random_edge

__all__ = [
    "DSpar",
    "EffectiveResistance",
    "RandomEdge",
    "d_spar",
    "random_edge",
    "spectral_sparsify",
]
