"""Arrays in ``.npy`` files that are written and read in blocks."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

HEAD = 128  # bytes before the first value, the same in all of our files
READ = 1 << 22  # bytes read at a time to compute a checksum


class FileFacts(NamedTuple):
    """Length of a file in bytes, and the SHA-256 of its values."""

    num_bytes: int
    sha256: str


def npy_head(dtype: DTypeLike, length: int) -> bytes:
    """Return the first 128 bytes of the ``.npy`` file of a vector."""
    kind = np.dtype(dtype).newbyteorder("<").str
    text = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': ({length},), }}"
    body = text.encode().ljust(HEAD - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


class ArrayWriter:
    """Write a vector block by block to a ``.npy`` file.

    Args:
        path: Path of the file.
        dtype: Type of the values.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self.path, self.length = path, 0
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._hash = hashlib.sha256()
        self._file = path.open("wb")
        self._file.write(npy_head(self._dtype, 0))

    def write(self, values: NDArray[Any]) -> None:
        """Append values.

        Shapes:
            - **values:** :math:`(n,)`
        """
        content = np.ascontiguousarray(values, self._dtype).data
        self._file.write(content)
        self._hash.update(content)
        self.length += len(values)

    def finish(self) -> FileFacts:
        """Write the length, make the file durable, and close it."""
        self._file.seek(0)
        self._file.write(npy_head(self._dtype, self.length))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        num_bytes = HEAD + self.length * self._dtype.itemsize
        return FileFacts(num_bytes, self._hash.hexdigest())

    def close(self) -> None:
        """Close the file, complete or not."""
        self._file.close()


class ArrayReader:
    """Read slices of a vector in a ``.npy`` file of :class:`ArrayWriter`.

    Slices are read and not mapped, so that pages of the file do not count as memory of
    the process.

    Args:
        path: Path of the file.
        dtype: Type of the values.
    """

    def __init__(self, path: Path, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._path = path
        self._file: BinaryIO = path.open("rb", buffering=0)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return the values from ``start`` to ``stop``."""
        self._file.seek(HEAD + start * self._dtype.itemsize)
        values = np.fromfile(self._file, self._dtype, stop - start)
        if len(values) != stop - start:
            raise ValueError(f"{self._path} is truncated (it ended while it was read)")
        return values

    def __enter__(self) -> "ArrayReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def file_hash(path: Path, skip: int) -> str:
    """Return the SHA-256 of a file without its first ``skip`` bytes."""
    total = hashlib.sha256()
    for part in _parts(path, skip):
        total.update(part)
    return total.hexdigest()


def _parts(path: Path, skip: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(skip)
        while part := file.read(READ):
            yield part
