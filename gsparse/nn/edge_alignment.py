"""Align edge weights with the edges of a layer when a model reorders its edges."""

from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.kernels.tensor_cache import TensorCache


class _Alignment(NamedTuple):
    """Positions of a layer's entries in the graph, for every possible matching."""

    readings: tuple[Tensor, ...]
    problem: str = ""


_ALIGNMENTS: TensorCache[_Alignment | None] = TensorCache(max_entries=16)


def align_weights(
    weight: Tensor, given: Tensor, edge_index: Tensor, layer: str
) -> Tensor:
    """Return the weights of ``edge_index`` in the order of ``given``.

    A model may pass the edges to its layers in another order, or reversed. Entries are
    matched by their end points; if all are reversed in place (``flip(0)``) the
    positions stay. In an undirected graph, reordering and reversing give the same
    entries, so both must lead to the same weights. The entries are compared once for
    each pair of tensors.

    Args:
        weight: One weight per entry of ``edge_index``.
        given: Edges that the layer was called with.
        edge_index: Edges that the weights belong to.
        layer: Name of the layer, for the error message.

    Shapes:
        - **weight**, **output:** :math:`(E,)`
        - **given**, **edge_index:** :math:`(2, E)`

    Raises:
        ValueError: If the edges differ, or cannot be matched.

    Example:
        >>> import torch
        >>> from gsparse.nn.edge_alignment import align_weights
        >>> edge_index = torch.tensor([[0, 2, 1], [1, 1, 0]])
        >>> moved = edge_index[:, [2, 0, 1]]
        >>> align_weights(torch.tensor([0.1, 0.2, 0.3]), moved, edge_index, "conv")
        tensor([0.3000, 0.1000, 0.2000])
    """
    if given is edge_index:
        return weight
    found = _ALIGNMENTS.get(
        (given, edge_index), None, lambda: _compare(given, edge_index)
    )
    if found is None:
        return weight
    problem = found.problem
    if not problem:
        aligned = [weight.index_select(0, positions) for positions in found.readings]
        if all(torch.equal(aligned[0], other) for other in aligned[1:]):
            return aligned[0]
        problem = (
            "both directions of an edge have different weights, and reversed edges "
            "cannot be told from sorted ones"
        )
    raise ValueError(
        f"layer {layer!r} was called with another graph than the model: {problem}; "
        "sort, coalesce, add or drop edges before the model is called"
    )


def _compare(given: Tensor, edge_index: Tensor) -> _Alignment | None:
    """Return how the entries correspond; None if both are the same in the same
    order.
    """
    if given.shape != edge_index.shape:
        return _Alignment(
            (), f"edge_index {list(given.shape)}, expected {list(edge_index.shape)}"
        )
    given, edge_index = (e.as_subclass(Tensor).long() for e in (given, edge_index))
    if given.equal(edge_index):
        return None
    reverse = edge_index.flip(0)
    found = [_positions(given, edges) for edges in (edge_index, reverse)]
    if given.equal(reverse):
        found[1] = torch.arange(given.size(1), device=given.device)
    readings = tuple(positions for positions in found if positions is not None)
    if not readings:
        return _Alignment((), "it has other edges")
    unique = torch.unique(edge_index, dim=1).size(1) == edge_index.size(1)
    if not (unique or given.equal(reverse)):
        return _Alignment((), "its edges are in another order and some are parallel")
    return _Alignment(readings)


def _positions(given: Tensor, edges: Tensor) -> Tensor | None:
    """Return the position of each given entry in ``edges``; None if the entries
    differ.
    """
    width = int(torch.maximum(given.max(), edges.max())) + 1
    one, two = given[0] * width + given[1], edges[0] * width + edges[1]
    one, order = one.sort(stable=True)
    two, source = two.sort(stable=True)
    if not one.equal(two):
        return None
    return torch.empty_like(source).index_copy(0, order, source)
