"""Compiled inner loops, registered as torch operators."""

from gsparse.kernels.attention import (
    gat_attention,
    gat_attention_reference,
    gat_layer,
    gatv2_attention,
    gatv2_attention_reference,
    weighted_softmax,
)
from gsparse.kernels.cache import clear_graphs, graph_of
from gsparse.kernels.graph import Graph
from gsparse.kernels.threads import jit

__all__ = [
    "Graph",
    "clear_graphs",
    "gat_attention",
    "gat_attention_reference",
    "gat_layer",
    "gatv2_attention",
    "gatv2_attention_reference",
    "graph_of",
    "jit",
    "weighted_softmax",
]
