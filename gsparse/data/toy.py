"""Small graphs whose properties are known, for examples and tests."""

from collections.abc import Iterable

import torch
from torch_geometric.data import Data


def _undirected(pairs: Iterable[tuple[int, int]], num_nodes: int) -> Data:
    """Both directions of ``pairs``, sorted by row, then column."""
    pairs = list(pairs)
    both = sorted(pairs + [(v, u) for u, v in pairs])
    edge_index = torch.tensor(both, dtype=torch.long).reshape(-1, 2).t().contiguous()
    return Data(edge_index=edge_index, num_nodes=num_nodes)


def _check_size(name: str, value: int, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"'{name}' must be an int (got {type(value).__name__})")
    if value < minimum:
        raise ValueError(f"'{name}' must be at least {minimum} (got {value})")


def _clique(first: int, size: int) -> list[tuple[int, int]]:
    nodes = range(first, first + size)
    return [(u, v) for u in nodes for v in nodes if u < v]


def star(num_leaves: int) -> Data:
    """A hub, node 0, with ``num_leaves`` leaves around it.

    Every edge is a bridge: all resistances are 1.

    Example:
        >>> star(num_leaves=3).edge_index
        tensor([[0, 0, 0, 1, 2, 3],
                [1, 2, 3, 0, 0, 0]])
    """
    _check_size("num_leaves", num_leaves, 0)
    return _undirected(((0, leaf) for leaf in range(1, num_leaves + 1)), num_leaves + 1)


def path(num_nodes: int) -> Data:
    """Nodes in a row; the resistance between ``u`` and ``v`` is ``|u - v|``.

    Example:
        >>> path(num_nodes=3).edge_index
        tensor([[0, 1, 1, 2],
                [1, 0, 2, 1]])
    """
    _check_size("num_nodes", num_nodes, 1)
    return _undirected(((u, u + 1) for u in range(num_nodes - 1)), num_nodes)


def cycle(num_nodes: int) -> Data:
    """A ring; the resistance of every edge is ``1 - 1 / num_nodes``.

    Example:
        >>> cycle(num_nodes=5)
        Data(edge_index=[2, 10], num_nodes=5)
    """
    _check_size("num_nodes", num_nodes, 3)
    return _undirected(((u, (u + 1) % num_nodes) for u in range(num_nodes)), num_nodes)


def complete(num_nodes: int) -> Data:
    """All pairs; the resistance of every edge is ``2 / num_nodes``.

    Example:
        >>> complete(num_nodes=4)
        Data(edge_index=[2, 12], num_nodes=4)
    """
    _check_size("num_nodes", num_nodes, 1)
    return _undirected(_clique(0, num_nodes), num_nodes)


def barbell(size: int) -> Data:
    """Two cliques of ``size`` nodes, joined by the bridge (size - 1, size).

    Example:
        >>> barbell(size=3)
        Data(edge_index=[2, 14], num_nodes=6)
    """
    _check_size("size", size, 2)
    pairs = [*_clique(0, size), *_clique(size, size), (size - 1, size)]
    return _undirected(pairs, 2 * size)


def lollipop(size: int, tail: int) -> Data:
    """A clique of ``size`` nodes with a path of ``tail`` nodes hanging from it.

    A random walk that starts in the clique needs of the order of ``size**2 * tail``
    steps to find the end of the tail: hard for everything that walks.

    Example:
        >>> lollipop(size=4, tail=2)
        Data(edge_index=[2, 16], num_nodes=6)
    """
    _check_size("size", size, 2)
    _check_size("tail", tail, 1)
    hanging = [(u, u + 1) for u in range(size - 1, size + tail - 1)]
    return _undirected([*_clique(0, size), *hanging], size + tail)


def grid(height: int, width: int) -> Data:
    """A ``height`` by ``width`` lattice; node ``(i, j)`` is ``i * width + j``.

    Example:
        >>> grid(height=2, width=3)
        Data(edge_index=[2, 14], num_nodes=6)
    """
    _check_size("height", height, 1)
    _check_size("width", width, 1)
    nodes = [(i, j) for i in range(height) for j in range(width)]
    across = [(i * width + j, i * width + j + 1) for i, j in nodes if j + 1 < width]
    down = [(i * width + j, (i + 1) * width + j) for i, j in nodes if i + 1 < height]
    return _undirected(across + down, height * width)


def house() -> Data:
    """A square (0, 1, 2, 3) with a roof (node 4 on 2 and 3).

    Example:
        >>> house()
        Data(edge_index=[2, 12], num_nodes=5)
    """
    return _undirected([(0, 1), (1, 2), (2, 3), (3, 0), (2, 4), (3, 4)], 5)


# Neighbours with a larger number, node by node (numbering from 0).
_KARATE = (
    (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31),
    (2, 3, 7, 13, 17, 19, 21, 30),
    (3, 7, 8, 9, 13, 27, 28, 32),
    (7, 12, 13),
    (6, 10),
    (6, 10, 16),
    (16,),
    (),
    (30, 32, 33),
    (33,),
    *((),) * 3,
    (33,),
    *((32, 33),) * 2,
    *((),) * 2,
    (32, 33),
    (33,),
    (32, 33),
    (),
    (32, 33),
    (25, 27, 29, 32, 33),
    (25, 27, 31),
    (31,),
    (29, 33),
    (33,),
    (31, 33),
    (32, 33),
    (32, 33),
    (32, 33),
    (33,),
)
_OFFICER = {9, 14, 15, 18, 20, *range(22, 34)}


def karate() -> Data:
    """Zachary's karate club: 34 members, 78 friendships, two sides in a quarrel.

    From W. W. Zachary, *An Information Flow Model for Conflict and Fission in Small
    Groups* (1977). ``y`` is 0 for the side of the instructor (node 0), 1 for the side
    of the officer (node 33).

    Example:
        >>> karate()
        Data(edge_index=[2, 156], num_nodes=34, y=[34])
    """
    data = _undirected(
        ((u, v) for u, others in enumerate(_KARATE) for v in others), num_nodes=34
    )
    data.y = torch.tensor([int(u in _OFFICER) for u in range(34)])
    return data
