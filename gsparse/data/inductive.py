"""Train on a part of the graph, test on all of it."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.features import take_rows


class InductiveGraphs(NamedTuple):
    """The two graphs of the inductive setting."""

    train: Data
    """Training nodes only, renumbered; ``n_id`` holds their old numbers."""
    full: Data
    """The data as it came."""


def inductive(data: Data, include_val: bool = False) -> InductiveGraphs:
    """Cuts out the graph that is known while training.

    Sparsify and train on ``train``, then test the model on ``full``, whose other
    nodes and edges it has never seen. Meant for splits with many training nodes
    (``"60-20-20"``): the graph on the 60 training nodes of PubMed's public split has
    next to no edges.

    Args:
        data: Graph with the masks of a split.
        include_val: Whether validation nodes belong to ``train`` too, so that early
            stopping can look at them there.

    Returns:
        The training graph and the full one. Every tensor follows that has one row for
        each node or, if its name starts with ``edge_`` (or is ``e_id``), for each edge.

    Shapes:
        - **train.n_id:** old number of every node of ``train``

    Raises:
        ValueError: No masks, or no training node.

    Example:
        >>> from gsparse.data import random_graph
        >>> train, full = inductive(random_graph(num_nodes=50, p=0.2, seed=41213))
        >>> train.num_nodes, full.num_nodes, bool(train.train_mask.all())
        (30, 50, True)
    """
    if "train_mask" not in data or data.train_mask.dim() != 1:
        raise ValueError("'data' must have a 1-d train_mask; choose a split first")
    inside = data.train_mask | data.val_mask if include_val else data.train_mask
    if not inside.any():
        raise ValueError("'data' must have training nodes (got an empty train_mask)")
    return InductiveGraphs(induced(data, inside), data)


def induced(data: Data, inside: Tensor) -> Data:
    """The graph on some nodes, renumbered, and the edges between them.

    What follows is as for :func:`inductive`.

    Args:
        data: A graph.
        inside: Whether a node is in it.

    Shapes:
        - **inside:** :math:`(N,)`
    """
    nodes = inside.nonzero().flatten()
    new_number = torch.full_like(inside, -1, dtype=torch.long)
    new_number[nodes] = torch.arange(len(nodes), device=nodes.device)
    row, col = data.edge_index
    keep = inside[row] & inside[col]

    found = Data(num_nodes=len(nodes), n_id=nodes)
    for key, value in data:
        if key == "edge_index":
            found.edge_index = new_number[value[:, keep]]
        elif key != "num_nodes":
            found[key] = _rows(key, value, keep, inside)
    return found


def _rows(key: str, value: object, keep: Tensor, inside: Tensor) -> object:
    """Rows of an edge or node tensor, told apart by name, then by length."""
    if not isinstance(value, Tensor) or value.dim() == 0:
        return value
    if key.startswith("edge_") or key == "e_id":
        return value[keep] if len(value) == len(keep) else value
    if value.size(0) != len(inside):
        return value
    return take_rows(value, inside.nonzero().flatten())
