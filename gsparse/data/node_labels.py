"""Number nodes from 0 that have arbitrary ids."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch_geometric.data import Data

Labels = Tensor | list[str]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)(\.0)?")
_DIGITS = re.compile(r"[+-]?[0-9]+")
_FRACTION = re.compile(r"[+-]?[0-9]*\.?[0-9]*([eE][+-]?[0-9]{1,3})?(?<=[0-9.])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_IDS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
_HAS_POSITIONS = ("num_nodes", "x", "y", "train_mask", "val_mask", "test_mask")


def parse_ids(texts: Sequence[str], where: object) -> Tensor:
    """Convert text to integers from 0 to 2**63 - 1; ``3.0`` and ``3e0`` are accepted.

    Raises:
        ValueError: If a text is not such a number.
    """
    ids = torch.empty(len(texts), dtype=torch.long)
    numbers = ids.numpy()
    for i, text in enumerate(texts):
        number = _whole_number(text)
        if number is None:
            raise ValueError(
                f"nodes in {where} must be non-negative integers (got {text!r:.60}); "
                "use relabel=True (--relabel) for other ids"
            )
        numbers[i] = number
    return ids


def _whole_number(text: str) -> int | None:
    """Convert a text to an integer, or return None; decimals are exact up to 2**53."""
    if _DIGITS.fullmatch(text):
        number = int(text) if len(text) < 40 else -1
        return number if 0 <= number < 2**63 else None
    if not _FRACTION.fullmatch(text):
        return None
    real = float(text)
    return int(real) if 0 <= real <= 2**53 and real.is_integer() else None


def number_ids(ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct integers in ascending order and the position of every id."""
    labels, place = ids.long().unique(return_inverse=True)
    return labels, place.view_as(ids)


def number_labels(texts: Sequence[str], where: object) -> tuple[Labels, Tensor]:
    """Number the distinct labels from 0 in ascending order.

    If all labels are 64-bit integers without leading zeros, they are sorted
    numerically, otherwise alphabetically. Among integers, ``3.0`` is read as 3, because
    pandas writes integer columns with missing values in this form.

    Returns:
        The sorted labels, integers as a tensor, and the number of every text.

    Raises:
        ValueError: If a label is empty or contains a control character.
    """
    distinct = set(texts)
    check_labels(distinct, where)
    if all(map(_is_int64, distinct)):
        numbers = [int(text.removesuffix(".0")) for text in texts]
        return number_ids(torch.tensor(numbers, dtype=torch.long))
    labels = order = sorted(distinct)
    place = {label: i for i, label in enumerate(order)}
    return labels, torch.tensor([place[text] for text in texts], dtype=torch.long)


def position_of(texts: Sequence[str], labels: Labels) -> list[int | None]:
    """Return the place of each text among the labels of nodes, or None.

    Example:
        >>> position_of(["7", "5.0", "8"], torch.tensor([5, 7]))
        [1, 0, None]
    """
    if not isinstance(labels, Tensor):
        names = {label: i for i, label in enumerate(labels)}
        return [names.get(text) for text in texts]
    numbers = {label: i for i, label in enumerate(labels.tolist())}
    return [
        numbers.get(int(text.removesuffix(".0"))) if _is_int64(text) else None
        for text in texts
    ]


def check_labels(labels: Iterable[str], where: object) -> None:
    """Refuse labels that are empty or contain a control character."""
    for label in labels:
        if not label or _CONTROL.search(label):
            raise ValueError(
                f"{where} must name two nodes in every line, without tabs and line "
                f"breaks (got {label!r})"
            )


def check_node_labels(labels: object, num_nodes: int) -> None:
    """Refuse labels that are not one integer or one line of text for each node.

    Raises:
        ValueError: If they are anything else but None.
    """
    if labels is None:
        return
    if isinstance(labels, Tensor):
        fits = labels.dtype in _IDS and labels.shape == (num_nodes,)
        got = f"{labels.dtype}, shape {list(labels.shape)}"
    else:
        names = labels if isinstance(labels, list) else []
        bad = [it for it in names if not isinstance(it, str) or _CONTROL.search(it)]
        fits = isinstance(labels, list) and len(names) == num_nodes and not bad
        got = f"{bad[0]!r:.60}" if bad else f"{type(labels).__name__} of {len(names)}"
    if not fits:
        raise ValueError(
            f"'node_label' must hold one integer or one line of text for each of the "
            f"{num_nodes} nodes (got {got}); delete it if it is no name"
        )


def _is_int64(text: str) -> bool:
    whole = text.removesuffix(".0")
    if whole == "-0" or not _INTEGER.fullmatch(text):
        return False
    return len(whole) < 21 and -(2**63) <= int(whole) < 2**63


def relabel_ids(data: Data, where: object) -> Data:
    """Number the integer ids of a graph from 0 in ascending order.

    Only nodes with an edge are numbered; ``node_label`` holds their ids.

    Raises:
        ValueError: If the graph has a number of nodes, because its ids are positions.
    """
    stated = [key for key in _HAS_POSITIONS if data._store.get(key) is not None]
    if stated:
        raise ValueError(
            f"{where} must not be relabelled, because its ids are positions "
            f"(got {stated[0]!r})"
        )
    data.node_label, data.edge_index = number_ids(data.edge_index)
    data.num_nodes = data.node_label.numel()
    return data


def label_table(labels: Labels) -> str:
    """Format the labels as CSV with the columns ``node`` and ``label``."""
    values = labels.tolist() if isinstance(labels, Tensor) else labels
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("node", "label"))
    writer.writerows(enumerate(values))
    return out.getvalue()


def label_path(path: Path) -> Path:
    """Return the path of the labels: ``cut.nodes.csv`` next to ``cut.txt.gz``."""
    name = path.name
    if name.lower().endswith(".gz"):
        name = name[:-3]
    return path.with_name(f"{Path(name).stem}.nodes.csv")
