"""Neighbours of every node of a graph folder, in both directions, on disk."""

import json
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gsparse.data.folders.array_file import HEAD, ArrayWriter, FileFacts
from gsparse.data.folders.byte_sizes import parse_bytes
from gsparse.data.folders.graph_folder import BLOCK, GraphFolder
from gsparse.data.folders.header import (
    INDICES,
    INDPTR,
    NAME,
    WEIGHT,
    check_fields,
    check_length,
    checksum,
    index_dtype,
)
from gsparse.data.folders.memory import edges_within
from gsparse.data.folders.publish import publishing
from gsparse.data.folders.sources import Report
from gsparse.data.folders.verify import verify_array

FORMAT = "gsparse neighbour lists"
VERSION = 1
PER_BLOCK = 96 * BLOCK  # bytes for a block of edges and its order
_SOURCES = (INDPTR, INDICES, WEIGHT)  # files that the lists are made from


class NeighborFolder:
    """Both directions of every edge of a graph folder, in compressed rows.

    The neighbours of node ``u``, in ascending order, are at the positions ``indptr[u]``
    to ``indptr[u + 1]``; a self-loop is one of them. The arrays are memory-mapped, and
    copies in other processes open the files again. :func:`open_neighbors` makes it.

    Args:
        path: Path of the folder.
        num_nodes: Number of nodes.
        files: Length and checksum of each file.
    """

    def __init__(self, path: Path, num_nodes: int, files: dict[str, FileFacts]) -> None:
        self.path, self.num_nodes, self.files = path, num_nodes, files

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Position of the first neighbour of every node, and the number of entries.

        Shapes:
            - **output:** :math:`(N + 1,)`, memory-mapped
        """
        return self._map(INDPTR)

    @cached_property
    def indices(self) -> NDArray[Any]:
        """Neighbours of all nodes, int32 if all ids fit.

        Shapes:
            - **output:** :math:`(2M + L,)` with :math:`L` self-loops, memory-mapped
        """
        return self._map(INDICES)

    @cached_property
    def weight(self) -> NDArray[np.float32] | None:
        """Weight of the edge to every neighbour, or None if all are 1.

        Shapes:
            - **output:** :math:`(2M + L,)`, memory-mapped
        """
        return self._map(WEIGHT) if WEIGHT in self.files else None

    @property
    def e_id(self) -> None:
        """None: entries of a graph folder have no positions in an ``edge_index``."""
        return

    def verify(self) -> None:
        """Read all files once and compare their checksums.

        Raises:
            ValueError: If a file differs from the one that was written.
        """
        for name, facts in self.files.items():
            verify_array(self.path / name, *self._array(name), facts.sha256, _AGAIN)

    def _array(self, name: str) -> tuple[np.dtype[Any], int]:
        dtype = {
            INDPTR: np.dtype("<i8"),
            INDICES: index_dtype(self.num_nodes),
            WEIGHT: np.dtype("<f4"),
        }[name]
        return dtype, (self.files[name].num_bytes - HEAD) // dtype.itemsize

    def _map(self, name: str) -> NDArray[Any]:
        dtype, length = self._array(name)
        if length == 0:  # an empty file cannot be mapped
            return np.empty(0, dtype)
        return np.memmap(self.path / name, dtype, mode="r", offset=HEAD, shape=length)

    def __getstate__(self) -> dict[str, Any]:
        keep = ("path", "num_nodes", "files")  # and not the content of mapped files
        return {name: value for name, value in vars(self).items() if name in keep}

    def __repr__(self) -> str:
        return f"NeighborFolder({str(self.path)!r}, num_nodes={self.num_nodes})"


def open_neighbors(
    folder: GraphFolder,
    path: str | Path | None = None,
    *,
    memory: str | int = "2GB",
    verify: bool = False,
    report: Report | None = None,
) -> NeighborFolder:
    """Open the neighbours of all nodes of a graph folder; write them if they are not
    there.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from gsparse.data import convert_graph, house, open_neighbors
        >>> with TemporaryDirectory() as place:
        ...     folder = convert_graph(house(), f"{place}/house")
        ...     lists = open_neighbors(folder)
        ...     lists.indptr.tolist(), lists.indices.tolist()
        ([0, 2, 4, 7, 10, 12], [1, 3, 0, 2, 1, 3, 4, 0, 2, 4, 2, 3])

    A graph folder holds every edge once, and samplers need the neighbours on both
    sides. The lists take 8 bytes per undirected edge, 16 with weights, and 8 bytes per
    node. They appear under their name when they are complete, with checksums.

    **Cost.** Memory for 32 bytes per node and a part of the lists. The graph is read
    once to count, and once for every part, up to the rows of the part: twice as many
    parts if the memory is halved.

    Args:
        folder: The graph.
        path: Path of the lists. The default is that of the graph with ``.neighbors``
            behind it.
        memory: Bound of the memory of the process while the lists are written.
        verify: Whether to read all files once and compare their checksums.
        report: Called with the progress of the writing.

    Raises:
        ValueError: If the lists were made from another graph, are damaged or
            incomplete, or the bound of the memory is too small.
    """
    beside = f"{os.path.abspath(folder.path)}.neighbors"
    path = Path(beside if path is None else path)
    if not path.exists():
        _write(folder, path, parse_bytes(memory), report)
    found = _open(folder, path)
    if verify:
        found.verify()
    return found


_AGAIN = "remove the folder, and it is written again"


def _open(folder: GraphFolder, path: Path) -> NeighborFolder:
    try:
        fields = json.loads((path / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        fields = None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ValueError(f"{path} must hold neighbour lists of gsparse (it does not)")
    check_fields(fields, path / NAME, VERSION, _AGAIN)
    if fields["source"] != _source(folder):
        raise ValueError(
            f"{path} must hold the neighbours of {folder.path} (it was made from "
            f"another graph); {_AGAIN}"
        )
    files = {name: FileFacts(**it) for name, it in fields["files"].items()}
    for name, facts in files.items():
        check_length(path / name, facts.num_bytes, _AGAIN)
    return NeighborFolder(path, folder.num_nodes, files)


def _source(folder: GraphFolder) -> dict[str, str]:
    """Return the checksums of the files that the lists are made from."""
    files = folder.header.files
    return {name: files[name].sha256 for name in _SOURCES if name in files}


def _write(folder: GraphFolder, path: Path, memory: int, report: Report | None) -> None:
    beside = 32 * folder.num_nodes + PER_BLOCK
    per_entry = 8 if folder.is_weighted else 4
    room = edges_within(memory, per_entry, beside=beside, most=memory)
    ends = np.zeros(folder.num_nodes + 1, np.int64)
    np.cumsum(_count(folder, report), out=ends[1:])
    with publishing(path) as part:
        indptr = ArrayWriter(part / INDPTR, "<i8")
        indices = ArrayWriter(part / INDICES, index_dtype(folder.num_nodes))
        weight = ArrayWriter(part / WEIGHT, "<f4")
        try:
            indptr.write(ends)
            for first, last in row_ranges(ends, room):
                found, weights = _part(folder, ends, first, last, report)
                indices.write(found)
                weight.write(weights)
            files = {INDPTR: indptr.finish(), INDICES: indices.finish()}
            if folder.is_weighted:
                files[WEIGHT] = weight.finish()
        finally:
            for writer in (indptr, indices, weight):
                writer.close()
        if not folder.is_weighted:
            (part / WEIGHT).unlink()
        fields: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "source": _source(folder),
            "files": {name: it._asdict() for name, it in files.items()},
        }
        text = json.dumps(fields | {"checksum": checksum(fields)}, indent=2) + "\n"
        (part / NAME).write_text(text, encoding="utf-8")


def _count(folder: GraphFolder, report: Report | None) -> NDArray[np.int64]:
    """Return the number of neighbours of every node."""
    count = np.diff(folder.indptr)
    for row, col, *_ in _blocks(folder, folder.num_stored, "counting", report):
        np.add.at(count, col[row != col], 1)
    return count


def row_ranges(ends: NDArray[np.int64], room: int) -> Iterator[tuple[int, int]]:
    """Divide the rows into ranges of at most ``room`` entries, or of a single row.

    Args:
        ends: Row pointers.
        room: Number of entries.
    """
    first, num_nodes = 0, ends.size - 1
    while first < num_nodes:
        last = int(np.searchsorted(ends, ends[first] + room, side="right")) - 1
        last = max(last, first + 1)
        yield first, last
        first = last


def _part(
    folder: GraphFolder,
    ends: NDArray[np.int64],
    first: int,
    last: int,
    report: Report | None,
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return the neighbours of the nodes ``first`` to ``last`` and their weights.

    The blocks are in ascending order, so smaller neighbours of a node arrive before
    larger ones, and both in ascending order.
    """
    size = int(ends[last] - ends[first])
    indices = np.empty(size, index_dtype(folder.num_nodes))
    weights = np.empty(size if folder.is_weighted else 0, np.float32)
    free = ends[first:last] - ends[first]  # place of the next neighbour of each node
    stop = int(folder.indptr[last])
    name = f"nodes {first:,} to {last:,}"
    for row, col, *weight in _blocks(folder, stop, name, report):
        back = np.flatnonzero((col >= first) & (col < last) & (row != col))
        ahead = np.flatnonzero((row >= first) & (row < last))
        node = np.concatenate([col[back], row[ahead]]) - first
        # Of one node, smaller neighbours come before larger ones.
        order = np.argsort(node, kind="stable")
        node = node[order]
        begins = np.flatnonzero(np.diff(node, prepend=-1))
        runs = np.diff(begins, append=node.size)
        rank = np.arange(node.size) - np.repeat(begins, runs)
        place = free[node] + rank
        indices[place] = np.concatenate([row[back], col[ahead]])[order]
        for it in weight:
            weights[place] = np.concatenate([it[back], it[ahead]])[order]
        free[node[begins]] += runs
    return indices, weights


def _blocks(
    folder: GraphFolder, stop: int, name: str, report: Report | None
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield the ends of the first ``stop`` edges and their weights, if any."""
    done = 0
    for first, ptr, col, weight in folder.rows():
        if done >= stop:
            return
        take = min(stop - done, col.size)
        row = np.repeat(np.arange(first, first + ptr.size - 1), np.diff(ptr))
        yield (row[:take], col[:take], *([weight[:take]] if weight.size else []))
        done += take
        if report is not None:
            report(name, done, stop)
