"""Number the undirected pairs of a graph; both directions of an edge share a number."""

from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.edges.check import check_edge_index, check_edge_weight


class Pairs(NamedTuple):
    """Undirected edges of a graph, sorted by ``(row, col)``.

    Sparsifiers decide per pair, so their results do not depend on the order of the
    entries of ``edge_index``.

    Shapes:
        - **row**, **col:** :math:`(M,)`, ``row < col``, no duplicates
        - **pair:** :math:`(E,)`, the pair of each entry, -1 for self-loops
    """

    row: Tensor
    col: Tensor
    pair: Tensor
    num_nodes: int

    @property
    def num_pairs(self) -> int:
        """Number of undirected edges :math:`M`, without self-loops."""
        return self.row.numel()


def undirected_pairs(edge_index: Tensor, num_nodes: int | None = None) -> Pairs:
    r"""Number the undirected pairs of a graph.

    Example:
        >>> import torch
        >>> from gsparse.edges import undirected_pairs
        >>> pairs = undirected_pairs(torch.tensor([[2, 1, 0, 1], [1, 0, 1, 1]]))
        >>> pairs.row, pairs.col, pairs.pair
        (tensor([0, 1]), tensor([1, 2]), tensor([ 1,  0,  0, -1]))

    Both directions and all parallel copies of an edge get the same number. In a
    directed graph, an entry without its reverse is a pair by itself. Costs a sort of
    the entries that are not in canonical order; in a sorted graph, those are the
    reverse directions.

    Args:
        edge_index: Directed entries.
        num_nodes: Number of nodes :math:`N`.

    Returns:
        The pairs in canonical order.

    Shapes:
        - **edge_index:** :math:`(2, E)`
    """
    num_nodes = check_edge_index(edge_index, num_nodes)
    row, col = edge_index.as_subclass(Tensor).long()
    forward, backward = row < col, row > col
    ahead = _ordered_keys(row[forward], col[forward], num_nodes)
    back = _ordered_keys(col[backward], row[backward], num_nodes)
    pairs = _unique(ahead.key)
    if not _all_in(back.key, pairs):  # directed: some pairs have no forward entry
        pairs = torch.cat([pairs, back.key]).unique()
    pair = torch.full_like(row, -1)
    pair.masked_scatter_(forward, _positions(pairs, ahead))
    del ahead, forward
    pair.masked_scatter_(backward, _positions(pairs, back))
    del back, backward
    first = torch.div(pairs, max(num_nodes, 1), rounding_mode="floor")
    return Pairs(first, pairs.sub_(first * num_nodes), pair, num_nodes)


class _Keys(NamedTuple):
    """Sorted keys of the entries and the permutation that sorted them."""

    key: Tensor
    order: Tensor | None  # None if the entries were sorted


def _ordered_keys(small: Tensor, large: Tensor, num_nodes: int) -> _Keys:
    """Return the sorted keys ``small * N + large``; overwrites its arguments."""
    key = small.mul_(num_nodes).add_(large)
    if (key[1:] >= key[:-1]).all():
        return _Keys(key, None)
    return _Keys(*key.sort())


def _unique(key: Tensor) -> Tensor:
    return key if (key[1:] > key[:-1]).all() else key.unique_consecutive()


def _all_in(key: Tensor, pairs: Tensor) -> bool:
    if key.numel() == 0 or key.equal(pairs):
        return True
    if pairs.numel() == 0:
        return False
    place = torch.searchsorted(pairs, key).clamp_(max=pairs.numel() - 1)
    return bool((pairs[place] == key).all())


def _positions(pairs: Tensor, keys: _Keys) -> Tensor:
    """Return the position of every entry among the pairs.

    The keys are looked up in ascending order, because a binary search with random
    memory access costs five times as much as the sort.
    """
    if keys.key.equal(pairs):
        place = torch.arange(pairs.numel(), device=pairs.device)
    else:
        place = torch.searchsorted(pairs, keys.key)
    if keys.order is None:
        return place
    return torch.empty_like(place).scatter_(0, keys.order, place)


