"""Make a graph ready for node classification: features, labels, both directions."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.check_graph import check_graph
from gsparse.data.features import csr_matrix
from gsparse.data.label_files import number_classes, read_labels
from gsparse.data.node_labels import Labels
from gsparse.data.symmetrize import symmetrize

MAX_DEGREE = 1000
"""Larger degrees share one column of the features, so that they cannot fill memory."""

MASKS = ("train_mask", "val_mask", "test_mask")


class LabelledGraph(NamedTuple):
    """A graph with ``x``, ``y`` and both directions of every edge."""

    data: Data
    notes: tuple[str, ...]
    """One line about each thing that was added to the graph."""


def labelled_graph(
    data: Data, labels: str | Path | None = None, where: object = "the graph"
) -> LabelledGraph:
    """Return a graph on which node classifiers can be trained.

    Missing reverse edges are added, with the weight of their edge. Labels of one column
    lose this dimension, and masks become boolean. A graph without features gets the
    one-hot degree of every node, as PyG's ``OneHotDegree``; degrees of
    ``MAX_DEGREE`` or more share the last column. So an MLP sees the degrees of
    the whole graph as well, also where a method removes edges afterwards.

    Args:
        data: Graph with ``edge_index``; ``x``, ``y``, ``edge_weight`` and masks are
            kept, other attributes are dropped. It is not changed.
        labels: File of labels, which replaces ``y``, see
            :func:`gsparse.data.label_files.read_labels`. It names nodes by their
            ``node_label`` if the graph was relabelled.
        where: Name of the graph for error messages.

    Raises:
        ValueError: If there are no labels or fewer than two classes, or a tensor does
            not fit the others.
    """
    found, notes = check_graph(_needed(data), where), []
    num_edges = found.num_edges
    try:
        found = symmetrize(found)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if found.num_edges > num_edges:
        notes.append(
            f"{where}: {found.num_edges - num_edges:,} missing reverse edges added"
        )
    if labels is not None and found.get("y") is not None:
        notes.append(f"{where}: labels of {labels} replace 'y'")
    if labels is not None:
        found.y = read_labels(labels, int(found.num_nodes or 0), _old_ids(data))
    found.y = _class_numbers(found, where)
    if found.get("x") is None:
        found.x = degree_features(found)
        notes.append(f"{where}: no features 'x', so one-hot degrees are the features")
    found.x = _real_features(found.x, where)
    for name in MASKS:
        if found.get(name) is not None:
            found[name] = _boolean(found[name], name, where)
    return LabelledGraph(found, tuple(notes))


def degree_features(data: Data) -> Tensor:
    """Return the one-hot degree of every node as ``torch.sparse_csr``.

    Shapes:
        - **output:** :math:`(N, d + 1)` for the largest degree :math:`d`, at most
          ``MAX_DEGREE``
    """
    num_nodes = int(data.num_nodes or 0)
    deg = data.edge_index[1].bincount(minlength=num_nodes).clamp(max=MAX_DEGREE)
    crow = torch.arange(num_nodes + 1)
    width = int(deg.max()) + 1 if num_nodes else 1
    return csr_matrix(crow, deg, torch.ones(num_nodes), [num_nodes, width])


def _needed(data: Data) -> Data:
    out = Data()
    for key in ("edge_index", "edge_weight", "x", "y", *MASKS):
        if data.get(key) is not None:
            out[key] = data[key]
    if data._store.get("num_nodes") is not None:
        out.num_nodes = data.num_nodes
    return out


def _old_ids(data: Data) -> Labels | None:
    """Return the ids that nodes had before they were numbered, if there are any."""
    ids, num_nodes = data.get("node_label"), data.num_nodes
    if isinstance(ids, Tensor):
        whole = ids.dtype == torch.long and ids.dim() == 1 and ids.numel() == num_nodes
        return ids if whole and ids.unique().numel() == num_nodes else None
    if isinstance(ids, list) and all(isinstance(it, str) for it in ids):
        return ids if len({*ids}) == len(ids) == num_nodes else None
    return None


def _class_numbers(data: Data, where: object) -> Tensor:
    y, num_nodes = data.get("y"), int(data.num_nodes or 0)
    if y is None:
        raise ValueError(
            f"{where} must have a label for every node to be trained on (got no 'y'); "
            "give a file with one label per node (--labels labels.csv)"
        )
    if isinstance(y, list):
        y = number_classes([str(value) for value in y], where)
    if y.dim() == 2 and y.size(1) == 1:
        y = y.view(-1)
    if y.shape != (num_nodes,):
        raise ValueError(
            f"'y' in {where} must hold one label for each of the {num_nodes} nodes "
            f"(got shape {list(y.shape)})"
        )
    if y.is_floating_point():
        y = y.nan_to_num(nan=-1.0)
        if (y != y.round()).any():
            raise ValueError(f"'y' in {where} must hold class numbers (got fractions)")
    y = y.long()
    known = y[y != -1]
    if known.unique().numel() < 2 or int(known.min()) < 0 or int(y.max()) >= num_nodes:
        raise ValueError(
            f"'y' in {where} must hold at least two classes, numbered from 0, and -1 "
            f"for nodes without a label (got {known.unique()[:5].tolist()})"
        )
    return y


def _real_features(x: Tensor, where: object) -> Tensor:
    if x.dim() != 2:
        raise ValueError(f"'x' in {where} must have shape [N, F] (got {list(x.shape)})")
    x = x.float() if x.layout == torch.strided else x.to_sparse_csr().float()
    values = x if x.layout == torch.strided else x.values()
    if not values.isfinite().all():
        raise ValueError(f"'x' in {where} must be finite (got NaN or infinity)")
    return x


def _boolean(mask: Tensor, name: str, where: object) -> Tensor:
    if ((mask != 0) & (mask != 1)).any():
        raise ValueError(f"{name!r} in {where} must hold 0 and 1 or booleans")
    return mask.bool()
