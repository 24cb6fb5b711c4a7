"""Compiled inner loops behind torch custom ops."""

from gsparse.kernels.cache import clear_graphs, graph_of
from gsparse.kernels.graph import Graph
from gsparse.kernels.threads import jit, kernel_threads

__all__ = [
    "Graph",
    "clear_graphs",
    "graph_of",
    "jit",
    "kernel_threads",
]
