"""Folders of raw files and of the user cache."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from gsparse.data.cards import cards_folder


def user_cache() -> Path:
    """Return ``$GSPARSE_CACHE``, or ``gsparse`` in the cache folder of the user."""
    if os.environ.get("GSPARSE_CACHE"):
        return Path(os.environ["GSPARSE_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "gsparse"


def download_root(root: str | Path | None = None) -> Path:
    """Return ``root``, ``datasets/raw`` of the checkout, or ``raw`` in the user cache.

    The first one that exists is used.
    """
    if root is not None:
        return Path(root).expanduser()
    folder = cards_folder()
    return (folder if folder.name == "datasets" else user_cache()) / "raw"


def raw_roots(root: str | Path | None = None) -> list[Path]:
    """Return the data roots in the order in which they are searched."""
    roots = [Path(root).expanduser()] if root is not None else []
    if os.environ.get("GSPARSE_DATA"):
        roots.append(Path(os.environ["GSPARSE_DATA"]).expanduser())
    return [*roots, download_root()]


def is_offline() -> bool:
    """Return whether ``GSPARSE_OFFLINE`` disables downloads."""
    return os.environ.get("GSPARSE_OFFLINE", "").lower() not in ("", "0", "false", "no")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file atomically: yield a temporary path, then rename it to ``path``.

    Other processes see the old file or the complete new one. If the block raises an
    error, ``path`` is unchanged.
    """
    temporary = path.with_name(f".{path.stem}.{uuid4().hex}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_notes(name: str) -> dict[str, Any]:
    """Read a small JSON table from the user cache; empty if there is none."""
    try:
        notes = json.loads((user_cache() / name).read_text())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def add_notes(name: str, entries: dict[str, Any]) -> None:
    """Add entries to a table in the user cache, if the cache is writable."""
    path = user_cache() / name
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({**read_notes(name), **entries}))
