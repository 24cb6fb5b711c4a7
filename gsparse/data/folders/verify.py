"""Compare the files of a graph folder with their checksums."""

from pathlib import Path
from typing import Any

import numpy as np

from gsparse.data.folders.array_file import HEAD, file_hash, npy_head
from gsparse.data.folders.header import Header

_AGAIN = "convert the graph again"


def verify_files(folder: Path, header: Header) -> None:
    """Read all files of a graph folder in blocks and compare their checksums.

    Raises:
        ValueError: If a file differs from the one that was written.
    """
    arrays = header.arrays()
    for name, facts in header.files.items():
        path = folder / name
        if name in arrays:
            verify_array(path, *arrays[name], facts.sha256, _AGAIN)
        elif file_hash(path, 0) != facts.sha256:
            raise _damaged(path, _AGAIN)


def verify_array(
    path: Path, dtype: np.dtype[Any], length: int, sha256: str, again: str
) -> None:
    """Read the file of an array and compare its head and its checksum.

    Args:
        path: Path of the file.
        dtype: Type of the values.
        length: Number of values.
        sha256: Checksum of the values.
        again: What to do.

    Raises:
        ValueError: If the file differs from the one that was written.
    """
    with path.open("rb") as file:
        same_head = file.read(HEAD) == npy_head(dtype, length)
    if not same_head or file_hash(path, HEAD) != sha256:
        raise _damaged(path, again)


def _damaged(path: Path, again: str) -> ValueError:
    return ValueError(f"{path} is damaged (its checksum differs); {again}")
