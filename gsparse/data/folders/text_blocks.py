"""Read text files in blocks of whole lines."""

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

BLOCK = 1 << 24  # bytes of text read at a time
_LONG = 1 << 26  # no line may be longer
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


def is_wide(path: Path, *, packed: bool) -> bool:
    """Return whether a file is UTF-16 or UTF-32, which are not read in blocks."""
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            return file.read(4).startswith(_WIDE)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False  # reported when the file is read


def text_blocks(
    path: Path,
    *,
    packed: bool,
    size: int = BLOCK,
    at: Callable[[int], None] | None = None,
) -> Iterator[bytes]:
    r"""Yield UTF-8 text in blocks of whole lines that end in ``\n``.

    Args:
        path: Path of the file.
        packed: Whether the file is compressed by gzip.
        size: Bytes to read at a time.
        at: Called with the position in the file after every block.

    Raises:
        ValueError: If the file is not compressed as expected, or is not text.
    """
    rest, first = b"", True
    with path.open("rb") as raw:
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        while True:
            try:
                read = file.read(size)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ValueError(
                    f"{path} is truncated or not compressed by gzip"
                ) from error
            if first:
                read, first = read.removeprefix(codecs.BOM_UTF8), False
            if at is not None:
                at(raw.tell())
            block = rest + read
            if not read:
                break
            if b"\0" in read:
                raise ValueError(
                    f"{path} must be text, UTF-8 or with a byte-order mark "
                    "(got a zero byte)"
                )
            block = _line_feeds(block)  # a Windows line end may become a blank line
            cut = block.rfind(b"\n") + 1
            rest = block[cut:]
            if len(rest) > _LONG:
                raise ValueError(
                    f"{path} must be text with one edge per line (got a line of more "
                    f"than {_LONG >> 20} MiB)"
                )
            if cut:
                yield block[:cut]
    if rest:
        block = _line_feeds(rest)
        yield block if block.endswith(b"\n") else block + b"\n"


def _line_feeds(block: bytes) -> bytes:
    if b"\r" not in block:
        return block
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
