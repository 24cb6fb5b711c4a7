"""Numbers in the text of documents, and the statements that say where they come from.

``docs/results/stated.toml`` lists every sentence, or part of one, with a number that
looks like a result and stands outside of the generated blocks:

- ``document`` and ``texts``: where they are, and their words.
- ``source``: ``block NAME`` (or several names with commas), whose text must have the
  number; ``test PATH::NAME``; ``paper LINK``; ``target``, a number that we set
  ourselves; ``arithmetic``, which follows from sizes; or ``trial``, a measurement
  without a row, followed by a colon and what was run.

A number that looks like a result is one with a unit of :data:`RESULT`, with a ± behind
it, or of the form of a score. Percentages that are common budgets are not results.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gsparse.bench.tables.documents import MARKER, Blocks, Results

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
_LIST = rf"{_NUMBER}(?:(?:,| to| and| or|,? ±)\s+{_NUMBER})*"
RESULT = re.compile(
    rf"(?<![\w.]){_LIST}\s?"
    r"(?:%|x\b(?! \d)|points?\b|times\b|ms\b|s\b|minutes?\b|hours?\b|[kMG]B\b)"
    rf"|(?<![\w.]){_NUMBER}\s±\s{_NUMBER}|(?<![\w.])[2-9]\d\.\d(?!\.?\d)"
)
BUDGETS = {"10", "20", "30", "50", "80", "90", "95", "98", "99"}
"""Percentages of edges and weights that are removed, and of intervals."""

_HIDDEN = (
    MARKER,
    re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE),
    re.compile(r"^ {4}.*$", re.MULTILINE),
    re.compile(r"`[^`\n]*`"),
    re.compile(r"\]\([^)]*\)"),
)
SOURCES = ("block", "test", "paper", "target", "arithmetic", "trial")


class Statement(NamedTuple):
    """A part of a document and the source of its numbers."""

    document: str
    text: str
    source: str

    @property
    def kind(self) -> str:
        """The first word of the source."""
        return re.split(r"[ :]", self.source, maxsplit=1)[0]


class Number(NamedTuple):
    """A number that looks like a result."""

    document: str
    line: int
    text: str


def read_stated(path: Path) -> tuple[list[Statement], dict[str, list]]:
    """Return the statements of a file, and its other entries.

    Raises:
        ValueError: If a source is of no known kind.
    """
    content = tomllib.loads(path.read_text())
    statements = [
        Statement(entry["document"], text, entry["source"])
        for entry in content.pop("statement", [])
        for text in entry["texts"]
    ]
    for it in statements:
        if it.kind not in SOURCES:
            known = ", ".join(SOURCES)
            raise ValueError(f"'source' must begin with one of {known} (got {it})")
    return statements, content


def visible(text: str) -> str:
    """Replace generated blocks, code and links of a document by spaces."""
    for pattern in _HIDDEN:
        text = pattern.sub(lambda it: re.sub(r"[^\n]", " ", it[0]), text)
    return text


def results_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield position and text of the numbers that look like results.

    Example:
        >>> [text for _, text in results_of("80 % cut: 3.1x as fast, 0.7 ± 0.3 lost")]
        ['3.1x', '0.7 ± 0.3']
    """
    for found in RESULT.finditer(text):
        numbers = re.findall(_NUMBER, found[0])
        if not (found[0].endswith("%") and BUDGETS.issuperset(numbers)):
            yield found.start(), found[0]


def unstated(name: str, text: str, statements: Sequence[Statement]) -> list[Number]:
    """Return the numbers of a document that no statement covers."""
    spans = [span for it in statements if (span := _span(it, name, text))]
    return [
        Number(name, text.count("\n", 0, at) + 1, " ".join(found.split()))
        for at, found in results_of(visible(text))
        if not any(first <= at < last for first, last in spans)
    ]


def wrong_statements(
    statements: Sequence[Statement],
    texts: Mapping[str, str],
    blocks: Blocks,
    results: Results,
) -> list[str]:
    """Return what is wrong with each statement: no such text, no such source.

    Args:
        statements: The statements.
        texts: The documents by name.
        blocks: The blocks.
        results: The rows, in a folder two levels below the root of the checkout.
    """
    wrong = []
    root = results.folder.resolve().parents[1]
    for it in statements:
        if _span(it, it.document, texts.get(it.document, "")) is None:
            wrong.append(f"{it.document} does not say: {it.text}")
        elif it.kind == "test" and not _test_exists(it.source, root):
            wrong.append(f"there is no {it.source}")
        elif it.kind == "block":
            wrong += [
                f"{it.document}, '{it.text}': {why}"
                for why in _beside(it, blocks, results)
            ]
    return wrong


def _beside(it: Statement, blocks: Blocks, results: Results) -> list[str]:
    """Return the numbers of a statement that its blocks do not have."""
    names = it.source.removeprefix("block ").split(", ")
    unknown = [name for name in names if name not in blocks]
    if unknown:
        return [f"there is no block {name}" for name in unknown]
    text = " ".join(blocks[name](results) for name in names)
    known = set(re.findall(_NUMBER, text))
    claimed = [
        n for _, found in results_of(it.text) for n in re.findall(_NUMBER, found)
    ]
    missing = [n for n in claimed if n not in known]
    return [f"{number} is not in {', '.join(names)}" for number in missing]


def _test_exists(source: str, root: Path) -> bool:
    path, _, name = source.removeprefix("test ").partition("::")
    file = root / path
    return file.exists() and f"def {name}(" in file.read_text()


def _span(it: Statement, name: str, text: str) -> tuple[int, int] | None:
    """Return where a statement stands in a document, however its lines are broken."""
    if it.document != name:
        return None
    found = re.search(r"\s+".join(map(re.escape, it.text.split())), text)
    return found.span() if found else None
