"""Write a graph folder from sorted blocks of edges."""

import os
import shutil
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gsparse.data.folders.array_file import ArrayWriter, FileFacts, file_hash
from gsparse.data.folders.header import (
    INDICES,
    INDPTR,
    LABELS,
    NAME,
    NAMES,
    WEIGHT,
    Header,
    index_dtype,
)
from gsparse.data.node_labels import Labels

ROWS = 1 << 20  # rows whose ends are computed at a time


class FolderWriter:
    """Write the files of a graph folder.

    Args:
        folder: An existing folder.
        num_nodes: Number of nodes.
        weighted: Whether the edges have weights. ``None`` writes them only if one of
            them is not 1.
    """

    def __init__(self, folder: Path, num_nodes: int, weighted: bool | None) -> None:
        self._folder, self._num_nodes, self._weighted = folder, num_nodes, weighted
        self._indptr = ArrayWriter(folder / INDPTR, "<i8")
        self._indices = ArrayWriter(folder / INDICES, index_dtype(num_nodes))
        self._weight = ArrayWriter(folder / WEIGHT, "<f4")
        self._indptr.write(np.zeros(1, dtype=np.int64))
        self._num_loops, self._all_one = 0, True

    def write(
        self,
        row: NDArray[Any],
        col: NDArray[Any],
        weight: NDArray[Any] | None,
    ) -> None:
        """Append edges, which must follow the earlier ones in ascending order.

        Shapes:
            - **row**, **col**, **weight:** :math:`(n,)`, ``row <= col``

        Raises:
            ValueError: If a weight is infinite in float32, as sums of copies may be.
        """
        if not row.size:
            return
        single = None if weight is None else _single(row, col, weight)
        self._close_rows(int(row[-1]), row)
        self._indices.write(col)
        self._num_loops += int((row == col).sum())
        if self._weighted is False:
            return
        if single is None:
            single = np.ones(row.size, dtype=np.float32)
        self._all_one = self._all_one and bool((single == 1).all())
        self._weight.write(single)

    def finish(
        self, made: Mapping[str, Any], labels: Mapping[str, FileFacts] | None = None
    ) -> None:
        """Write the header, which makes the folder complete.

        Args:
            made: Notes on how the folder was made.
            labels: Result of :func:`write_labels`, if the nodes have labels.
        """
        self._close_rows(self._num_nodes, np.empty(0, dtype=np.int64))
        files = {INDPTR: self._indptr.finish(), INDICES: self._indices.finish()}
        facts = self._weight.finish()
        if self._weighted or (self._weighted is None and not self._all_one):
            files[WEIGHT] = facts
        else:
            (self._folder / WEIGHT).unlink()
        if labels is not None:
            files |= labels
        pairs = self._indices.length - self._num_loops
        header = Header(self._num_nodes, pairs, self._num_loops, made, files)
        (self._folder / NAME).write_text(header.to_text(), encoding="utf-8")
        _sync(self._folder / NAME)

    def close(self) -> None:
        """Close the files, complete or not."""
        for writer in (self._indptr, self._indices, self._weight):
            writer.close()

    def _close_rows(self, row: int, rows: NDArray[Any]) -> None:
        """Write where the rows before ``row`` end; ``rows`` are those of new edges."""
        before = self._indices.length
        first = self._indptr.length - 1  # the first row whose end is not written
        for start in range(first, row, ROWS):
            some = np.arange(start, min(start + ROWS, row))
            self._indptr.write(before + np.searchsorted(rows, some, side="right"))


def _single(
    row: NDArray[Any], col: NDArray[Any], weight: NDArray[Any]
) -> NDArray[np.float32]:
    """Round weights to float32, and refuse those that become infinite."""
    with np.errstate(over="ignore"):
        out = weight.astype(np.float32, copy=False)
    bad = ~np.isfinite(out)
    if bad.any():
        raise ValueError(
            f"the weight of edge ({row[bad][0]}, {col[bad][0]}) must be at most "
            f"{np.finfo(np.float32).max:.3g} (got {weight[bad][0]:.3g}); scale the "
            "weights down"
        )
    return out


def write_labels(folder: Path, labels: Iterable[Labels]) -> dict[str, FileFacts]:
    """Write integers as an array, and names as text with one name per line.

    Args:
        folder: Folder of the graph.
        labels: Blocks of the labels of all nodes.
    """
    blocks = iter(labels)
    first = next(blocks)
    if isinstance(first, Tensor):
        writer = ArrayWriter(folder / LABELS, "<i8")
        for block in chain([first], blocks):
            writer.write(np.asarray(block))
        return {LABELS: writer.finish()}
    path = folder / NAMES
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for block in chain([first], blocks):
            file.writelines(f"{label}\n" for label in block)
    _sync(path)
    return {NAMES: FileFacts(path.stat().st_size, file_hash(path, 0))}


def copy_labels(
    source: Path, target: Path, files: Mapping[str, FileFacts]
) -> dict[str, FileFacts]:
    """Copy the labels of a graph folder, if it has any, and return their facts."""
    found = {name: facts for name, facts in files.items() if name in (LABELS, NAMES)}
    for name in found:
        shutil.copyfile(source / name, target / name)
        _sync(target / name)
    return found


def _sync(path: Path) -> None:
    """Make the content of a file durable."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
