"""Find the columns of the end points and the weight in an edge list."""

import re
from collections.abc import Sequence
from typing import NamedTuple

SOURCES = {"source", "src", "from", "u", "start", "citing", "row", "i"}
TARGETS = {"target", "tgt", "to", "v", "end", "cited", "col", "j"}
TARGETS |= {"dst", "dest", "destination", "column"}
WEIGHTS = {"weight", "weights", "w", "edgeweight"}


class Columns(NamedTuple):
    """Positions of the columns to read; ``header`` if the first line names them."""

    source: int
    target: int
    weight: int | None
    width: int
    header: bool


def find_columns(first: Sequence[str], where: object, *, header: bool) -> Columns:
    """Find the columns by their names, or by their order if they have no names.

    Two columns with unknown names are source and target. Other columns are not read.

    Args:
        first: Fields of the first line.
        where: Name of the file for error messages.
        header: Whether the fields are names.

    Raises:
        ValueError: If the columns are ambiguous.
    """
    if header:
        return _by_name(first, where)
    if len(first) not in (2, 3):
        raise ValueError(
            f"{where} must have 2 or 3 columns (got {len(first)}), or a first line "
            "that names them: source, target, weight"
        )
    return Columns(0, 1, 2 if len(first) == 3 else None, len(first), header=False)


def are_names(fields: Sequence[str]) -> bool:
    """Return whether some fields are text and none is a number."""
    return any(fields) and not any(is_number(field) for field in fields)


def are_known_names(fields: Sequence[str]) -> bool:
    """Return whether the fields name both end points, or a weight."""
    names = {_plain(field) for field in fields}
    ends = bool(names & SOURCES) and bool(names & TARGETS)
    return are_names(fields) and (ends or bool(names & WEIGHTS))


def is_number(text: str) -> bool:
    """Return whether Python can convert the text to a float."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _by_name(fields: Sequence[str], where: object) -> Columns:
    names = [_plain(field) for field in fields]
    weights = [i for i, name in enumerate(names) if name in WEIGHTS]
    sources = [i for i, name in enumerate(names) if name in SOURCES]
    targets = [i for i, name in enumerate(names) if name in TARGETS]
    known = {*weights, *sources, *targets}
    rest = [i for i, name in enumerate(names) if i not in known]
    if rest[:1] == [0] and _is_index(fields[0]):
        rest = rest[1:]
    if len(rest) == 2 and not sources and not targets:
        sources, targets = rest[:1], rest[1:]
    elif len(rest) == 1 and len(sources) + len(targets) == 1:
        sources, targets = sources or rest, targets or rest
    if not (len(sources) == len(targets) == 1) or len(weights) > 1:
        raise ValueError(
            f"{where} must name one column 'source', one 'target' and at most one "
            f"'weight' in its first line (got {', '.join(map(repr, fields))})"
        )
    weight = weights[0] if weights else None
    return Columns(sources[0], targets[0], weight, len(fields), header=True)


def _is_index(name: str) -> bool:
    """Return whether pandas or R use this name for the row numbers."""
    return name == "" or name.lower() == "index" or name.startswith("Unnamed:")


def _plain(name: str) -> str:
    """Remove punctuation and a final ``node`` or ``id`` from a name in lower case."""
    plain = re.sub(r"[\W_]+", "", name.lower())
    return re.sub(r"(?<=\w)(nodeid|node|id)$", "", plain) if len(plain) > 3 else plain
