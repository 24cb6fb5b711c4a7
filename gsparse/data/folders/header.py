"""Header of a graph folder: sizes, types and checksums."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gsparse.data.folders.array_file import HEAD, FileFacts

FORMAT = "gsparse graph folder"
VERSION = 1
NAME = "header.json"
INDPTR, INDICES, WEIGHT = "indptr.npy", "indices.npy", "weight.npy"
LABELS, NAMES = "node_label.npy", "node_label.txt"


@dataclass(frozen=True)
class Header:
    """Facts of a graph folder.

    Args:
        num_nodes: Number of nodes :math:`N`.
        num_pairs: Number of undirected edges without self-loops :math:`M`.
        num_loops: Number of nodes with a self-loop.
        made: Notes on how the folder was made.
        files: Length and checksum of each file.
    """

    num_nodes: int
    num_pairs: int
    num_loops: int
    made: Mapping[str, Any]
    files: Mapping[str, FileFacts]

    @property
    def num_stored(self) -> int:
        """Number of stored entries, undirected edges and self-loops."""
        return self.num_pairs + self.num_loops

    @property
    def is_weighted(self) -> bool:
        """Whether the edges have weights."""
        return WEIGHT in self.files

    def arrays(self) -> dict[str, tuple[np.dtype[Any], int]]:
        """Return the type and the length of every array of the folder."""
        of = {
            INDPTR: (np.dtype("<i8"), self.num_nodes + 1),
            INDICES: (index_dtype(self.num_nodes), self.num_stored),
            WEIGHT: (np.dtype("<f4"), self.num_stored),
            LABELS: (np.dtype("<i8"), self.num_nodes),
        }
        return {name: it for name, it in of.items() if name in self.files}

    def to_text(self) -> str:
        """Return the header as JSON that includes its own checksum."""
        fields = self._fields()
        return json.dumps(fields | {"checksum": checksum(fields)}, indent=2) + "\n"

    @property
    def checksum(self) -> str:
        """SHA-256 of all fields, equal for folders of equal content."""
        return checksum(self._fields())

    def _fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"format": FORMAT, "version": VERSION, **asdict(self)}
        fields["files"] = {name: it._asdict() for name, it in self.files.items()}
        return fields


def check_fields(fields: dict[str, Any], path: Path, known: int, again: str) -> None:
    """Refuse a header of a newer version or with another checksum.

    Args:
        fields: Fields of the header; loses its checksum.
        path: Path of the header.
        known: Newest version that can be read.
        again: What to do about a damaged header.

    Raises:
        ValueError: If the version is newer, or the checksum differs.
    """
    version = fields.get("version")
    if type(version) is int and version > known:
        raise ValueError(
            f"{path.parent} has version {version}, but this gsparse reads versions up "
            f"to {known}; update gsparse"
        )
    if fields.pop("checksum", None) != checksum(fields):
        raise ValueError(f"{path} is damaged (its checksum differs); {again}")


def index_dtype(num_nodes: int) -> np.dtype[Any]:
    """Return the type of node ids: int32 if all ids fit, otherwise int64."""
    return np.dtype("<i4" if num_nodes <= 2**31 else "<i8")


def read_header(folder: Path) -> Header:
    """Read the header of a graph folder and compare the lengths of its files.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is not a complete graph folder of a known version.
    """
    path = _find(folder)
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); {_AGAIN}") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ValueError(f"{path} must be the header of a {FORMAT} (it is not)")
    check_fields(fields, path, VERSION, _AGAIN)
    files = {name: FileFacts(**it) for name, it in fields["files"].items()}
    header = Header(
        **{key: fields[key] for key in ("num_nodes", "num_pairs", "num_loops", "made")},
        files=files,
    )
    for name, (dtype, length) in header.arrays().items():
        if files[name].num_bytes != HEAD + length * dtype.itemsize:
            raise ValueError(f"{folder} must have the sizes that its header states")
    for name, facts in files.items():
        check_length(folder / name, facts.num_bytes)
    return header


_AGAIN = "convert the graph again"


def _find(folder: Path) -> Path:
    if not folder.exists():
        raise FileNotFoundError(f"no such folder: {folder}")
    if not folder.is_dir():
        raise ValueError(
            f"{folder} must be a graph folder (got a file); "
            "`gsparse convert` makes a folder from a file"
        )
    path = folder / NAME
    if not path.exists():
        half = (folder / INDICES).exists() or folder.name.endswith(".part")
        why = "it was not written to its end" if half else f"it has no {NAME}"
        raise ValueError(f"{folder} must be a graph folder ({why})")
    return path


def check_length(path: Path, expected: int, again: str = _AGAIN) -> None:
    """Refuse a file that is missing or has another length.

    Args:
        path: Path of the file.
        expected: Its length in bytes.
        again: What to do.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; {again}")
    length = path.stat().st_size
    if length != expected:
        how = "truncated" if length < expected else "too long"
        raise ValueError(
            f"{path} is {how} (got {length:,} bytes, expected {expected:,}); {again}"
        )


def checksum(fields: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the fields of a header."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
