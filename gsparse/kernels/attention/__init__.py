"""Fused GAT and GATv2 attention, without a tensor of edges times channels."""

from gsparse.kernels.attention.gat import gat_attention, gat_layer
from gsparse.kernels.attention.gatv2 import gatv2_attention
from gsparse.kernels.attention.reference import (
    gat_attention_reference,
    gatv2_attention_reference,
    weighted_softmax,
)

__all__ = [
    "gat_attention",
    "gat_attention_reference",
    "gat_layer",
    "gatv2_attention",
    "gatv2_attention_reference",
    "weighted_softmax",
]
