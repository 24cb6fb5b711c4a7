"""Compare the files of a graph folder with their checksums."""

from pathlib import Path

from gsparse.data.folders.array_file import HEAD, file_hash, npy_head
from gsparse.data.folders.header import Header


def verify_files(folder: Path, header: Header) -> None:
    """Read all files of a graph folder in blocks and compare their checksums.

    Raises:
        ValueError: If a file differs from the one that was written.
    """
    arrays = header.arrays()
    for name, facts in header.files.items():
        path = folder / name
        head = npy_head(*arrays[name]) if name in arrays else b""
        with path.open("rb") as file:
            same_head = file.read(len(head)) == head
        skip = HEAD if name in arrays else 0
        if not same_head or file_hash(path, skip) != facts.sha256:
            raise ValueError(
                f"{path} is damaged (its checksum differs); convert the graph again"
            )
