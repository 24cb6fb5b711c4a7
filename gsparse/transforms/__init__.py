"""Sparsifiers: transforms that remove edges or features from a graph."""

from gsparse.transforms.d_spar import DSpar, d_spar
from gsparse.transforms.effective_resistance import (
    EffectiveResistance,
    spectral_sparsify,
)
from gsparse.transforms.feature_cosine import FeatureCosine, feature_cosine
from gsparse.transforms.feature_select import FeatureSelect, feature_select
from gsparse.transforms.k_neighbor import KNeighbor, k_neighbor
from gsparse.transforms.local_degree import LocalDegree, local_degree
from gsparse.transforms.prediction_agreement import (
    PredictionAgreement,
    prediction_agreement,
)
from gsparse.transforms.random_edge import RandomEdge, random_edge
from gsparse.transforms.teddy import Teddy, teddy

__all__ = [
    "DSpar",
    "EffectiveResistance",
    "FeatureCosine",
    "FeatureSelect",
    "KNeighbor",
    "LocalDegree",
    "PredictionAgreement",
    "RandomEdge",
    "Teddy",
    "d_spar",
    "feature_cosine",
    "feature_select",
    "k_neighbor",
    "local_degree",
    "prediction_agreement",
    "random_edge",
    "spectral_sparsify",
    "teddy",
]
