"""Read text files as UTF-8, decompressed, within the memory of the machine."""

import codecs
import gzip
import os
import zlib
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # must precede UTF-16, whose mark it contains
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def physical_memory() -> int:
    """Return the memory of this machine in bytes, or 2**63 if it is unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 2**63


def check_readable(path: Path) -> None:
    """Refuse a path that is not a regular file.

    Raises:
        FileNotFoundError: If the path does not exist.
        ValueError: If the path is a folder or a device.
    """
    if path.is_dir():
        raise ValueError(f"{path} must be a file (got a folder)")
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path}")
    if not path.is_file():
        raise ValueError(f"{path} must be a file (got a device or a pipe)")


def check_bytes(num_bytes: int, path: Path) -> None:
    """Refuse contents larger than the memory of the machine."""
    if num_bytes > physical_memory():
        raise ValueError(
            f"{path} must fit into memory (its contents take {num_bytes / 1e9:,.1f} "
            f"GB, the machine has {physical_memory() / 1e9:,.1f} GB)"
        )


def read_text(path: Path, *, packed: bool) -> bytes:
    r"""Read a text file as UTF-8 with line ends ``\n`` and without byte-order mark.

    Text without a byte-order mark is not decoded.

    Args:
        path: Path of the file.
        packed: Whether the file is compressed by gzip.

    Raises:
        ValueError: If the file is not compressed as expected, or is not text.
    """
    check_bytes(path.stat().st_size, path)
    content = _unpack(path) if packed else path.read_bytes()
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            try:
                content = content[len(mark) :].decode(encoding).encode()
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} must be {encoding} text ({error})") from None
            break
    if b"\0" in content:
        raise ValueError(
            f"{path} must be text, UTF-8 or with a byte-order mark (got a zero byte)"
        )
    if b"\r" in content:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content


def _unpack(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            blocks, total = [], 0
            while block := file.read(1 << 24):
                blocks.append(block)
                total += len(block)
                check_bytes(4 * total, path)  # leave memory for the parsed numbers
        return b"".join(blocks)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path} is truncated or not compressed by gzip") from error
