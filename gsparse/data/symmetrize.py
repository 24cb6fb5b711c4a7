"""Both directions of edges that are listed once."""

import copy
from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.edges import is_edge_level, undirected_pairs


def symmetrize(data: Data) -> Data:
    """Return the graph with the missing reverse of every edge added at the end.

    Edges that are listed in both directions stay as they are. A reverse has the
    attributes of its edge; parallel copies have one reverse each.

    Args:
        data: A graph that names each undirected edge once.

    Raises:
        ValueError: If an edge is listed in both directions, but with different
            weights, or not as often.

    Example:
        >>> import torch
        >>> from torch_geometric.data import Data
        >>> from gsparse.data.symmetrize import symmetrize
        >>> data = Data(edge_index=torch.tensor([[0, 1, 2], [1, 0, 1]]), num_nodes=3)
        >>> symmetrize(data).edge_index.tolist()
        [[0, 1, 2, 1], [1, 0, 1, 2]]
    """
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    out = copy.copy(data)
    if pairs.num_pairs == 0:
        return out
    row, col = data.edge_index
    weight = data.get("edge_weight")
    weight = torch.ones(row.numel()) if weight is None else weight.detach()
    sides = (row < col, row > col)
    times = [_total(pairs.pair[side], None, pairs.num_pairs) for side in sides]
    totals = [_total(pairs.pair[s], weight[s], pairs.num_pairs) for s in sides]
    twice = (times[0] > 0) & (times[1] > 0)
    bad = twice & ~torch.isclose(totals[0], totals[1], rtol=1e-5, atol=0)
    if bad.any():
        u, v = (int(end[bad][0]) for end in (pairs.row, pairs.col))
        ahead, back = (float(total[bad][0]) for total in totals)
        raise ValueError(
            f"edges listed in both directions must have equal weights (got {ahead:g} "
            f"for ({u}, {v}) and {back:g} for ({v}, {u}), and such in {int(bad.sum())} "
            f"of {pairs.num_pairs} pairs); add them with "
            "torch_geometric.utils.to_undirected, or treat the graph as directed"
        )
    alone = ((pairs.pair >= 0) & ~twice[pairs.pair]).nonzero().view(-1)
    for key in filter(partial(is_edge_level, data._store), data.to_dict()):
        out[key] = _extend(data, key, alone)
    return out


def _total(pair: Tensor, weight: Tensor | None, num_pairs: int) -> Tensor:
    weight = None if weight is None else weight.double()
    total = torch.bincount(pair, weight, minlength=num_pairs)
    return total.double()  # of no pairs it would be a count, with weights too


def _extend(data: Data, key: str, alone: Tensor) -> Tensor | list[object]:
    """The values of all edges, and once more those of the edges to reverse."""
    value = data[key]
    if not isinstance(value, Tensor):
        return [*value, *(value[i] for i in alone.tolist())]
    dim = data.__cat_dim__(key, value)
    more = value.index_select(dim, alone)
    return torch.cat([value, more.flip(0) if key == "edge_index" else more], dim=dim)
