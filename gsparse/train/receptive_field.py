"""The part of a graph that decides what a model says of some nodes."""

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch_geometric.data import Data

from gsparse.data.features import take_rows
from gsparse.train.features import SparseFeatures, sparse_features

TOLERANCE = 1e-3  # of outputs computed on a part; sums run over other blocks there


def receptive_field(data: Data, mask: str, hops: int) -> Data:
    r"""Cuts out the nodes of a mask and all that reaches them within so many steps.

    A model of :math:`L` layers of attention, or of other layers that read no more of a
    neighbour than its features, says the same of the masked nodes on their field of
    :math:`L` hops as on the whole graph, and has the same gradients. GCN reads degrees
    of neighbours as well, which takes :math:`L + 1`. With few labels the field is small
    (PubMed, 60 training nodes, 2 hops: 14 % of the nodes); with many it is the graph.
    Costs one pass over the edges a hop.

    Args:
        data: A graph with ``x``, ``y`` and ``edge_index``.
        mask: Name of the mask of the nodes that are asked about.
        hops: Number of steps against the direction of the edges.

    Returns:
        The graph on these nodes, renumbered, with ``x``, ``y``, the mask,
        ``edge_index`` and, where there is one, ``edge_weight``; ``n_id`` holds the old
        numbers.

    Shapes:
        - **n_id:** old number of each node

    Example:
        >>> import torch
        >>> from gsparse.data import path
        >>> from gsparse.train import receptive_field
        >>> data = path(9)
        >>> data.x, data.y = torch.eye(9), torch.arange(9)
        >>> data.asked = data.y == 8
        >>> receptive_field(data, "asked", hops=2).n_id
        tensor([6, 7, 8])
    """
    if hops < 1:
        raise ValueError(f"'hops' must be at least 1 (got {hops})")
    source, target = data.edge_index
    inside = data[mask].clone()
    for _ in range(hops):
        inside[source[inside[target]]] = True
    nodes = inside.nonzero().view(-1)
    new_number = torch.full_like(inside, -1, dtype=torch.long)
    new_number[nodes] = torch.arange(nodes.numel(), device=nodes.device)
    keep = inside[source] & inside[target]
    found = Data(
        x=_rows(data.x, nodes),
        y=data.y[nodes],
        edge_index=new_number[data.edge_index[:, keep]],
        n_id=nodes,
    )
    found[mask] = data[mask][nodes]
    if data.get("edge_weight") is not None:
        found.edge_weight = data.edge_weight[keep]
    return found


def check_field(model: Module, data: Data, part: Data, mask: str, hops: int) -> None:
    """Refuse a part of a graph on which a model says something else than on all of it.

    Raises:
        ValueError: The model reads further than the part reaches, or reads all nodes at
            once while it is trained.
    """
    whole_graph = [
        type(it).__name__
        for it in model.modules()
        if isinstance(it, _BatchNorm) or callable(getattr(it, "penalty", None))
    ]
    if whole_graph:
        raise ValueError(
            f"'hops' must be None for a model that reads all nodes or edges at once "
            f"(got {hops} with {', '.join(sorted(set(whole_graph)))})"
        )
    was_training = model.training
    model.eval()
    with torch.no_grad():
        wanted = model(data.x, data.edge_index, data.get("edge_weight"))[data[mask]]
        found = model(part.x, part.edge_index, part.get("edge_weight"))[part[mask]]
    model.train(was_training)
    error = float((wanted - found).abs().max())
    if not error <= TOLERANCE * (1 + float(wanted.abs().max())):
        raise ValueError(
            f"'hops' must reach all that the model reads (got {hops}, and outputs that "
            f"differ by {error:.2g}): as many as there are layers, one more for GCN, "
            "which reads the degrees of neighbours"
        )


def _rows(x: Tensor, nodes: Tensor) -> Tensor:
    if isinstance(x, SparseFeatures):
        return sparse_features(take_rows(x.to_csr(), nodes), threshold=1.0)
    return take_rows(x, nodes)
