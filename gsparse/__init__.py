"""Sparse graph neural networks for PyTorch Geometric."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("gsparse-gnn")
except PackageNotFoundError:  # used from a source tree that was never installed
    __version__ = "0.0.0"

__all__ = ["__version__"]
