"""Batches of sampled nodes and edges as PyG's ``Data``."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.neighbor_lists import NeighborLists
from gsparse.edges.levels import edge_level_keys, is_edge_level

# ruff: noqa: ANN401 (attributes of a graph are of any kind)

Rows = Tensor | NDArray[Any]


class BatchMaker:
    """Build the ``Data`` of sampled nodes and edges.

    Node-level and edge-level attributes of the graph are cut to the sampled nodes and
    edges; others are passed on.

    Args:
        lists: The graph as neighbour lists.
        data: The graph in memory, if it has attributes to cut.
        x: Features; they replace those of ``data``.
        y: Labels; they replace those of ``data``.

    Raises:
        ValueError: If ``x`` or ``y`` does not have one row per node.
        TypeError: If features are sparse.
    """

    def __init__(
        self, lists: NeighborLists, data: Data | None, x: Rows | None, y: Rows | None
    ) -> None:
        self.lists = lists
        self._nodes: dict[str, Any] = {}
        self._edges: dict[str, tuple[Any, int]] = {}
        self._others: dict[str, Any] = {}
        if data is not None:
            self._sort_attributes(data)
        for name, rows in (("x", x), ("y", y)):
            if rows is not None:
                self._nodes[name] = _Reopened.of(rows)
        for name, rows in self._nodes.items():
            _check_rows(name, rows, lists.num_nodes)

    def make(
        self,
        n_id: NDArray[np.int64],
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        entries: NDArray[np.int64],
        weight: NDArray[np.float32] | None = None,
    ) -> Data:
        """Return the graph of some nodes and edges.

        Args:
            n_id: Ids of the nodes.
            source: Place among them where each edge begins.
            target: Place where it ends.
            entries: Positions of the edges in the lists.
            weight: Weights of these edges and of one self-loop for each node, which
                replace all other edge-level attributes. Loops of weight 0 are left out.

        Shapes:
            - **n_id:** :math:`(n,)`
            - **source**, **target**, **entries:** :math:`(e,)`
            - **weight:** :math:`(e + n,)`
        """
        if weight is not None:
            loops = np.flatnonzero(weight[entries.size :])
            source, target = np.append(source, loops), np.append(target, loops)
        out = Data(edge_index=torch.from_numpy(np.stack([source, target])))
        out.num_nodes = n_id.size
        for name, value in self._others.items():
            out[name] = value
        for name, rows in self._nodes.items():
            out[name] = _take(rows, n_id, 0)
        out.n_id = torch.from_numpy(n_id)
        if weight is not None:
            chosen = np.append(weight[: entries.size], weight[entries.size :][loops])
            out.edge_weight = torch.from_numpy(chosen)
            return out
        if self.lists.weight is not None:
            out.edge_weight = torch.from_numpy(self.lists.weight[entries])
        if self.lists.e_id is not None:
            e_id = self.lists.e_id[entries]
            out.e_id = torch.from_numpy(e_id)
            for name, (values, dim) in self._edges.items():
                out[name] = _take(values, e_id, dim)
        return out

    def _sort_attributes(self, data: Data) -> None:
        store = data._store
        of_edges = edge_level_keys(store)
        for name in store.keys():  # noqa: SIM118 (a store iterates over values)
            value = store[name]
            if name in ("edge_index", "num_nodes", "adj_t") or value is None:
                continue
            if name in of_edges:
                dim = data.__cat_dim__(name, value, store)
                self._edges[name] = (value, dim)
            elif name == "e_id":  # it does not fit the edges
                continue
            elif not is_edge_level(store, name) and store.is_node_attr(name):
                self._nodes[name] = value
            else:
                self._others[name] = value


class _Reopened:
    """Rows of a memory-mapped file, which a copy in another process opens again."""

    def __init__(self, rows: np.memmap[Any, Any]) -> None:
        self._rows = rows

    @staticmethod
    def of(rows: Rows) -> "Rows | _Reopened":
        """Wrap a mapped file; a slice of one, whose place is not known, is copied."""
        whole = isinstance(rows, np.memmap) and not isinstance(rows.base, np.ndarray)
        return _Reopened(rows) if whole and rows.filename else rows  # type: ignore[union-attr, arg-type]

    @property
    def shape(self) -> tuple[int, ...]:
        return self._rows.shape

    def __getitem__(self, ids: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(self._rows)[ids]

    def __getstate__(self) -> dict[str, Any]:
        it = self._rows
        order = "C" if it.flags.c_contiguous else "F"
        place = (it.filename, it.dtype, "r", it.offset, it.shape, order)
        return {"place": place}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self._rows = np.memmap(*state["place"])


def _check_rows(name: str, rows: Any, num_nodes: int) -> None:
    if isinstance(rows, Tensor) and (
        rows.layout != torch.strided or type(rows) is not Tensor
    ):
        raise TypeError(
            f"{name!r} must be a dense tensor or array (got {type(rows).__name__} with "
            f"layout {rows.layout}); convert it with to_dense()"
        )
    length = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    if length != num_nodes:
        raise ValueError(
            f"{name!r} must have one row per node, {num_nodes} in all (got {length})"
        )


def _take(values: Any, ids: NDArray[np.int64], dim: int) -> Any:
    if isinstance(values, Tensor):
        return values.index_select(dim, torch.from_numpy(ids).to(values.device))
    if isinstance(values, _Reopened):
        return torch.from_numpy(values[ids])
    if isinstance(values, np.ndarray):
        return torch.from_numpy(np.take(values, ids, axis=dim))
    return [values[i] for i in ids.tolist()]
