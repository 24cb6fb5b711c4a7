"""Raw files of a data set: finding them, and making sure that they are the right ones.

Some PyG classes unpickle what they read, and a pickle runs code. Such a class is only
let loose on files whose SHA-256 stands in the card, or that it has downloaded itself.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from gsparse.data.cards import Card, Variant
from gsparse.data.places import add_notes, download_root, raw_roots, read_notes

_HASHES, _DOWNLOADS = "hashes.json", "downloads.json"


def find_raw(card: Card, root: str | Path | None = None) -> Path | None:
    """First folder that holds all raw files of the card."""
    for base in raw_roots(root):
        folder = base / card.raw
        if all((folder / name).is_file() for name in card.files):
            return folder
    return None


def where_to_put(card: Card, root: str | Path | None = None) -> str:
    """Says which files are missing where."""
    looked = ", ".join(str(base / card.raw) for base in raw_roots(root))
    return (
        f"looked in {looked}; put {', '.join(card.files)} into "
        f"{download_root(root) / card.raw} (from {card.source})"
    )


def sha256_of(folder: Path, files: tuple[str, ...]) -> dict[str, str]:
    """SHA-256 of every file; one that did not change is not read again.

    Unchanged is a file of the same path, size and time of change to the nanosecond.
    """
    notes, new, hashes = read_notes(_HASHES), {}, {}
    for name in files:
        path = (folder / name).resolve()
        stat = path.stat()
        key = f"{path}|{stat.st_size}|{stat.st_mtime_ns}"
        if key not in notes:
            with path.open("rb") as file:
                digest = hashlib.sha256()
                while block := file.read(1 << 20):
                    digest.update(block)
            new[key] = digest.hexdigest()
        hashes[name] = new.get(key) or notes[key]
    if new:
        add_notes(_HASHES, new)
    return hashes


def identify(
    card: Card, hashes: Mapping[str, str], *, just_downloaded: bool = False
) -> Variant:
    """Which variant of the card the raw files are.

    Args:
        card: Card of the data set.
        hashes: SHA-256 of every raw file.
        just_downloaded: Whether the PyG class fetched them a moment ago.

    Raises:
        ValueError: Files that the card does not know, where it has to know them.
    """
    for variant in card.variants:
        if dict(variant.sha256) == dict(hashes):
            return variant
    published = card.variants[0]
    wrong = [name for name, known in published.sha256.items() if known != hashes[name]]
    unknown_to_all = not any(published.sha256[name] for name in wrong)
    trusted = not card.unpickles or just_downloaded or _was_downloaded(card, hashes)
    if unknown_to_all and trusted:
        if just_downloaded:
            add_notes(_DOWNLOADS, {card.name: dict(hashes)})
        return published
    why = ", and its reader would unpickle it" if card.unpickles else ""
    raise ValueError(
        f"raw file {wrong[0]!r} of {card.name} must have a SHA-256 that stands in the "
        f"card (got {hashes[wrong[0]]}){why}; get it again from {card.source}"
    )


def _was_downloaded(card: Card, hashes: Mapping[str, str]) -> bool:
    return read_notes(_DOWNLOADS).get(card.name) == dict(hashes)
