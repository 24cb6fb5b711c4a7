"""Read and write edge lists: one edge per line, with an optional weight."""

import io
import re
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.column_names import (
    Columns,
    are_known_names,
    are_names,
    find_columns,
)
from gsparse.data.edge_lines import (
    check_comments,
    check_first_line,
    find_delimiter,
    split_lines,
)
from gsparse.data.edge_texts import read_names, refuse_column_names
from gsparse.data.node_labels import Labels, number_ids, number_labels, parse_ids

HEAD = re.compile(rb"(?:[ \t]*(?:[#%][^\n]*)?\n)*")
_NUM_NODES = re.compile(rb"^#.*nodes:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
ODD_INTEGER = re.compile(rb"(?:^|[\s,;])(?:\+|-?0[0-9]|-0\b)", re.MULTILINE)


class Table(NamedTuple):
    """Node ids ``[2, E]``, weights ``[E]`` in float64, and labels of the nodes."""

    ids: Tensor
    weight: NDArray[np.float64] | None = None
    labels: Labels | None = None


def read_edge_list(
    content: bytes, suffix: str, where: object, *, relabel: bool = False
) -> Data:
    """Read an edge list.

    Args:
        content: UTF-8 text with line feeds.
        suffix: ``.txt``, ``.csv`` or ``.tsv``.
        where: Name of the file for error messages.
        relabel: Whether nodes may have any ids. They are numbered in ascending order,
            and ``node_label`` holds the ids.

    Raises:
        ValueError: If a line is not an edge, or the columns are ambiguous.
    """
    if relabel:
        check_comments(content, where)
    body = content if content.endswith(b"\n") else content + b"\n"
    head = HEAD.match(body)
    body = body[head.end() if head else 0 :]
    if body:
        ids, weight, labels = _read_body(body, suffix, where, relabel)
    else:
        ids, weight = torch.empty(2, 0, dtype=torch.long), None
        labels = torch.empty(0, dtype=torch.long) if relabel else None
    data = Data(edge_index=ids)
    if weight is not None:
        data.edge_weight = torch.from_numpy(weight).float()
    if labels is not None:
        data.node_label = labels
        data.num_nodes = len(labels)
        return data
    stated = stated_nodes(content)
    if not ids.numel() or stated > ids.max():
        data.num_nodes = stated
    return data


def stated_nodes(content: bytes) -> int:
    """Return the largest number of nodes that a comment states, or 0."""
    counts = [found[1] for found in _NUM_NODES.finditer(content)]
    return max((int(n) if len(n) < 19 else 10**18 for n in counts), default=0)


def read_columns(body: bytes, count: int, where: object) -> tuple[Tensor, Tensor]:
    """Read two or three columns of numbers separated by spaces.

    Returns:
        Ids ``[2, E]`` and weights ``[E]``, or no weights if there are two columns.
    """
    columns = Columns(0, 1, 2 if count == 3 else None, count, header=False)
    table = read_numbers(body, None, columns)
    if table is None:
        table = read_texts(body, None, columns, where, relabel=False)
    weight = np.empty(0) if table.weight is None else table.weight
    return table.ids, torch.from_numpy(weight).float()


def write_edge_list(data: Data, suffix: str) -> str:
    """Write ``edge_index`` and ``edge_weight``, one edge per line.

    A comment in the first line states the number of nodes. In ``.csv`` it is written
    only if the largest id does not determine the number, so that other programs can
    read most files.
    """
    used = int(data.edge_index.max()) + 1 if data.edge_index.numel() else 0
    stated = suffix != ".csv" or data.num_nodes != used
    head = f"# nodes: {data.num_nodes}\n" if stated else ""
    return head + edge_lines(data, {".csv": ",", ".tsv": "\t"}.get(suffix, " "))


def edge_lines(data: Data, delimiter: str, first: int = 0) -> str:
    """Format one line per edge, with nodes numbered from ``first``."""
    columns = [(ends + first).tolist() for ends in data.edge_index]
    if data.get("edge_weight") is not None:
        columns.append([repr(weight) for weight in data.edge_weight.tolist()])
    rows = zip(*columns, strict=True)
    return "".join(f"{delimiter.join(map(str, row))}\n" for row in rows)


class Layout(NamedTuple):
    """Delimiter and columns of a file, and the fields of its first line."""

    delimiter: str | None
    columns: Columns
    fields: list[str]
    known: bool


def find_layout(body: bytes, suffix: str, where: object, *, relabel: bool) -> Layout:
    """Find the delimiter and the columns from the first line of a file.

    Args:
        body: Content after the leading comments and blank lines; not empty.
        suffix: ``.txt``, ``.csv`` or ``.tsv``.
        where: Name of the file for error messages.
        relabel: Whether nodes may have any ids.

    Raises:
        ValueError: If the delimiter or the columns are ambiguous.
    """
    line = body[: body.index(b"\n")].decode("utf-8", "replace")
    delimiter = find_delimiter(line, suffix, where, relabel=relabel)
    rows = split_lines([line], delimiter, where, comments=not relabel)
    fields = rows[0] if rows else []
    if any(field.startswith("{") for field in fields):
        raise ValueError(
            f"{where} must not hold attributes in braces (got {line!r:.60}); write it "
            "with networkx.write_edgelist(..., data=False), or data=['weight']"
        )
    while fields and not fields[-1]:  # ignore trailing delimiters
        fields.pop()
    known = are_known_names(fields)
    header = known or (not relabel and are_names(fields))
    if relabel and not known and are_names(fields) and len(fields) == 2:
        # The first line has the names if all other lines are numbers.
        columns = find_columns(fields, where, header=True)
        header = read_numbers(body, delimiter, columns) is not None
    columns = find_columns(fields, where, header=header)
    return Layout(delimiter, columns, fields, known)


def _read_body(body: bytes, suffix: str, where: object, relabel: bool) -> Table:
    """Read the lines after the leading comments and blank lines."""
    delimiter, columns, fields, known = find_layout(
        body, suffix, where, relabel=relabel
    )
    table = read_numbers(body, delimiter, columns)
    if table is None or (relabel and ODD_INTEGER.search(body)):
        table = read_texts(body, delimiter, columns, where, relabel)
        if not (known or table.ids.numel()):
            parse_ids(fields[:2], where)  # refuse a single line of text
    elif relabel:
        labels, ids = number_ids(table.ids)
        table = Table(ids, table.weight, labels)
    elif table.ids.numel() and table.ids.min() < 0:
        parse_ids([str(int(table.ids.min()))], where)  # refuse the negative id
    if not columns.header and table.weight is not None:
        check_no_time(fields[2], table.weight, where)
    return table


def read_numbers(body: bytes, delimiter: str | None, columns: Columns) -> Table | None:
    """Read a table of numbers at once; return None if it has other fields."""
    roles = {columns.source: "source", columns.target: "target"}
    if columns.weight is not None:
        roles[columns.weight] = "weight"
    if len(roles) != columns.width:
        return None
    dtype = [(roles[i], "f8" if roles[i] == "weight" else "i8") for i in sorted(roles)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # empty input, or integers like 1.0
            table: NDArray[Any] = np.loadtxt(
                io.BytesIO(body),
                dtype,
                delimiter=delimiter,
                skiprows=int(columns.header),
                ndmin=1,
            )
    except (ValueError, OverflowError, Warning):
        return None
    ids = torch.from_numpy(np.stack([table["source"], table["target"]]))
    weight = None if columns.weight is None else table["weight"].copy()
    return Table(ids, weight)


def read_texts(
    body: bytes, delimiter: str | None, columns: Columns, where: object, relabel: bool
) -> Table:
    """Read a table line by line with errors that show the wrong field."""
    names = read_names(body, delimiter, columns, where, relabel=relabel)
    if not relabel:
        return Table(parse_ids(names.ids, where).view(2, -1), names.weight)
    if {*names.header} & {*names.ids}:
        refuse_column_names(names.header, where)
    if not columns.header:
        check_first_line(names.rows, names.ids, where)
    labels, ids = number_labels(names.ids, where)
    return Table(ids.view(2, -1), names.weight, labels)


def check_no_time(first: str, weight: NDArray[np.float64], where: object) -> None:
    """Refuse a third column without a name that is more likely a time than a weight.

    Such columns hold integers that all exceed 10**8 (Unix time since 1973), or that
    never decrease and end beyond 10**6 (seconds since the first edge).
    """
    if not first.isdigit() or not np.isfinite(weight).all() or not weight.size:
        return
    whole = bool((weight == np.floor(weight)).all())
    rises = weight[-1] >= 1e6 and bool((np.diff(weight) >= 0).all())
    if whole and (weight.min() >= 1e8 or (rises and weight.size > 1)):
        raise ValueError(
            f"{where} must say whether its third column is a weight or a time (got "
            f"{weight[0]:.0f} to {weight[-1]:.0f}); name the columns in the first "
            "line, for example source, target, weight"
        )
