"""Sources of edges for a graph folder: graphs, blocks, text files and tables."""

from collections.abc import Callable, Iterable, Iterator
from copy import copy
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.check_graph import check_graph, check_largest
from gsparse.data.file_bytes import check_readable
from gsparse.data.folders.tables import EdgeTable
from gsparse.data.folders.text_blocks import is_wide, text_blocks
from gsparse.data.folders.text_edges import EdgeChunk, TextEdges
from gsparse.data.folders.text_names import read_into
from gsparse.data.io import graph_suffix, read_graph
from gsparse.data.matrix_market import is_matrix_market
from gsparse.data.node_labels import Labels, check_node_labels
from gsparse.edges.check import check_edge_index

SLICE = 1 << 20  # edges of a chunk of a graph in memory
PARQUET = ".parquet"
TEXT = (".txt", ".csv", ".tsv")
PER_BYTE = 16  # bytes of memory per byte of text whose nodes are numbered in memory

Report = Callable[[str, int, int], None]
"""Called with the name of a step, how much of it is done, and how much there is."""


class Settings(NamedTuple):
    """How to read a source, and with which means."""

    relabel: bool
    scratch: Path
    memory: int
    report: Report | None


class Source(Protocol):
    """Edges in chunks, and what is known about the nodes after the last chunk."""

    is_weighted: bool

    def chunks(self) -> Iterator[EdgeChunk]:
        """Yield all edges in any order."""

    def num_nodes(self, used: int, num_edges: int) -> int:
        """Return the number of nodes, given the largest id plus one."""

    def labels(self) -> Iterator[Labels] | None:
        """Yield the ids that the nodes had before, or return None."""

    def close(self) -> None:
        """Release files and memory."""


Origin: TypeAlias = Data | Path | Iterable[Tensor]
"""A graph in memory, the path of one, or blocks of ``edge_index``."""


def open_source(source: Origin, settings: Settings) -> Source:
    """Find out how to read a source.

    Raises:
        ValueError: If the format is unknown, or the file is broken or ambiguous.
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If the format needs an extra that is not installed.
    """
    if isinstance(source, Data):
        return GraphSource(check_graph(copy(source), "the graph"))
    if not isinstance(source, Path):
        return BlockSource(source, settings)
    if source.suffix.lower() == PARQUET:
        return _table(source, settings)
    suffix = graph_suffix(source).removesuffix(".gz")
    check_readable(source)
    packed = source.name.lower().endswith(".gz")
    if suffix not in TEXT or is_wide(source, packed=packed):
        return GraphSource(read_graph(source, relabel=settings.relabel))
    first = next(text_blocks(source, packed=packed, size=1 << 16), b"")
    size = source.stat().st_size * (10 if packed else 1)
    small = PER_BYTE * size <= settings.memory
    if is_matrix_market(first) or (settings.relabel and small):
        return GraphSource(read_graph(source, relabel=settings.relabel))
    if settings.relabel:
        return _named_table(source, suffix, packed, settings)
    return TextSource(source, suffix, packed=packed, settings=settings)


class GraphSource:
    """Edges of a graph in memory."""

    def __init__(self, data: Data) -> None:
        check_node_labels(data.get("node_label"), int(data.num_nodes or 0))
        self._data = data
        self.is_weighted = data.get("edge_weight") is not None

    def chunks(self) -> Iterator[EdgeChunk]:
        """Yield slices of the edges."""
        edge_index, weight = self._data.edge_index, self._data.get("edge_weight")
        for start in range(0, edge_index.size(1), SLICE):
            part = slice(start, start + SLICE)
            row, col = edge_index[:, part].long().cpu().numpy()
            some = None
            if weight is not None:
                some = weight[part].detach().float().cpu().numpy()
            yield EdgeChunk(row, col, some)

    def num_nodes(self, used: int, num_edges: int) -> int:
        """Return the number of nodes of the graph."""
        return int(self._data.num_nodes or 0)

    def labels(self) -> Iterator[Labels] | None:
        """Return the labels of the nodes at once, if there are any."""
        found = self._data.get("node_label")
        return None if found is None else iter([found])

    def close(self) -> None:
        """Do nothing; the graph belongs to the caller."""


