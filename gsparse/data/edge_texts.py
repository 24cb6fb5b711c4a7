"""Split the lines of an edge list into node ids and weights."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gsparse.data.column_names import Columns
from gsparse.data.edge_lines import check_notation, split_lines


class Names(NamedTuple):
    """Fields of a table: those of the header, and ids, sources before targets."""

    rows: list[list[str]]
    ids: list[str]
    weight: NDArray[np.float64] | None
    header: tuple[str, ...]


def read_names(
    body: bytes,
    delimiter: str | None,
    columns: Columns,
    where: object,
    *,
    relabel: bool,
) -> Names:
    """Split every line into fields.

    Raises:
        ValueError: If a line has other columns, or a weight is not a number.
    """
    try:
        lines = body.decode("utf-8", "strict" if relabel else "replace").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{where} must be UTF-8 text ({error})") from None
    comments = not (relabel or columns.header)
    rows = split_lines(lines, delimiter, where, comments=comments)
    for row in rows:
        if len(row) < columns.width or any(row[columns.width :]):
            raise ValueError(
                f"{where} must have {columns.width} columns in every line "
                f"(got {len(row)} in {row!r:.60})"
            )
    first = rows.pop(0) if columns.header else []
    ids = [row[i] for i in (columns.source, columns.target) for row in rows]
    weight = None
    if columns.weight is not None:
        weight = _parse_weights([row[columns.weight] for row in rows], where)
    if relabel:
        check_notation(rows, columns, where)
    header = (first[columns.source], first[columns.target]) if first else ()
    return Names(rows, ids, weight, header)


def refuse_column_names(names: tuple[str, ...], where: object) -> None:
    """Refuse nodes that have the names of the columns."""
    raise ValueError(
        f"{where} must not use names of columns as nodes (got "
        f"{', '.join(map(repr, names))})"
    )


def _parse_weights(texts: list[str], where: object) -> NDArray[np.float64]:
    weights = np.empty(len(texts))
    for i, text in enumerate(texts):
        try:
            weights[i] = float("" if "_" in text else text)
        except ValueError:
            raise ValueError(
                f"{where} must hold numbers in the weight column (got {text!r})"
            ) from None
    return weights
