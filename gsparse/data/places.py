"""Where raw files are looked for and where processed ones are kept."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from gsparse.data.cards import cards_folder


def user_cache() -> Path:
    """``$GSPARSE_CACHE``, or ``gsparse`` in the cache folder of the user."""
    if os.environ.get("GSPARSE_CACHE"):
        return Path(os.environ["GSPARSE_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "gsparse"


def download_root(root: str | Path | None = None) -> Path:
    """``root``, ``datasets/raw`` of the checkout, or ``raw`` in the user cache."""
    if root is not None:
        return Path(root).expanduser()
    folder = cards_folder()
    return (folder if folder.name == "datasets" else user_cache()) / "raw"


def raw_roots(root: str | Path | None = None) -> list[Path]:
    """Data roots in the order in which they are looked at."""
    roots = [Path(root).expanduser()] if root is not None else []
    if os.environ.get("GSPARSE_DATA"):
        roots.append(Path(os.environ["GSPARSE_DATA"]).expanduser())
    return [*roots, download_root()]


def is_offline() -> bool:
    """Whether ``GSPARSE_OFFLINE`` forbids downloads."""
    return os.environ.get("GSPARSE_OFFLINE", "").lower() not in ("", "0", "false", "no")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place if all goes well.

    Whoever reads ``path`` meanwhile sees the old file or the new one, never half of
    one; if anything is raised, ``path`` stays as it was.
    """
    temporary = path.with_name(f".{path.stem}.{uuid4().hex}{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_notes(name: str) -> dict[str, Any]:
    """A small JSON table in the user cache; empty where there is none."""
    try:
        notes = json.loads((user_cache() / name).read_text())
    except (OSError, ValueError):
        return {}
    return notes if isinstance(notes, dict) else {}


def add_notes(name: str, entries: dict[str, Any]) -> None:
    """Adds to a table; silently nothing where the cache cannot be written."""
    path = user_cache() / name
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({**read_notes(name), **entries}))
