"""Sparse graph neural networks for PyTorch Geometric.

The names that most programs begin with are here; every other public name is in its
room: ``gsparse.transforms``, ``nn``, ``prune``, ``compaction``, ``train``, ``linalg``,
``data``, ``explain``, ``deploy``, ``distributed`` and ``bench``. Names are imported
when they are first used, so that ``import gsparse`` loads neither torch nor any kernel.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gsparse.compaction import compact
    from gsparse.linalg import effective_resistance
    from gsparse.nn import FastGAT, KEdge, accelerate
    from gsparse.prune import Magnitude, ProbMask, Pruner
    from gsparse.train import EdgeExchange, fit_mask, load_dataset, sparse_features
    from gsparse.transforms import DSpar, EffectiveResistance, RandomEdge

try:
    __version__ = version("gsparse-gnn")
except PackageNotFoundError:  # used from a source tree that was never installed
    __version__ = "0.0.0"

__all__ = [
    "DSpar",
    "EdgeExchange",
    "EffectiveResistance",
    "FastGAT",
    "KEdge",
    "Magnitude",
    "ProbMask",
    "Pruner",
    "RandomEdge",
    "__version__",
    "accelerate",
    "compact",
    "effective_resistance",
    "fit_mask",
    "load_dataset",
    "sparse_features",
]

_ROOMS = {
    "bench": "",
    "compaction": "compact",
    "data": "",
    "deploy": "",
    "distributed": "",
    "explain": "",
    "linalg": "effective_resistance",
    "nn": "FastGAT KEdge accelerate",
    "prune": "Magnitude ProbMask Pruner",
    "train": "EdgeExchange fit_mask load_dataset sparse_features",
    "transforms": "DSpar EffectiveResistance RandomEdge",
}
_PLACES = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import a public name, or a room, at its first use."""
    if name in _ROOMS:
        return import_module(f"gsparse.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'gsparse' has no attribute {name!r}")
    room = import_module(f"gsparse.{_PLACES[name]}")
    globals()[name] = found = getattr(room, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
