"""Remembers the Graph of an edge_index while that tensor lives unchanged."""

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from gsparse.kernels.graph import Graph, SelfLoops
from gsparse.kernels.threads import jit

#: Graphs remembered at most; the least recently used one goes first.
MAX_GRAPHS = 16

_LOCK = threading.Lock()
_GRAPHS: "OrderedDict[Hashable, _Entry]" = OrderedDict()


class _Entry(NamedTuple):
    graph: Graph
    version: int | None
    reference: "weakref.ref[Tensor] | None"

    def fits(self, edge_index: Tensor, version: int | None) -> bool:
        same = self.reference is None or self.reference() is edge_index
        return same and self.version == version


@jit()
def _content_hash(values: np.ndarray) -> np.uint64:
    state = np.uint64(0xCBF29CE484222325)
    for value in values:
        state = (state ^ np.uint64(value)) * np.uint64(0x9E3779B97F4A7C15)
        state ^= state >> np.uint64(29)
    return state


def _state(edge_index: Tensor) -> tuple[Hashable, int | None]:
    """Which tensor it is, and the version of what it holds."""
    if not edge_index.is_inference():
        return id(edge_index), edge_index._version
    # Inference tensors count no versions: recognise them by what they hold.
    plain = edge_index.as_subclass(Tensor).long().contiguous().view(-1).cpu()
    shape = (*edge_index.shape, str(edge_index.device))
    return (int(_content_hash(plain.numpy())), *shape), None


def graph_of(
    edge_index: Tensor, num_nodes: int, self_loops: SelfLoops = "keep"
) -> Graph:
    """The :class:`Graph` of an ``edge_index``, built once and remembered.

    The memory hangs on a weak reference to the tensor and on its version counter,
    so an in-place change builds anew and a dead tensor frees its graph; inference
    tensors, which count no versions, are recognised by a hash of their content
    (about 4 ms per million edges). Writing through ``.data`` or shared NumPy memory
    is seen by no counter: call :func:`clear_graphs` after it. Nothing is stored on
    tensors or modules, so copies and checkpoints stay small.

    Args:
        edge_index: Sources and targets, int64 ``[2, E]``.
        num_nodes: Number of nodes.
        self_loops: See :meth:`Graph.from_edge_index`.

    Returns:
        The graph.
    """
    name, version = _state(edge_index)
    key = (name, num_nodes, self_loops)
    with _LOCK:
        found = _GRAPHS.get(key)
        if found is not None and found.fits(edge_index, version):
            _GRAPHS.move_to_end(key)
            return found.graph
    graph = Graph.from_edge_index(edge_index, num_nodes, self_loops)
    watch = None if version is None else weakref.ref(edge_index, _forgetter(key))
    with _LOCK:
        _GRAPHS[key] = _Entry(graph, version, watch)
        _GRAPHS.move_to_end(key)
        while len(_GRAPHS) > MAX_GRAPHS:
            _GRAPHS.popitem(last=False)
    return graph


def _forgetter(key: Hashable) -> "Callable[[weakref.ref[Tensor]], None]":
    def forget(reference: "weakref.ref[Tensor]") -> None:
        # Runs wherever the tensor dies, maybe while this thread holds the lock:
        # a single dictionary operation needs none.
        found = _GRAPHS.get(key)
        if found is not None and found.reference is reference:
            _GRAPHS.pop(key, None)

    return forget


def clear_graphs() -> None:
    """Forget every remembered graph."""
    with _LOCK:
        _GRAPHS.clear()
