"""Read edge lists in blocks, by the rules of :func:`gsparse.data.read_graph`."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsparse.data.edge_lists import (
    HEAD,
    Layout,
    Table,
    check_no_time,
    find_layout,
    read_numbers,
    read_texts,
    stated_nodes,
)
from gsparse.data.node_labels import parse_ids


class EdgeChunk(NamedTuple):
    """Some edges of a file.

    Shapes:
        - **row**, **col**, **weight:** :math:`(n,)`
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    weight: NDArray[np.float32] | None


class TextEdges:
    """Edges of a text file whose nodes are numbered.

    Args:
        blocks: Blocks of whole lines.
        suffix: ``.txt``, ``.csv`` or ``.tsv``.
        where: Name of the file for error messages.
    """

    def __init__(self, blocks: Iterable[bytes], suffix: str, where: object) -> None:
        self._blocks, self._suffix, self._where = iter(blocks), suffix, where
        self.stated_nodes = 0
        """Number of nodes that a comment states, known after all blocks are read."""
        self._layout: Layout | None = None
        self._ahead: bytes | None = None
        self._find_layout()

    @property
    def is_weighted(self) -> bool:
        """Whether the file has weights."""
        return self._layout is not None and self._layout.columns.weight is not None

    def chunks(self) -> Iterator[EdgeChunk]:
        """Yield the edges in the order of the file.

        Raises:
            ValueError: If a line is not an edge, or the third column may be a time.
        """
        if self._layout is None:
            return
        delimiter, columns, fields, known = self._layout
        times, num_edges, head = _WeightOrTime(), 0, b""
        if columns.header and self._ahead is not None:
            head = self._ahead[: self._ahead.index(b"\n") + 1]
        for number, block in enumerate(self._bodies()):
            body = head + block if number else block  # every block begins with names
            table = read_numbers(body, delimiter, columns)
            if table is None:
                table = read_texts(body, delimiter, columns, self._where, relabel=False)
            num_edges += table.ids.size(1)
            if table.ids.numel():
                times.add(table)
                yield _chunk(table, self._where)
        if not (known or num_edges):
            parse_ids(fields[:2], self._where)  # refuse a single line of text
        if not columns.header and columns.weight is not None:
            check_no_time(fields[2], times.summary(), self._where)

    def _find_layout(self) -> None:
        for block in self._blocks:
            self.stated_nodes = max(self.stated_nodes, stated_nodes(block))
            found = HEAD.match(block)
            body = block[found.end() if found else 0 :]
            if body:
                self._layout = find_layout(
                    body, self._suffix, self._where, relabel=False
                )
                self._ahead = body
                return

    def _bodies(self) -> Iterator[bytes]:
        if self._ahead is not None:
            body, self._ahead = self._ahead, None
            yield body
        for block in self._blocks:
            self.stated_nodes = max(self.stated_nodes, stated_nodes(block))
            yield block


class _WeightOrTime:
    """Enough of a column of weights to decide whether it may be a time."""

    def __init__(self) -> None:
        self._decides, self._rises, self._count = True, True, 0
        self._first = self._last = self._least = self._most = np.nan

    def add(self, table: Table) -> None:
        weight = table.weight
        if weight is None or not self._decides:
            return
        if not np.isfinite(weight).all() or (weight != np.floor(weight)).any():
            self._decides = False
            return
        starts = self._count == 0
        self._count += weight.size
        self._rises = (
            self._rises
            and bool((np.diff(weight) >= 0).all())
            and (starts or bool(weight[0] >= self._last))
        )
        self._first = weight[0] if starts else self._first
        self._last = weight[-1]
        self._least = np.fmin(self._least, weight.min())
        self._most = np.fmax(self._most, weight.max())

    def summary(self) -> NDArray[np.float64]:
        """Return a short column that is a time exactly if the whole column is one."""
        if not self._decides or self._count == 0:
            return np.empty(0)
        if self._count == 1:
            return np.array([self._first])
        ends = [self._first, self._last] if self._rises else [self._most, self._least]
        return np.array(ends)


def _chunk(table: Table, where: object) -> EdgeChunk:
    row, col = table.ids.numpy()
    if min(row.min(), col.min()) < 0:
        parse_ids([str(min(row.min(), col.min()))], where)  # refuse the negative id
    weight = None if table.weight is None else table.weight.astype(np.float32)
    return EdgeChunk(row, col, weight)
