"""Read one class label per node from a file."""

import csv
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gsparse.data.file_bytes import check_readable, read_text
from gsparse.data.node_labels import Labels, number_labels, parse_ids, position_of

MISSING = ("", "-1", "-1.0", "nan", "na", "none", "null")
"""Texts, in any case, of a node without a label."""

SUFFIXES = (".csv", ".tsv", ".txt", ".npy")
_DELIMITERS = (",", ";", "\t")


def read_labels(
    path: str | Path, num_nodes: int, node_label: Labels | None = None
) -> Tensor:
    """Read class labels from a file and number them from 0 in ascending order.

    - ``.npy``: an array with one label per node: integers, real numbers or text.
    - ``.csv``, ``.tsv``, ``.txt``: one label per line in the order of the nodes, with
      or without a title, or two columns with a node and its label in any order; nodes
      that are not listed have no label. ``#`` and ``%`` start comments. A title is a
      word that is not a label of another line.

    Nodes of a relabelled graph go by the ids that they had before. If these are text,
    their order is not one that a file has by itself, so that two columns are needed.

    Empty labels, -1, NaN, NA, None and null mean that a node has no label.

    Args:
        path: Path of the file.
        num_nodes: Number of nodes of the graph.
        node_label: Ids of the nodes before they were numbered from 0.

    Returns:
        Class numbers; -1 for nodes without a label.

    Shapes:
        - **output:** :math:`(N,)`

    Raises:
        ValueError: If the format is unknown, or labels and nodes do not fit.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    check_readable(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"a file of labels must end in {', '.join(SUFFIXES)} (got {path.name})"
        )
    if path.suffix.lower() == ".npy":
        texts = _array(path)
    else:
        rows = _rows(path)
        if {len(row) for row in rows if row} == {2}:
            by_node = [row for row in rows if row]
            return number_classes(_by_node(by_node, num_nodes, node_label, path), path)
        texts = _by_line(rows, num_nodes, path)
    if isinstance(node_label, list):
        raise ValueError(
            f"{path} must have two columns, the node and its label, for a graph whose "
            f"nodes have names (got one label per line and the node {node_label[:1]})"
        )
    if len(texts) != num_nodes:
        raise ValueError(
            f"{path} must hold one label for each of the {num_nodes} nodes "
            f"(got {len(texts)})"
        )
    return number_classes(texts, path)


def number_classes(texts: list[str], where: object) -> Tensor:
    """Number the distinct labels from 0; missing labels are -1.

    Integers are sorted by value, other labels by the alphabet.

    Example:
        >>> number_classes(["b", "a", "", "b"], "labels.csv").tolist()
        [1, 0, -1, 1]
    """
    texts = [text.strip() for text in texts]
    known = [i for i, text in enumerate(texts) if text.lower() not in MISSING]
    y = torch.full((len(texts),), -1)
    y[known] = number_labels([texts[i] for i in known], where)[1]
    return y


def _array(path: Path) -> list[str]:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} must be an array without objects ({error})") from None
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{path} must hold one label per node (got shape {list(array.shape)})"
        )
    return [str(value) for value in array.tolist()]


def _rows(path: Path) -> list[list[str]]:
    try:
        lines = read_text(path, packed=False).decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8 text ({error})") from None
    lines = [line for line in lines if not line.startswith(("#", "%"))]
    first = lines[0] if lines else ""
    delimiter = next((it for it in _DELIMITERS if it in first), ",")
    return list(csv.reader(lines, delimiter=delimiter))


def _by_line(rows: list[list[str]], num_nodes: int, path: Path) -> list[str]:
    widths = {len(row) for row in rows if row}
    if not widths <= {1}:
        raise ValueError(
            f"{path} must have one column, the label, or two, the node and its label "
            f"(got lines of {sorted(widths)} columns)"
        )
    return _without_title([row[0] if row else "" for row in rows], num_nodes, path)


def _without_title(labels: list[str], num_nodes: int, path: Path) -> list[str]:
    """Remove the title, if there is one, and empty lines after the last label.

    One label too many is not taken for a title, which would shift all others.
    """
    most = len(labels)
    fewest = max((i for i, it in enumerate(labels, 1) if it.strip()), default=0)
    is_plain = fewest <= num_nodes <= most
    is_titled = fewest - 1 <= num_nodes <= most - 1
    is_titled &= labels.count(labels[0]) == 1 and not _is_label(labels[0])
    if is_plain and is_titled:
        raise ValueError(
            f"the first line of {path} may be a title or a label (got {labels[0]!r}, "
            "and empty lines at the end); write -1 for nodes without a label"
        )
    if is_plain or is_titled:
        return labels[is_titled:][:num_nodes]
    return labels


def _is_label(text: str) -> bool:
    """Return whether a text is a number or a missing label, which titles are not."""
    try:
        float(text)
    except ValueError:
        return text.strip().lower() in MISSING
    return True


def _by_node(
    rows: list[list[str]], num_nodes: int, node_label: Labels | None, path: Path
) -> list[str]:
    if node_label is None:
        nodes = _positions(rows, num_nodes, path)
    else:
        nodes = _named_positions(rows, node_label, path)
    rows = rows[len(rows) - len(nodes) :]
    if len({*nodes}) < len(nodes):
        raise ValueError(f"{path} must list every node once (got one of them twice)")
    labels = [""] * num_nodes
    for node, row in zip(nodes, rows, strict=True):
        labels[node] = row[1]
    return labels


def _positions(rows: list[list[str]], num_nodes: int, path: Path) -> list[int]:
    """Return the node of each row after the titles of the columns."""
    if not _is_label(rows[0][0]) or not rows[0][0].strip():
        rows = rows[1:]
    nodes = parse_ids([row[0].strip() for row in rows], path).tolist()
    if nodes and max(nodes) >= num_nodes:
        raise ValueError(
            f"nodes in {path} must be below {num_nodes}, the number of nodes of the "
            f"graph (got {max(nodes)})"
        )
    return nodes


def _named_positions(
    rows: list[list[str]], node_label: Labels, path: Path
) -> list[int]:
    """Return the node of each row after the titles, by the id that it had before."""
    nodes = position_of([row[0].strip() for row in rows], node_label)
    first, label = rows[0]
    is_word = not _is_label(first) or not first.strip()
    if nodes[0] is None and is_word and all(row[1] != label for row in rows[1:]):
        rows, nodes = rows[1:], nodes[1:]
    for row, node in zip(rows, nodes, strict=True):
        if node is None:
            raise ValueError(
                f"nodes in {path} must be nodes with an edge, by the ids that they had "
                f"before they were relabelled (got {row[0]!r:.60}); remove other lines"
            )
    return [node for node in nodes if node is not None]
