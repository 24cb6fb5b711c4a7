"""Kept edges of a graph, stored with marks that tell the graph from others."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from gsparse.edges import apply_edge_mask, check_edge_index, require_edge_index
from gsparse.edges.levels import edge_level_keys, plain, require_single_form
from gsparse.kernels.spmm import SparseMatrix

KEPT, WEIGHT = "#graph.kept", "#graph.edge_weight"
"""Names of the tensors of a graph in a model file."""

_MARKED = ("x", "edge_attr", "edge_type", "edge_weight")
_BLOCK = 1 << 24
"""Number of entries that are hashed at once."""


@dataclass(frozen=True)
class SavedGraph:
    """The edges that a cut kept, and marks of the graph that it left.

    Args:
        num_nodes: Number of nodes.
        num_edges: Number of kept entries of ``edge_index``.
        marks: Hashes of the kept edges, the features and other tensors, by name;
            ``None`` for a tensor that the graph does not have.
        kept: True for the positions of the kept entries in the original graph, up to
            the last one; ``None`` if the graph was not cut.
        edge_weight: Weights of the kept entries of a cut graph.

    Shapes:
        - **edge_weight:** :math:`(E',)`
    """

    num_nodes: int
    num_edges: int
    marks: Mapping[str, str | None]
    kept: Tensor | None = None
    edge_weight: Tensor | None = None

    @staticmethod
    def of(data: Data) -> "SavedGraph":
        """Return the record of a graph, cut if it has an ``e_id``.

        Raises:
            TypeError: If it is not one homogeneous graph with ``edge_index``.
            ValueError: If its edges are invalid, or the kept edges are not in their
                original order.
        """
        check_kind(data)
        edge_index = plain(require_edge_index(data._store))
        num_nodes = int(data.num_nodes or 0)
        check_edge_index(edge_index, num_nodes)
        num_edges, kept, weight = edge_index.size(1), None, None
        marks = _marks(data)
        if "e_id" in edge_level_keys(data._store):
            kept = _flags(data.e_id.cpu().long())
            weight = data.get("edge_weight")
            marks["edge_weight"] = None  # stored, not compared
        return SavedGraph(num_nodes, num_edges, marks, kept, weight)

    def cut(self, data: Data) -> Data:
        """Return the saved graph from the original one.

        Args:
            data: The graph that was cut; not changed. It may also be a part of it that
                has the saved edges, with their original positions in ``e_id``.

        Raises:
            TypeError: If it is not one homogeneous graph with ``edge_index``.
            ValueError: If it is another graph.
        """
        check_kind(data)
        edge_index = require_edge_index(data._store)
        out, of = copy.copy(data), "the graph"
        if self.kept is not None:
            of = "the original graph"
            keep = self._keep(data, edge_index.size(1))
            if int(keep.sum()) != self.num_edges:
                raise ValueError(
                    f"'data' must be the original graph, with all of the "
                    f"{self.num_edges:,} kept edges (got a graph of "
                    f"{edge_index.size(1):,} edges with {int(keep.sum()):,} of them)"
                )
            out = apply_edge_mask(data, keep.to(edge_index.device))
            if self.edge_weight is not None:
                out.edge_weight = self.edge_weight.to(edge_index.device, copy=True)
            elif "edge_weight" in out:
                del out.edge_weight
        self._check(out, of)
        return out

    def _keep(self, data: Data, num_edges: int) -> Tensor:
        """Return a boolean for each entry of ``edge_index``."""
        assert self.kept is not None
        place = torch.arange(num_edges)
        if "e_id" in edge_level_keys(data._store):
            place = data.e_id.cpu().long()
        known = (place >= 0) & (place < self.kept.numel())
        return known & self.kept[place.where(known, 0)] if known.any() else known

    def _check(self, data: Data, of: str) -> None:
        """Refuse a graph that is not the saved one."""
        if data.num_nodes != self.num_nodes:
            raise ValueError(
                f"'data' must be {of}, with {self.num_nodes:,} nodes (got "
                f"{data.num_nodes:,})"
            )
        found = _marks(data)
        if self.kept is not None:
            found["edge_weight"] = None
        for name, mark in self.marks.items():
            if found.get(name) != mark:
                what = {"edges": "edge_index"}.get(name, name)
                raise ValueError(
                    f"'data' must be {of} that was saved (its {what!r} differs); a "
                    "cut belongs to one graph with one order of edges: cut this graph "
                    "by the transform or mask itself"
                )

    def as_record(self) -> dict[str, Any]:
        """Return what is stored in the header of the file."""
        return {
            "num_nodes": self.num_nodes,
            "num_edges": self.num_edges,
            "marks": dict(self.marks),
        }

    @staticmethod
    def from_record(
        record: Mapping[str, Any], kept: Tensor | None, edge_weight: Tensor | None
    ) -> "SavedGraph":
        """Return the record of a graph in a file.

        Raises:
            ValueError: If it is not as it was written.
        """
        sizes, marks = [record["num_nodes"], record["num_edges"]], record["marks"]
        texts = [it for it in marks.values() if it is not None]
        if (
            not all(type(size) is int and size >= 0 for size in sizes)
            or not all(type(text) is str for text in texts)
            or {*marks} != {"edges", *_MARKED}
            or (kept is not None and (kept.dim() != 1 or int(kept.sum()) != sizes[1]))
            or (edge_weight is not None and edge_weight.shape[:1] != (sizes[1],))
        ):
            raise ValueError("the record of the graph is no such record")
        return SavedGraph(sizes[0], sizes[1], marks, kept, edge_weight)


def check_kind(data: object) -> None:
    """Refuse what is not one homogeneous graph.

    Raises:
        TypeError: If it is a batch, a heterogeneous graph, or no graph.
    """
    if not isinstance(data, Data) or isinstance(data, Batch):
        raise TypeError(
            f"'data' must be one homogeneous graph, a Data (got {type(data).__name__})"
        )
    require_single_form(data._store)


def _flags(e_id: Tensor) -> Tensor:
    """Return a boolean for each original position up to the last kept one."""
    if not bool((e_id[1:] > e_id[:-1]).all()) or (e_id.numel() and int(e_id[0]) < 0):
        raise ValueError(
            "'e_id' must ascend, as a cut leaves it (it does not); sort or coalesce "
            "the graph before it is cut, not after"
        )
    kept = torch.zeros(int(e_id[-1]) + 1 if e_id.numel() else 0, dtype=torch.bool)
    kept[e_id] = True
    return kept


def _marks(data: Data) -> dict[str, str | None]:
    edge_index = plain(data.edge_index)
    digest = hashlib.sha256(f"{data.num_nodes} ".encode())
    _add(digest, edge_index.long())
    marks: dict[str, str | None] = {"edges": digest.hexdigest()}
    for name in _MARKED:
        value = data.get(name)
        marks[name] = None if value is None else _mark(name, value)
    return marks


def _mark(name: str, value: Any) -> str:  # noqa: ANN401 (what a graph holds)
    """Hash a matrix by its non-zero entries, so that sparse and dense ones agree."""
    matrix = getattr(value, "matrix", None)
    if isinstance(matrix, SparseMatrix):  # SparseFeatures
        value = matrix.csr
    if not isinstance(value, Tensor):
        raise TypeError(f"{name!r} must be a tensor (got {type(value).__name__})")
    if value.layout not in (torch.strided, torch.sparse_csr):
        raise TypeError(f"{name!r} must be dense or CSR (got {value.layout})")
    digest = hashlib.sha256(f"{value.dtype} {list(value.shape)}".encode())
    places, values = hashlib.sha256(), hashlib.sha256()
    rows = value.size(0) if value.dim() else 1
    width = value.numel() // max(rows, 1)
    step = max(1, _BLOCK // max(width, 1))
    for start in range(0, rows, step):
        place, entries = _entries(value, start, start + step)
        _add(places, place + start * width)
        _add(values, entries)
    digest.update(places.digest() + values.digest())
    return digest.hexdigest()


def _entries(value: Tensor, start: int, end: int) -> tuple[Tensor, Tensor]:
    """Return positions and values of the non-zeros in some rows."""
    if value.layout == torch.strided:
        block = (value[start:end] if value.dim() else value).detach().reshape(-1)
        place = block.nonzero().view(-1)
        return place, block[place]
    crow = value.crow_indices()[start : end + 1]
    part = slice(int(crow[0]), int(crow[-1]))
    row = torch.arange(len(crow) - 1, device=crow.device)
    place = row.repeat_interleave(crow.diff()) * value.size(1)
    place, entries = place + value.col_indices()[part], value.values()[part]
    place, order = place.sort(stable=True)
    entries = entries[order]
    return place[entries != 0], entries[entries != 0]


def _add(digest: Any, value: Tensor) -> None:  # noqa: ANN401 (of hashlib)
    """Add the bytes of a tensor to a hash."""
    flat = value.detach().cpu().contiguous().view(-1)
    digest.update(flat.view(torch.uint8).numpy() if flat.numel() else b"")
