"""Split the lines of an edge list into fields."""

import csv
import re

from gsparse.data.column_names import Columns, are_names

_QUOTED = re.compile(r'"[^"]*"')
_COMMENT = re.compile(rb"^[ \t]*([#%]+[^\s#%][^\n]*)", re.MULTILINE)
_OPEN, _CLOSE = tuple("([{"), tuple(")]}")
_ARROW = re.compile(r"[-=]+>?|<[-=]+|→")
_OWN = {".csv": ",", ".tsv": "\t"}


def find_delimiter(
    line: str, suffix: str, where: object, *, relabel: bool
) -> str | None:
    """Find the delimiter of the first line; None stands for white space.

    The delimiter of the suffix is preferred if it occurs. Otherwise it is a comma, a
    semicolon or a tab.

    Args:
        line: The first line.
        suffix: ``.txt``, ``.csv`` or ``.tsv``.
        where: Name of the file for error messages.
        relabel: Whether ids may be text, which may contain spaces.

    Raises:
        ValueError: If the delimiter is ambiguous.
    """
    text = _QUOTED.sub("", line)
    own = _OWN.get(suffix)
    found = [mark for mark in ",;" if mark in text]
    if own == "\t" and own in text:
        return own
    if len(found) == 2:
        raise ValueError(
            f"{where} must have one delimiter (got commas and semicolons in "
            f"{line!r:.60})"
        )
    if not found and own and "\t" in text:
        found = ["\t"]
    spaces = any(len(field.split()) > 1 for field in re.split("[,;]", text))
    expected = bool(found) == bool(own)  # .txt uses spaces, .csv and .tsv do not
    if relabel and spaces and not expected:
        raise ValueError(
            f"{where} must have one delimiter between names (got {line!r:.60}); "
            "rename the file to .csv and quote names with commas or spaces"
        )
    return found[0] if found else None


def split_lines(
    lines: list[str], delimiter: str | None, where: object, *, comments: bool
) -> list[list[str]]:
    """Split every line into fields and skip blank lines and comments.

    Args:
        lines: Lines without line ends.
        delimiter: One character, or None for white space.
        where: Name of the file for error messages.
        comments: Whether ``#`` starts a comment anywhere in a line.

    Raises:
        ValueError: If a closing quote is missing.
    """
    kept = [line for line in lines if line.strip() and line.lstrip()[0] not in "#%"]
    if comments:
        kept = [line.partition("#")[0] if '"' not in line else line for line in kept]
    if delimiter is None:
        if not any('"' in line for line in kept):
            return [line.split() for line in kept]
        kept, delimiter = [" ".join(line.split()) for line in kept], " "
    ends = [f"{line}\n" for line in kept]
    reader = csv.reader(ends, delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        return [[field.strip(" \t") for field in row] for row in reader]
    except csv.Error as error:
        raise ValueError(f"{where} must be a table ({error})") from None


def check_comments(content: bytes, where: object) -> None:
    """Refuse a line that may be a comment or an edge of a node named ``#a``.

    Raises:
        ValueError: If a line starts with ``#`` or ``%`` that no space follows.
    """
    found = _COMMENT.search(content)
    if found:
        line = found[1].decode("utf-8", "replace")
        raise ValueError(
            f"{where} must have a space after # or % in comments, and quotes around "
            f"a node that starts with # or % (got {line!r:.60})"
        )


def check_notation(rows: list[list[str]], columns: Columns, where: object) -> None:
    """Refuse edges written as ``(0, 1)`` or ``0 -> 1``.

    Raises:
        ValueError: If all edges have brackets or arrows.
    """
    sources = {row[columns.source] for row in rows}
    targets = {row[columns.target] for row in rows}
    brackets = all(text[:1] in _OPEN for text in sources) and all(
        text[-1:] in _CLOSE for text in targets
    )
    arrows = all(_ARROW.fullmatch(text) for text in targets)
    if rows and (brackets or arrows):
        raise ValueError(
            f"{where} must list nodes without brackets or arrows (got {rows[0]!r:.60})"
        )


def check_first_line(rows: list[list[str]], texts: list[str], where: object) -> None:
    """Refuse a first line that may be an edge or the names of the columns.

    Raises:
        ValueError: If both of its fields are text and occur in no other line.
    """
    first = rows[0][:2] if len(rows) > 1 and are_names(rows[0]) else []
    if first and all(texts.count(text) == 1 for text in first):
        raise ValueError(
            f"{where} must say whether its first line is an edge (got {first[0]!r}, "
            f"{first[1]!r}, which occur in no other line); add a first line that names "
            "the columns, or rename them: source, target"
        )
