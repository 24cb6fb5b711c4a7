"""Small graphs with known properties, for examples and tests."""

import networkx as nx
import torch
from torch_geometric.data import Data


def _undirected(graph: nx.Graph) -> Data:
    """List both directions of all edges, sorted by row and column."""
    both = sorted(graph.to_directed().edges)
    edge_index = torch.tensor(both, dtype=torch.long).reshape(-1, 2).t().contiguous()
    return Data(edge_index=edge_index, num_nodes=len(graph))


def _check_size(name: str, value: int, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"'{name}' must be an int (got {type(value).__name__})")
    if value < minimum:
        raise ValueError(f"'{name}' must be at least {minimum} (got {value})")


def star(num_leaves: int) -> Data:
    """Build a star with hub 0.

    Every edge is a bridge, so all effective resistances are 1.

    Example:
        >>> star(num_leaves=3).edge_index
        tensor([[0, 0, 0, 1, 2, 3],
                [1, 2, 3, 0, 0, 0]])
    """
    _check_size("num_leaves", num_leaves, 0)
    return _undirected(nx.star_graph(num_leaves))


def path(num_nodes: int) -> Data:
    """Build a path.

    The effective resistance between ``u`` and ``v`` is ``|u - v|``.

    Example:
        >>> path(num_nodes=3).edge_index
        tensor([[0, 1, 1, 2],
                [1, 0, 2, 1]])
    """
    _check_size("num_nodes", num_nodes, 1)
    return _undirected(nx.path_graph(num_nodes))


def cycle(num_nodes: int) -> Data:
    """Build a cycle.

    The effective resistance of every edge is ``1 - 1 / num_nodes``.

    Example:
        >>> cycle(num_nodes=5)
        Data(edge_index=[2, 10], num_nodes=5)
    """
    _check_size("num_nodes", num_nodes, 3)
    return _undirected(nx.cycle_graph(num_nodes))


def complete(num_nodes: int) -> Data:
    """Build a complete graph.

    The effective resistance of every edge is ``2 / num_nodes``.

    Example:
        >>> complete(num_nodes=4)
        Data(edge_index=[2, 12], num_nodes=4)
    """
    _check_size("num_nodes", num_nodes, 1)
    return _undirected(nx.complete_graph(num_nodes))


def barbell(size: int) -> Data:
    """Build two cliques of ``size`` nodes, joined by the bridge (size - 1, size).

    Example:
        >>> barbell(size=3)
        Data(edge_index=[2, 14], num_nodes=6)
    """
    _check_size("size", size, 2)
    return _undirected(nx.barbell_graph(size, 0))


def lollipop(size: int, tail: int) -> Data:
    """Build a clique of ``size`` nodes with a path of ``tail`` nodes attached.

    A random walk from the clique needs about ``size**2 * tail`` steps to reach the end
    of the path, which makes this a worst case for methods based on random walks.

    Example:
        >>> lollipop(size=4, tail=2)
        Data(edge_index=[2, 16], num_nodes=6)
    """
    _check_size("size", size, 2)
    _check_size("tail", tail, 1)
    return _undirected(nx.lollipop_graph(size, tail))


def grid(height: int, width: int) -> Data:
    """Build a ``height`` by ``width`` grid; node ``(i, j)`` is ``i * width + j``.

    Example:
        >>> grid(height=2, width=3)
        Data(edge_index=[2, 14], num_nodes=6)
    """
    _check_size("height", height, 1)
    _check_size("width", width, 1)
    lattice = nx.grid_2d_graph(height, width)
    return _undirected(nx.convert_node_labels_to_integers(lattice, ordering="sorted"))


def house() -> Data:
    """Build a square (0, 1, 2, 3) with a roof (node 4, connected to 2 and 3).

    Example:
        >>> house()
        Data(edge_index=[2, 12], num_nodes=5)
    """
    return _undirected(nx.Graph([(0, 1), (1, 2), (2, 3), (3, 0), (2, 4), (3, 4)]))


def karate() -> Data:
    """Build Zachary's karate club: 34 members, 78 friendships and two factions.

    From W. W. Zachary, *An Information Flow Model for Conflict and Fission in Small
    Groups* (1977). ``y`` is 0 for the faction of the instructor (node 0) and 1 for the
    faction of the officer (node 33).

    Example:
        >>> karate()
        Data(edge_index=[2, 156], num_nodes=34, y=[34])
    """
    graph = nx.karate_club_graph()
    data = _undirected(graph)
    data.y = torch.tensor([int(c == "Officer") for _, c in graph.nodes(data="club")])
    return data
