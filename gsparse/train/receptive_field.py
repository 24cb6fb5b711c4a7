"""Receptive field of a set of nodes: the part of a graph that determines their
output.
"""

import copy

import torch
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm
from torch_geometric.data import Data

from gsparse.data.inductive import induced
from gsparse.nn.calling import call_arguments
from gsparse.nn.evaluating import evaluating
from gsparse.nn.seeded import seeded
from gsparse.nn.stale_caches import fresh_caches
from gsparse.train.features import SparseFeatures, sparse_features

TOLERANCE = 1e-3
"""Difference of outputs relative to how much they vary between nodes."""

ROUNDING = 1e-6
"""Relative difference of outputs whose sums are blocked differently."""


def receptive_field(data: Data, mask: str, hops: int) -> Data:
    r"""Return the nodes of a mask and all nodes that reach them within a number of
    hops.

    A model with :math:`L` layers that read only the features of a neighbour, such as
    attention layers, has the same outputs and gradients for the masked nodes on their
    receptive field of :math:`L` hops as on the whole graph. GCN also reads the degrees
    of neighbours, which takes :math:`L + 1` hops. With few labels the field is small
    (PubMed, 60 training nodes, 2 hops: 14 % of the nodes). Do not use it with many
    labels, where the field is nearly the whole graph. It costs one pass over the edges
    per hop.

    Args:
        data: A graph with ``x``, ``y`` and ``edge_index``.
        mask: Name of the mask.
        hops: Number of steps against the direction of the edges.

    Returns:
        The graph on these nodes, renumbered; tensors follow as in
        :func:`gsparse.data.inductive`, and ``n_id`` holds the old node ids.

    Shapes:
        - **n_id:** :math:`(n,)`, the old id of each of the n nodes

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
    if not isinstance(data.x, SparseFeatures):
        return induced(data, inside)
    stored = copy.copy(data)
    stored.x = data.x.to_csr()
    found = induced(stored, inside)
    found.x = sparse_features(found.x, threshold=1.0)
    return found


def check_field(model: Module, data: Data, part: Data, mask: str, hops: int) -> None:
    """Refuse a part of a graph on which a model computes other outputs.

    Raises:
        ValueError: If the model reads nodes outside of the part, or reads all nodes at
            once in training.
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
    _compare(model, data, part, mask, hops)
    with torch.no_grad(), seeded(0):  # layers that start at 0 hide what they will read
        model = copy.deepcopy(model)
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.add_(0.1 * torch.randn_like(parameter))
    _compare(model, data, part, mask, hops)


def _compare(model: Module, data: Data, part: Data, mask: str, hops: int) -> None:
    with torch.no_grad(), evaluating(model):
        with fresh_caches(model):
            wanted = call_arguments(model, data).call(model)[data[mask]]
        with fresh_caches(model):
            found = call_arguments(model, part).call(model)[part[mask]]
    scale = float((wanted - wanted.mean(0)).abs().max())
    error = float((wanted - found).abs().max())
    if not error <= TOLERANCE * scale + ROUNDING * float(wanted.abs().max()):
        raise ValueError(
            f"'hops' must reach all that the model reads (got {hops}, and outputs that "
            f"differ by {error:.2g} where outputs vary by {scale:.2g}): as many as "
            "there are layers, one more for GCN, which reads the degrees of neighbours"
        )
