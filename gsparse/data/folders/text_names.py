"""Read edge lists with arbitrary node ids in blocks into a table."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gsparse.data.edge_lines import check_comments, check_first_line
from gsparse.data.edge_lists import (
    HEAD,
    ODD_INTEGER,
    Layout,
    find_layout,
    read_numbers,
)
from gsparse.data.edge_texts import read_names, refuse_column_names
from gsparse.data.folders.tables import EdgeTable
from gsparse.data.node_labels import check_labels


def read_into(
    table: EdgeTable, blocks: Iterable[bytes], suffix: str, where: object
) -> None:
    """Append the edges of a text file to a table, by the rules of ``read_graph``.

    Args:
        table: Empty table.
        blocks: Blocks of whole lines.
        suffix: ``.txt``, ``.csv`` or ``.tsv``.
        where: Name of the file for error messages.

    Raises:
        ValueError: If a line is not an edge, or it is not clear whether the first line
            names the columns.
    """
    layout, head = None, b""
    for block in blocks:
        check_comments(block, where)
        body = head + block
        if layout is None:
            found = HEAD.match(block)
            body = block[found.end() if found else 0 :]
            if not body:
                continue
            layout = find_layout(body, suffix, where, relabel=True)
            if layout.columns.header:
                head = body[: body.index(b"\n") + 1]
        _add(table, body, layout, where)
    if layout is not None:
        _check_first(table, layout, where)


def _add(table: EdgeTable, body: bytes, layout: Layout, where: object) -> None:
    delimiter, columns, fields, known = layout
    numbers = read_numbers(body, delimiter, columns)
    if numbers is not None and not ODD_INTEGER.search(body):
        source, target = numbers.ids.numpy()
        table.add(source, target, numbers.weight)
        return
    names = read_names(body, delimiter, columns, where, relabel=True)
    if not names.ids:
        return
    if columns.header and not known:
        # The first line was taken for names because numbers followed it.
        raise ValueError(
            f"{where} must say whether its first line is an edge (got {fields!r:.60}); "
            "add a first line that names the columns: source, target"
        )
    check_labels({*names.ids}, where)
    texts: NDArray[np.object_] = np.array(names.ids, dtype=object)
    source, target = texts.reshape(2, -1)
    table.add(source, target, names.weight)


def _check_first(table: EdgeTable, layout: Layout, where: object) -> None:
    """Refuse a first line that may be an edge or the names of the columns."""
    columns, fields = layout.columns, layout.fields
    ends = fields[columns.source], fields[columns.target]
    seen = [text for text in {*ends} for _ in range(min(table.count(text), 2))]
    if not columns.header:
        rows = [[*ends]] * min(table.num_edges, 2)
        check_first_line(rows, seen, where)
    elif seen:
        refuse_column_names(ends, where)
