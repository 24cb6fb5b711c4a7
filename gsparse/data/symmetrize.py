"""Add the missing reverse edges of a graph."""

import copy
from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import is_edge_level, undirected_pairs
from gsparse.edges.pairs import direction_totals


def symmetrize(data: Data) -> Data:
    """Return a graph with the missing reverse of every edge appended.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from gsparse.data.symmetrize import symmetrize
        >>> data = Data(edge_index=torch.tensor([[0, 1, 2], [1, 0, 1]]), num_nodes=3)
        >>> symmetrize(data).edge_index.tolist()
        [[0, 1, 2, 1], [1, 0, 1, 2]]

    Edges that are listed in both directions are unchanged. A reverse edge has the
    attributes of its edge; parallel copies have one reverse each.

    Args:
        data: Graph in which some undirected edges are listed once.

    Returns:
        A shallow copy with new edges and edge-level attributes.

    Raises:
        ValueError: If an edge is listed in both directions with different weights or
            different numbers of copies.
    """
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    out = copy.copy(data)
    if pairs.num_pairs == 0:
        return out
    forward, backward = direction_totals(data.edge_index, None, pairs)
    twice = (forward > 0) & (backward > 0)
    totals = direction_totals(data.edge_index, data.get("edge_weight"), pairs)
    bad = twice & ~torch.isclose(*totals, rtol=1e-5, atol=0)
    if bad.any():
        u, v = (int(end[bad][0]) for end in (pairs.row, pairs.col))
        ahead, back = (float(total[bad][0]) for total in totals)
        raise ValueError(
            f"edges listed in both directions must have equal weights (got {ahead:g} "
            f"for ({u}, {v}) and {back:g} for ({v}, {u}), and different weights in "
            f"{int(bad.sum())} of {pairs.num_pairs} pairs); add the weights with "
            "torch_geometric.utils.to_undirected, or treat the graph as directed"
        )
    alone = ((pairs.pair >= 0) & ~twice[pairs.pair]).nonzero().view(-1)
    for key in filter(partial(is_edge_level, data._store), data.to_dict()):
        out[key] = _extend(data, key, alone)
    return out


def _extend(data: Data, key: str, alone: Tensor) -> Tensor | list[object]:
    """Append the values of the edges to reverse to the values of all edges."""
    value = data[key]
    if not isinstance(value, Tensor):
        return [*value, *(value[i] for i in alone.tolist())]
    dim = data.__cat_dim__(key, value)
    more = value.index_select(dim, alone)
    return torch.cat([value, more.flip(0) if key == "edge_index" else more], dim=dim)
