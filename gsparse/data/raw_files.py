"""Find the raw files of a data set and verify their hashes.

Some PyG classes unpickle their raw files, and a pickle can run code. Such a class may
only read files whose SHA-256 is in the card, or files that it has downloaded itself.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from gsparse.data.cards import Card, Variant
from gsparse.data.places import add_notes, download_root, raw_roots, read_notes

_HASHES, _DOWNLOADS = "hashes.json", "downloads.json"


def find_raw(card: Card, root: str | Path | None = None) -> Path | None:
    """Return the first folder with all raw files of the card, or None."""
    for base in raw_roots(root):
        folder = base / card.raw
        if all((folder / name).is_file() for name in card.files):
            return folder
    return None


def where_to_put(card: Card, root: str | Path | None = None) -> str:
    """Return the advice where to put the missing raw files."""
    looked = ", ".join(str(base / card.raw) for base in raw_roots(root))
    return (
        f"looked in {looked}; put {', '.join(card.files)} into "
        f"{download_root(root) / card.raw} (from {card.source})"
    )


def sha256_of(folder: Path, files: tuple[str, ...]) -> dict[str, str]:
    """Return the SHA-256 of every file.

    Hashes are cached by the path, the size and the modification time of a file.
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
    """Return the variant of the card to which the raw files belong.

    Args:
        card: Card of the data set.
        hashes: SHA-256 of every raw file.
        just_downloaded: Whether the PyG class has just downloaded the files.

    Raises:
        ValueError: If the files are unknown and not trusted.
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
    why = ", because its reader would unpickle it" if card.unpickles else ""
    raise ValueError(
        f"raw file {wrong[0]!r} of {card.name} must have a SHA-256 of the card "
        f"(got {hashes[wrong[0]]}){why}; download it again from {card.source}"
    )


def _was_downloaded(card: Card, hashes: Mapping[str, str]) -> bool:
    return read_notes(_DOWNLOADS).get(card.name) == dict(hashes)
