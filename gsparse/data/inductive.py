"""Split a graph for the inductive setting."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.features import take_rows


class InductiveGraphs(NamedTuple):
    """Training graph and full graph of the inductive setting."""

    train: Data
    """Training nodes only, renumbered; ``n_id`` holds their numbers in ``full``."""
    full: Data
    """The unchanged graph."""


def inductive(data: Data, include_val: bool = False) -> InductiveGraphs:
    """Return the graph known during training and the full graph.

    Example:
        >>> from gsparse.data import random_graph
        >>> train, full = inductive(random_graph(num_nodes=50, p=0.2, seed=41213))
        >>> train.num_nodes, full.num_nodes, bool(train.train_mask.all())
        (30, 50, True)

    Sparsify ``train`` and fit the model on it, then test the model on ``full``, which
    has nodes and edges that the model has not seen. Use a split with many training
    nodes (``"60-20-20"``): the graph on the 60 training nodes of PubMed's public split
    has hardly any edges.

    Args:
        data: Graph with the masks of a split.
        include_val: Whether ``train`` includes the validation nodes, for early
            stopping.

    Returns:
        The training graph and the full graph. Tensors with one row per node are sliced,
        and tensors with one row per edge if they are named ``edge_*`` or ``e_id``.

    Shapes:
        - **train.n_id:** :math:`(n,)`, number in ``full`` of every node of ``train``

    Raises:
        ValueError: If there are no masks or no training nodes.
    """
    if "train_mask" not in data or data.train_mask.dim() != 1:
        raise ValueError("'data' must have a 1-d train_mask; choose a split first")
    inside = data.train_mask | data.val_mask if include_val else data.train_mask
    if not inside.any():
        raise ValueError("'data' must have training nodes (got an empty train_mask)")
    return InductiveGraphs(induced(data, inside), data)


def induced(data: Data, inside: Tensor) -> Data:
    """Return the subgraph induced by some nodes, with renumbered nodes.

    Node-level and edge-level tensors are sliced as by :func:`inductive`.

    Args:
        data: Full graph.
        inside: True for the nodes of the subgraph.

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
    """Slice an edge-level tensor (decided by name) or a node-level one (by length)."""
    if not isinstance(value, Tensor) or value.dim() == 0:
        return value
    if key.startswith("edge_") or key == "e_id":
        return value[keep] if len(value) == len(keep) else value
    if value.size(0) != len(inside):
        return value
    return take_rows(value, inside.nonzero().flatten())
