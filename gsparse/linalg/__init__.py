"""Solvers of Laplacian systems and effective resistances."""

from gsparse.linalg.cholesky import approximate_cholesky
from gsparse.linalg.exact import exact_resistance, predict_exact
from gsparse.linalg.forest import spanning_forest
from gsparse.linalg.jl import JLEstimate, jl_resistance
from gsparse.linalg.laplacian import Laplacian
from gsparse.linalg.pcg import PCG, PCGState, Solution, jacobi
from gsparse.linalg.resistance import (
    ResistanceResult,
    effective_resistance,
    pair_resistance,
)
from gsparse.linalg.stream import StreamedLeverage, streamed_leverage
from gsparse.linalg.trees import TreeEstimate, tree_resistance

__all__ = [
    "PCG",
    "JLEstimate",
    "Laplacian",
    "PCGState",
    "ResistanceResult",
    "Solution",
    "StreamedLeverage",
    "TreeEstimate",
    "approximate_cholesky",
    "effective_resistance",
    "exact_resistance",
    "jacobi",
    "jl_resistance",
    "pair_resistance",
    "predict_exact",
    "spanning_forest",
    "streamed_leverage",
    "tree_resistance",
]
