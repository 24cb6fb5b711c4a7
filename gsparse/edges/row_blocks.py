"""Graphs that are read in blocks of rows, in memory or on disk."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20  # entries of a block
_NOTHING = np.empty(0, np.float32)


class RowBlock(NamedTuple):
    """Consecutive entries ``row <= col`` of a graph in compressed rows.

    Shapes:
        - **ptr:** :math:`(r + 1,)`, int64; row ``first + i`` has the entries from
          ``ptr[i]`` to ``ptr[i + 1]`` of the block
        - **col:** :math:`(n,)`, ascending in every row
        - **weight:** :math:`(n,)`, or empty if all weights are 1
    """

    first: int
    ptr: NDArray[np.int64]
    col: NDArray[Any]
    weight: NDArray[Any]


class RowBlocks(Protocol):
    """Protocol of graphs that are read in blocks.

    A row may be divided between blocks.
    """

    num_nodes: int
    num_pairs: int

    def passes(self, name: str) -> Iterator[RowBlock]:
        """Begin a new pass over all entries.

        Args:
            name: Name of the pass for the progress.
        """


class PairRows:
    """Blocks of the pairs of a graph in memory.

    Args:
        row: Smaller end of each pair, sorted by ``(row, col)``.
        col: Larger ends.
        weight: Weights, or None if all are 1.
        num_nodes: Number of nodes.
        size: Number of pairs of a block.

    Shapes:
        - **row**, **col**, **weight:** :math:`(M,)`
    """

    def __init__(
        self,
        row: NDArray[np.int64],
        col: NDArray[np.int64],
        weight: NDArray[Any] | None,
        num_nodes: int,
        size: int = BLOCK,
    ) -> None:
        self.num_nodes, self.num_pairs = num_nodes, row.size
        self._size, self._col = size, col
        self._weight = _NOTHING if weight is None else weight
        self._ptr = np.zeros(num_nodes + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=num_nodes), out=self._ptr[1:])

    def passes(self, name: str) -> Iterator[RowBlock]:
        """Begin a new pass over all pairs."""
        for start in range(0, self.num_pairs, self._size):
            stop = min(start + self._size, self.num_pairs)
            part = slice(start, stop)
            yield RowBlock(
                *rows_between(self._ptr, start, stop),
                self._col[part],
                self._weight[part],
            )


def rows_between(
    ptr: NDArray[np.int64], start: int, stop: int
) -> tuple[int, NDArray[np.int64]]:
    """Return the first row of some entries, and the places of their rows among them.

    Args:
        ptr: Row pointers of the whole graph.
        start: First entry.
        stop: End of the entries, above ``start``.
    """
    ends = np.array([start, stop - 1])
    first, last = np.searchsorted(ptr, ends, side="right") - 1
    inner = np.clip(ptr[first : last + 2], start, stop) - start
    return int(first), inner