def spread(pairs: Pairs, values: Tensor, fill: float = 0) -> Tensor:
    """Copy the value of each pair to its entries; self-loops get ``fill``.

    Shapes:
        - **values:** :math:`(M,)`
        - **output:** :math:`(E,)`
    """
    if pairs.num_pairs == 0:
        return values.new_full(pairs.pair.shape, fill)
    loop = pairs.pair < 0
    if not loop.any():
        return values[pairs.pair]
    return values[pairs.pair.clamp(min=0)].masked_fill_(loop, fill)


def gather_pairs(pairs: Pairs, values: Tensor) -> Tensor:
    """Return one value per pair from values that are equal on all entries of a pair.

    Shapes:
        - **values:** :math:`(E,)`
        - **output:** :math:`(M,)`

    Raises:
        ValueError: If the entries of a pair disagree.
    """
    if values.dim() != 1 or values.numel() != pairs.pair.numel():
        raise ValueError(
            f"'values' must have one value per entry, shape [{pairs.pair.numel()}] "
            f"(got {list(values.shape)})"
        )
    real = pairs.pair >= 0
    out = values.new_empty(pairs.num_pairs)
    out[pairs.pair[real]] = values[real]
    if not out[pairs.pair[real]].equal(values[real]):
        raise ValueError("both directions of an edge must have the same value")
    return out


def pair_weight(
    edge_index: Tensor,
    edge_weight: Tensor | None,
    pairs: Pairs,
    *,
    name: str = "this method",
) -> Tensor | None:
    r"""Return the weight of each pair of an undirected graph; parallel copies add up.

    Args:
        edge_index: Directed entries, both directions listed.
        edge_weight: Weight of each entry. ``None`` counts the parallel copies.
        pairs: :func:`undirected_pairs` of the same ``edge_index``.
        name: Name of the method in the message that refuses a directed graph.

    Returns:
        One weight per pair in float64, or ``None`` if all weights are 1.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
        - **output:** :math:`(M,)`

    Raises:
        ValueError: If the two directions of an edge differ.
    """
    check_edge_weight(edge_weight, pairs.pair.numel())
    forward, backward = direction_totals(edge_index, edge_weight, pairs)
    bad = forward != backward
    if edge_weight is not None:
        bad = ~torch.isclose(forward, backward, rtol=1e-5, atol=0)
    if bad.any():
        u, v = (int(end[bad][0]) for end in (pairs.row, pairs.col))
        what = "edges" if edge_weight is None else "edge weights"
        raise ValueError(
            f"{name} needs an undirected graph, but the {what} ({u}, {v}) and "
            f"({v}, {u}) differ, as in {int(bad.sum())} of {pairs.num_pairs} pairs; "
            "apply torch_geometric.transforms.ToUndirected() first (on the command "
            "line: --symmetrize)"
        )
    if edge_weight is None and (forward == 1).all():
        return None
    return (forward + backward) / 2


def direction_totals(
    edge_index: Tensor, edge_weight: Tensor | None, pairs: Pairs
) -> tuple[Tensor, Tensor]:
    """Sum the weights of each pair in both directions; without weights, count entries.

    Shapes:
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
        - **outputs:** :math:`(M,)`, float64
    """
    row, col = edge_index.as_subclass(Tensor)
    return _total(pairs, row < col, edge_weight), _total(pairs, row > col, edge_weight)


def _total(pairs: Pairs, side: Tensor, edge_weight: Tensor | None) -> Tensor:

    weight = None if edge_weight is None else edge_weight.detach().double()[side]
    pair = pairs.pair[side]
    if weight is not None and pair.numel() > pairs.num_pairs:
        order = weight.argsort()  # the order of the entries must not change the sum
        pair, weight = pair[order], weight[order]
    return torch.bincount(pair, weight, minlength=pairs.num_pairs).double()
