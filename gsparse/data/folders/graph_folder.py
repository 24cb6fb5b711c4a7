"""Open a graph folder: an undirected graph on disk."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.file_bytes import check_bytes
from gsparse.data.folders.array_file import HEAD, ArrayReader
from gsparse.data.folders.header import (
    INDICES,
    INDPTR,
    LABELS,
    NAMES,
    WEIGHT,
    Header,
    read_header,
)
from gsparse.data.folders.verify import verify_files
from gsparse.data.node_labels import Labels
from gsparse.edges.row_blocks import RowBlock, rows_between

BLOCK = 1 << 20  # edges read at a time


class EdgeBlock(NamedTuple):
    """Consecutive edges of a graph folder, in ascending order.

    Shapes:
        - **row**, **col:** :math:`(n,)`, int64, ``row <= col``
        - **weight:** :math:`(n,)`, float32, or None if all weights are 1
    """

    row: Tensor
    col: Tensor
    weight: Tensor | None


class GraphFolder:
    """An undirected graph in a folder, read when it is needed.

    Every undirected edge and every self-loop is stored once, as ``row <= col``, in
    compressed rows (CSR): the edges of row ``u`` are at the positions ``indptr[u]`` to
    ``indptr[u + 1]``. Parallel edges have been added up. :func:`open_graph` opens it,
    :func:`convert_graph` makes one.

    Args:
        path: Path of the folder.
        header: Its header.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self.header = path, header

    @property
    def num_nodes(self) -> int:
        """Number of nodes :math:`N`."""
        return self.header.num_nodes

    @property
    def num_pairs(self) -> int:
        """Number of undirected edges :math:`M`, without self-loops."""
        return self.header.num_pairs

    @property
    def num_loops(self) -> int:
        """Number of nodes with a self-loop."""
        return self.header.num_loops

    @property
    def num_stored(self) -> int:
        """Number of stored entries, undirected edges and self-loops."""
        return self.header.num_stored

    @property
    def is_weighted(self) -> bool:
        """Whether the edges have weights."""
        return self.header.is_weighted

    @cached_property
    def indptr(self) -> NDArray[np.int64]:
        """Position of the first edge of every row, and the number of all edges.

        Shapes:
            - **output:** :math:`(N + 1,)`, memory-mapped
        """
        return self._map(INDPTR)

    @cached_property
    def indices(self) -> NDArray[Any]:
        """Larger end of every edge, int32 if all ids fit.

        Shapes:
            - **output:** :math:`(M + L,)` with :math:`L` self-loops, memory-mapped
        """
        return self._map(INDICES)

    @cached_property
    def weight(self) -> NDArray[np.float32] | None:
        """Weight of every edge, or None if all are 1.

        Shapes:
            - **output:** :math:`(M + L,)`, memory-mapped
        """
        return self._map(WEIGHT) if self.is_weighted else None

    @cached_property
    def node_label(self) -> Labels | None:
        """Ids of the nodes before they were numbered, if they were."""
        if LABELS in self.header.files:
            return torch.from_numpy(np.array(self._map(LABELS)))
        if NAMES in self.header.files:
            text = (self.path / NAMES).read_text(encoding="utf-8")
            return text.split("\n")[:-1]
        return None

    def blocks(self, size: int = BLOCK) -> Iterator[EdgeBlock]:
        """Yield the edges in blocks of at most ``size``, in ascending order.

        Needs memory for one block; pages of the two large files are not mapped.
        """
        for first, ptr, indices, weights in self.rows(size):
            rows = torch.arange(first, first + ptr.size - 1)
            row = rows.repeat_interleave(torch.from_numpy(np.diff(ptr)))
            weight = torch.from_numpy(weights) if self.is_weighted else None
            yield EdgeBlock(row, torch.from_numpy(indices).long(), weight)

    def rows(self, size: int = BLOCK) -> Iterator[RowBlock]:
        """Yield the edges in blocks of at most ``size`` as compressed rows."""
        if size < 1:
            raise ValueError(f"'size' must be positive (got {size})")
        types = self.header.arrays()
        weight_type = types.get(WEIGHT, types[INDICES])[0]
        weight_path = self.path / (WEIGHT if self.is_weighted else INDICES)
        with (
            ArrayReader(self.path / INDICES, types[INDICES][0]) as indices,
            ArrayReader(weight_path, weight_type) as weights,
        ):
            weight = np.empty(0, np.float32)
            for start in range(0, self.num_stored, size):
                stop = min(start + size, self.num_stored)
                if self.is_weighted:
                    weight = weights.read(start, stop)
                first, ptr = rows_between(self.indptr, start, stop)
                yield RowBlock(first, ptr, indices.read(start, stop), weight)

    def data(self) -> Data:
        """Read the whole graph into memory, with both directions of every edge.

        All transforms accept the result. It takes 32 bytes per undirected edge, 40 with
        weights.

        Raises:
            ValueError: If the machine has less memory.
        """
        per_edge = 40 if self.is_weighted else 32
        check_bytes(per_edge * self.num_stored, self.path)
        size = 2 * self.num_pairs + self.num_loops
        edge_index = torch.empty(2, size, dtype=torch.long)
        edge_weight = torch.empty(size) if self.is_weighted else None
        ahead, back = 0, self.num_stored  # entries with row <= col, then their reverses
        for block in self.blocks():
            row, col, weight = block
            pair = row != col
            to = slice(ahead, ahead := ahead + row.numel())
            again = slice(back, back := back + int(pair.sum()))
            edge_index[0, to], edge_index[1, to] = row, col
            edge_index[0, again], edge_index[1, again] = col[pair], row[pair]
            if edge_weight is not None and weight is not None:
                edge_weight[to], edge_weight[again] = weight, weight[pair]
        data = Data(edge_index=edge_index, num_nodes=self.num_nodes)
        if edge_weight is not None:
            data.edge_weight = edge_weight
        if self.node_label is not None:
            data.node_label = self.node_label
        return data

    def __repr__(self) -> str:
        weighted = ", weighted" if self.is_weighted else ""
        return (
            f"GraphFolder({str(self.path)!r}, num_nodes={self.num_nodes}, "
            f"num_pairs={self.num_pairs}, num_loops={self.num_loops}{weighted})"
        )

    def _map(self, name: str) -> NDArray[Any]:
        dtype, length = self.header.arrays()[name]
        if length == 0:  # an empty file cannot be mapped
            return np.empty(0, dtype)
        return np.memmap(self.path / name, dtype, mode="r", offset=HEAD, shape=length)


def open_graph(folder: str | Path, *, verify: bool = False) -> GraphFolder:
    """Open a graph folder, whatever its size.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from gsparse.data import convert_graph, karate, open_graph
        >>> with TemporaryDirectory() as place:
        ...     _ = convert_graph(karate(), f"{place}/karate")
        ...     folder = open_graph(f"{place}/karate")
        ...     folder.num_pairs, folder.data().is_undirected()
        (78, True)

    Opening reads the header and compares the lengths of the files. Use
    :func:`read_graph` for a graph in a single file.

    Args:
        folder: Path of a folder that :func:`convert_graph`, ``gsparse convert`` or
            ``gsparse sparsify`` has written.
        verify: Whether to read all files once and compare their checksums.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is not a complete graph folder, has a newer version, or is
            damaged.
    """
    path = Path(folder)
    header = read_header(path)
    if verify:
        verify_files(path, header)
    return GraphFolder(path, header)
