"""Fill the marked blocks of documents with numbers from rows.

A block stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``, on lines of
its own or within a line. A line of text must not begin with a marker, as Markdown would
take the line as HTML.
"""

import os
import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from gsparse.bench.tables.rows import Row, latest, read_rows

MARKER = re.compile(r"(<!-- begin: (\S+) -->)(.*?)(<!-- end: \2 -->)", re.DOTALL)


class Results:
    """The rows of a folder, each file read once.

    Args:
        folder: The folder with one ``.jsonl`` file per table.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, table: str) -> list[Row]:
        """Return the rows of a table; of rows with equal hash and seed the last one."""
        if table not in self._found:
            rows = read_rows(self.folder / f"{table}.jsonl")
            self._found[table] = latest(rows)
        return self._found[table]

    @cached_property
    def _found(self) -> dict[str, list[Row]]:
        return {}


Blocks = Mapping[str, Callable[[Results], str]]


def fill(text: str, blocks: Blocks, results: Results) -> tuple[str, list[str]]:
    """Fill the marked blocks of a text.

    Args:
        text: The document.
        blocks: The function that writes each block, by name.
        results: The rows.

    Returns:
        The filled text, and the names of the blocks that have changed.

    Raises:
        ValueError: If a block has no end or an unknown name.
    """
    changed = []

    def filled(match: re.Match[str]) -> str:
        begin, name, old, end = match.groups()
        if name not in blocks:
            known = ", ".join(blocks)
            raise ValueError(f"a block must be one of {known} (got {name})")
        new = blocks[name](results)
        if old.startswith("\n"):
            new = f"\n{new}\n"
        if new != old:
            changed.append(name)
        return begin + new + end

    found = MARKER.sub(filled, text)
    if text.count("<!-- begin: ") != len(MARKER.findall(text)):
        raise ValueError("every '<!-- begin: NAME -->' must have its end")
    return found, changed


def documents(results: Path) -> list[Path]:
    """Return the documents beside a folder of results, and the READMEs."""
    docs = results.resolve().parent
    readmes = (docs.parent / "README.md", results.resolve() / "README.md")
    return [path for path in readmes if path.exists()] + sorted(docs.glob("*.md"))


def update(folder: Path, blocks: Blocks, *, write: bool) -> dict[Path, list[str]]:
    """Compare the blocks of all documents with the rows.

    Args:
        folder: The folder of the rows, ``docs/results`` in a checkout.
        blocks: The function that writes each block, by name.
        write: Whether to write the blocks that differ.

    Returns:
        The names of the blocks that differ, for every document that has any.

    Raises:
        ValueError: If no document has a block.
    """
    results, differ = Results(folder), {}
    paths = [path for path in documents(folder) if MARKER.search(path.read_text())]
    if not paths:
        raise ValueError(f"no document beside {folder} has a '<!-- begin: NAME -->'")
    for path in paths:
        text, changed = fill(path.read_text(), blocks, results)
        if changed:
            differ[path] = changed
        if changed and write:
            scratch = path.with_name(f".{path.name}.{os.getpid()}")
            scratch.write_text(text)
            scratch.replace(path)
    return differ
