"""Learned masks on edges and features; fast, sparse and quantised layers."""

from gsparse.nn.drop_edge import DropEdge
from gsparse.nn.edge_gates import EdgeGates
from gsparse.nn.fast_gat import FastGAT
from gsparse.nn.fast_gat_conv import FastGATConv, FastGATv2Conv
from gsparse.nn.fast_gcn_conv import FastGCNConv, FastSAGEConv
from gsparse.nn.fast_twins import accelerate, fast_twin
from gsparse.nn.feature_mask import FeatureMask
from gsparse.nn.hard_concrete import HardConcrete
from gsparse.nn.hard_kumaraswamy import HardKumaraswamy
from gsparse.nn.kedge import KEdge
from gsparse.nn.masking import edge_weights
from gsparse.nn.neural_sparse import NeuralSparse
from gsparse.nn.ptdnet import PTDNet
from gsparse.nn.quantised_linear import QuantisedLinear
from gsparse.nn.sparse_gat import SparseGAT
from gsparse.nn.sparse_linear import SparseLinear, to_sparse

__all__ = [
    "DropEdge",
    "EdgeGates",
    "FastGAT",
    "FastGATConv",
    "FastGATv2Conv",
    "FastGCNConv",
    "FastSAGEConv",
    "FeatureMask",
    "HardConcrete",
    "HardKumaraswamy",
    "KEdge",
    "NeuralSparse",
    "PTDNet",
    "QuantisedLinear",
    "SparseGAT",
    "SparseLinear",
    "accelerate",
    "edge_weights",
    "fast_twin",
    "to_sparse",
]