class BlockSource:
    """Edges of an iterable of blocks of ``edge_index``."""

    is_weighted = False

    def __init__(self, blocks: Iterable[Tensor], settings: Settings) -> None:
        if settings.relabel:
            raise ValueError(
                "relabel=True needs a graph or a file (got blocks); number the nodes "
                "of the blocks from 0"
            )
        self._blocks, self._report = blocks, settings.report

    def chunks(self) -> Iterator[EdgeChunk]:
        """Yield slices of the blocks."""
        done = 0
        for number, block in enumerate(self._blocks):
            if not isinstance(block, Tensor):
                raise TypeError(
                    "blocks must be tensors 'edge_index' of shape [2, n] (got "
                    f"{type(block).__name__} as block {number})"
                )
            try:
                check_edge_index(block)
            except (TypeError, ValueError) as error:
                raise ValueError(f"block {number}: {error}") from None
            for part in block.split(SLICE, dim=1):
                if part.size(1):
                    row, col = part.long().cpu().numpy()
                    yield EdgeChunk(row, col, None)
            done += block.size(1)
            if self._report is not None:
                self._report("sorting", done, done)

    def num_nodes(self, used: int, num_edges: int) -> int:
        """Return the largest id plus one."""
        return check_largest(used, num_edges)

    def labels(self) -> Iterator[Labels] | None:
        """Return None, because ids are positions."""
        return None

    def close(self) -> None:
        """Do nothing; the blocks belong to the caller."""


class TextSource:
    """Edges of a text file, read in blocks."""

    def __init__(
        self, path: Path, suffix: str, *, packed: bool, settings: Settings
    ) -> None:
        self._path = path
        self._edges = TextEdges(_blocks(path, packed, settings), suffix, path)
        self.is_weighted = self._edges.is_weighted

    def chunks(self) -> Iterator[EdgeChunk]:
        """Yield the edges in the order of the file."""
        return self._edges.chunks()

    def num_nodes(self, used: int, num_edges: int) -> int:
        """Return the stated number, or the largest id plus one."""
        stated = self._edges.stated_nodes
        return stated if stated > used else _checked(used, num_edges, self._path)

    def labels(self) -> Iterator[Labels] | None:
        """Return None, because ids are positions."""
        return None

    def close(self) -> None:
        """Do nothing; the file is closed after its last block."""


class TableSource:
    """Edges of a table in a database."""

    def __init__(
        self,
        table: EdgeTable,
        where: Path,
        num_nodes: int | None,
        report: Report | None,
    ) -> None:
        self._table, self._where, self._num_nodes = table, where, num_nodes
        self._report = report
        self.is_weighted = table.is_weighted

    def chunks(self) -> Iterator[EdgeChunk]:
        """Yield slices of the table."""
        done, total = 0, self._table.num_edges
        for chunk in self._table.chunks():
            done += chunk.row.size
            if self._report is not None:
                self._report("sorting", done, total)
            least = min(chunk.row.min(), chunk.col.min())
            if least < 0:
                raise ValueError(
                    f"nodes in {self._where} must be non-negative integers (got "
                    f"{least}); use relabel=True (--relabel) for other ids"
                )
            yield chunk

    def num_nodes(self, used: int, num_edges: int) -> int:
        """Return the number of labels, or the largest id plus one."""
        if self._num_nodes is not None:
            return self._num_nodes
        return _checked(used, num_edges, self._where)

    def labels(self) -> Iterator[Labels] | None:
        """Yield the ids that the nodes had before, if they were numbered anew."""
        return None if self._num_nodes is None else self._table.labels()

    def close(self) -> None:
        """Close the database."""
        self._table.close()


def _table(path: Path, settings: Settings) -> TableSource:
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    table = EdgeTable(settings.scratch, settings.memory, path)
    table.read_parquet(path, relabel=settings.relabel)
    num_nodes = table.number() if settings.relabel else None
    return TableSource(table, path, num_nodes, settings.report)


def _named_table(
    path: Path, suffix: str, packed: bool, settings: Settings
) -> TableSource:
    table = EdgeTable(settings.scratch, settings.memory // 2, path)
    read_into(table, _blocks(path, packed, settings), suffix, path)
    return TableSource(table, path, table.number(), settings.report)


def _blocks(path: Path, packed: bool, settings: Settings) -> Iterator[bytes]:
    """Yield blocks of text; the numbers in them take ten times its memory."""
    total, report = path.stat().st_size, settings.report
    size = int(np.clip(settings.memory // 40, 1 << 16, 1 << 24))

    def at(place: int) -> None:
        if report is not None:
            report("reading", place, total)

    return text_blocks(path, packed=packed, size=size, at=at)


def _checked(used: int, num_edges: int, where: Path) -> int:
    try:
        return check_largest(used, num_edges)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
