"""Sort more edges than fit into memory.

Edges are collected until the memory is full, sorted, and written to a file, a *run*. At
the end, the key range is divided into parts so that the edges of all runs within a part
fit into memory, and the parts are read in ascending order.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Weights = NDArray[np.float32]

_SHIFT, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
SAMPLES = 64  # samples of a run per part, from which the parts are chosen


class Entries(NamedTuple):
    """Sorted edges, parallel copies by ascending weight.

    Shapes:
        - **key**, **weight:** :math:`(n,)`
    """

    key: Keys
    weight: Weights | None


def pack(row: NDArray[Any], col: NDArray[Any]) -> Keys:
    """Pack two ids below 2**32 into one number with the same order."""
    return (row.astype(np.uint64) << _SHIFT) | col.astype(np.uint64)


def unpack(key: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the two ids of every number that :func:`pack` returned."""
    return (key >> _SHIFT).astype(np.int64), (key & _LOW).astype(np.int64)


class SortedRuns:
    """Sorted runs of edges in files.

    Args:
        folder: Existing folder for the files.
        name: Start of the names of the files.
        size: Number of edges of a run.
        weighted: Whether the edges have weights.
        lengths: Numbers of edges of runs that exist.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        size: int,
        weighted: bool,
        lengths: Sequence[int] = (),
    ) -> None:
        self._folder, self._name = folder, name
        self._size, self._weighted = size, weighted
        self._buffer: list[Entries] = []
        self._held = 0
        self.lengths = list(lengths)

    def add(self, key: Keys, weight: Weights | None) -> None:
        """Add edges in any order.

        Shapes:
            - **key**, **weight:** :math:`(n,)`
        """
        for start in range(0, len(key), self._size):
            part = slice(start, start + self._size)
            self._buffer.append(
                Entries(key[part], None if weight is None else weight[part])
            )
            self._held += len(self._buffer[-1].key)
            if self._held >= self._size:
                self.flush()

    def flush(self) -> None:
        """Write the edges that are in memory to a run."""
        if not self._held:
            return
        entries = _join(self._buffer)
        self._buffer, self._held = [], 0
        number = len(self.lengths)
        entries.key.tofile(self._path(number, "key"))
        if entries.weight is not None:
            entries.weight.tofile(self._path(number, "weight"))
        self.lengths.append(len(entries.key))

    def parts(self, cuts: Keys) -> Iterator[Entries]:
        """Yield the edges between successive cuts in ascending order.

        Args:
            cuts: Keys at which the parts begin, except the first.
        """
        places = [self._places(number, cuts) for number in range(len(self.lengths))]
        for i in range(len(cuts) + 1):
            runs = [self._read(n, at[i], at[i + 1]) for n, at in enumerate(places)]
            yield _join(runs) if runs else _none(self._weighted)

    def samples(self, step: int) -> Keys:
        """Return every ``step``-th key of every run."""
        found = [self._map(number)[::step] for number in range(len(self.lengths))]
        return np.concatenate([np.empty(0, np.uint64), *found])

    def _places(self, number: int, cuts: Keys) -> list[int]:
        inner = np.searchsorted(self._map(number), cuts)
        return [0, *inner.tolist(), self.lengths[number]]

    def _map(self, number: int) -> Keys:
        path = self._path(number, "key")
        return np.memmap(path, np.uint64, mode="r", shape=self.lengths[number])

    def _read(self, number: int, start: int, stop: int) -> Entries:
        key = np.fromfile(
            self._path(number, "key"), np.uint64, stop - start, offset=8 * start
        )
        if not self._weighted:
            return Entries(key, None)
        path = self._path(number, "weight")
        return Entries(
            key, np.fromfile(path, np.float32, stop - start, offset=4 * start)
        )

    def _path(self, number: int, kind: str) -> Path:
        return self._folder / f"{self._name}-{number}.{kind}"


def choose_cuts(all_runs: Sequence[SortedRuns], size: int) -> Keys:
    """Choose the keys at which parts begin that have about ``size`` edges or fewer.

    Copies of one edge are never divided, so a part can be larger if there are many.
    """
    total = sum(sum(runs.lengths) for runs in all_runs)
    if total <= size:
        return np.empty(0, dtype=np.uint64)
    step = max(1, size // SAMPLES // max(len(runs.lengths) for runs in all_runs))
    sample = np.concatenate([runs.samples(step) for runs in all_runs])
    sample.sort()
    return np.unique(sample[:: max(1, size // (2 * step))][1:])


def _join(parts: Sequence[Entries]) -> Entries:
    """Join and sort edges; copies of an edge are sorted by weight."""
    key = np.concatenate([part.key for part in parts])
    weights = [part.weight for part in parts if part.weight is not None]
    if not weights:
        key.sort()
        return Entries(key, None)
    weight = np.concatenate(weights)
    order = np.argsort(key, kind="stable")
    key, weight = key[order], weight[order]
    copy = key[1:] == key[:-1]
    if copy.any():
        among = np.zeros(key.size, dtype=bool)  # edges that have copies
        among[1:] |= copy
        among[:-1] |= copy
        weight[among] = weight[among][np.lexsort((weight[among], key[among]))]
    return Entries(key, weight)


def _none(weighted: bool) -> Entries:
    return Entries(
        np.empty(0, np.uint64), np.empty(0, np.float32) if weighted else None
    )
