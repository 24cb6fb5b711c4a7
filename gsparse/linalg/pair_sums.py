"""One number per pair of a graph, in memory or in a file."""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class PairSums(Protocol):
    """Protocol of sums over columns, one per pair, at first 0."""

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the sums of consecutive pairs."""

    def add(self, start: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add values to consecutive pairs, and return the new sums."""


class MemorySums:
    """Sums in memory.

    Args:
        num_pairs: Number of pairs.
    """

    def __init__(self, num_pairs: int) -> None:
        self._sums = np.zeros(num_pairs)

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the sums of consecutive pairs."""
        return self._sums[start:stop]

    def add(self, start: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add values to consecutive pairs, and return the new sums."""
        part = self._sums[start : start + values.size]
        part += values
        return part


class FileSums:
    """Sums in a file, which are read and not mapped.

    Args:
        path: Path of the file, which is made anew.
        num_pairs: Number of pairs; the file takes 8 bytes for each.
    """

    def __init__(self, path: Path, num_pairs: int) -> None:
        self._path = path
        with path.open("wb") as file:
            file.truncate(8 * num_pairs)

    def read(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the sums of consecutive pairs."""
        found = np.fromfile(self._path, "<f8", stop - start, offset=8 * start)
        if found.size != stop - start:
            raise ValueError(f"{self._path} is truncated (it ended while it was read)")
        return found

    def add(self, start: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Add values to consecutive pairs, and return the new sums."""
        sums = self.read(start, start + values.size) + values
        with self._path.open("r+b", buffering=0) as file:
            file.seek(8 * start)
            sums.astype("<f8", copy=False).tofile(file)
        return sums
