"""Graphs with planted bottlenecks: dense parts that are joined by few edges."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import LargestConnectedComponents

from gsparse.data import grid, planted_partition, random_graph
from gsparse.data.erdos_renyi import both_directions
from gsparse.data.random_stream import RandomStream
from gsparse.edges import apply_edge_mask, pair_uniform, spread, undirected_pairs

_BRIDGES, _SATELLITES, _FEATURES, _PLACES = range(11, 15)


def clique_ring(num_cliques: int = 30, size: int = 100) -> Data:
    """Return a ring of cliques; one edge joins each to the next.

    Args:
        num_cliques: Number of cliques, at least 3.
        size: Nodes of each, at least 2.

    Returns:
        The graph, with the clique of each node as ``part``.
    """
    begin = size * np.arange(num_cliques)
    row, col = cliques(num_cliques, size)
    # From the last node of a clique to the first of the next.
    row = np.concatenate([row, begin + size - 1])
    col = np.concatenate([col, np.roll(begin, -1)])
    return graph_of(row, col, np.repeat(np.arange(num_cliques), size))


def joined_random_graphs(
    size: int = 400, degree: float = 200, num_bridges: int = 4, seed: int = 80051
) -> Data:
    """Return two random graphs joined by a few edges between random nodes.

    Args:
        size: Nodes of each half.
        degree: Mean degree inside of a half.
        num_bridges: Edges between the halves, at most ``size``.
        seed: Same seed, same graph.

    Returns:
        The graph, with the half of each node as ``part``.
    """
    rows, cols = [], []
    for half in range(2):
        data = random_graph(size, degree / (size - 1), seed + half)
        pairs = undirected_pairs(data.edge_index, size)
        rows.append(pairs.row.numpy() + half * size)
        cols.append(pairs.col.numpy() + half * size)
    for half, ends in enumerate((rows, cols)):
        stream = RandomStream(seed + half, _BRIDGES)
        ends.append(stream.permutation(size)[:num_bridges] + half * size)
    part = np.repeat(np.arange(2), size)
    return graph_of(np.concatenate(rows), np.concatenate(cols), part)


def road_grid(
    height: int = 30, width: int = 100, removed: float = 0.1, seed: int = 80071
) -> Data:
    """Return the largest component of a grid without some of its edges.

    Args:
        height: Nodes of a column.
        width: Nodes of a row.
        removed: Share of the edges that are taken out at random.
        seed: Same seed, same graph.

    Returns:
        The graph, without ``part``: its bottlenecks are many, and nobody planted them.
    """
    data = grid(height, width)
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    keep = pair_uniform(pairs, seed) >= removed
    data = LargestConnectedComponents()(apply_edge_mask(data, spread(pairs, keep)))
    return Data(edge_index=data.edge_index, num_nodes=data.num_nodes)


def two_communities(num_nodes: int = 2000, seed: int = 80107) -> Data:
    """Return a planted partition of mean degree 120, with few edges between classes.

    Unlike in :func:`joined_random_graphs`, degrees follow a power law.

    Args:
        num_nodes: Number of nodes.
        seed: Same seed, same graph.

    Returns:
        The graph, with the class of each node as ``part`` and as ``y``.
    """
    homophily = 1 - 6 / (60 * num_nodes)
    data = planted_partition(num_nodes, 2, degree=120.0, homophily=homophily, seed=seed)
    data.part = data.y
    return data


def satellite_cliques(
    num_classes: int = 4,
    satellites: int = 24,
    size: int = 30,
    num_features: int = 4,
    signal: float = 10.0,
    seed: int = 0,
) -> Data:
    """Return a task whose labels depend on features beyond a bottleneck.

    Every class has one informative clique, whose nodes have the class in their
    features, and ``satellites`` cliques of the same class whose features are noise.
    One edge joins each satellite to its informative clique. Satellites are split
    50/25/25 as a whole, so that a label cannot be learned from the neighbours' noise,
    and informative nodes are in no mask. With the default sizes a GAT on all edges
    learns the task; with weaker features it does not.

    Args:
        num_classes: Number of classes.
        satellites: Cliques without information in each class, at least 4.
        size: Nodes of a clique.
        num_features: Columns of ``x``, at least ``num_classes``.
        signal: What an informative node has more in the column of its class; the noise
            is standard normal.
        seed: Same seed, same noise, bridges and split.

    Returns:
        The graph, with ``x``, ``y``, the three masks, and the clique of each node as
        ``part``. The first ``num_classes`` cliques are the informative ones.
    """
    count = num_classes * (1 + satellites)
    row, col = cliques(count, size)
    label = np.arange(count) % num_classes
    place = RandomStream(seed, _PLACES).integers(size, 2 * count)
    far = np.arange(num_classes, count)
    row = np.concatenate([row, far * size + place[far]])
    col = np.concatenate([col, label[far] * size + place[count + far]])
    part = np.repeat(np.arange(count), size)
    data = graph_of(row, col, part)
    data.y = torch.from_numpy(np.repeat(label, size))
    noise = RandomStream(seed, _FEATURES).normal(count * size * num_features)
    x = noise.reshape(count * size, num_features).astype(np.float32)
    informative = np.flatnonzero(part < num_classes)
    x[informative, part[informative]] += signal
    data.x = torch.from_numpy(x)
    # Within each class a random half of the satellites, and two quarters.
    turn = np.empty(count, dtype=np.int64)
    turn[:num_classes] = -1
    stream = RandomStream(seed, _SATELLITES)
    for k in range(num_classes):
        turn[far[label[far] == k]] = stream.permutation(satellites)
    quarter = np.where(turn < 0, -1, 4 * turn // satellites)[part]
    masks = {"train_mask": (0, 1), "val_mask": (2,), "test_mask": (3,)}
    for name, quarters in masks.items():
        data[name] = torch.from_numpy(np.isin(quarter, quarters))
    return data


PLANTED: dict[str, Callable[[], Data]] = {
    "clique_ring": clique_ring,
    "joined_random_graphs": joined_random_graphs,
    "road_grid": road_grid,
    "two_communities": two_communities,
}


def cliques(num_cliques: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs of several cliques, one after the other."""
    inside = np.array([*combinations(range(size), 2)]).reshape(-1, 2).T
    row, col = (inside[:, None] + size * np.arange(num_cliques)[:, None]).reshape(2, -1)
    return row, col


def graph_of(
    row: NDArray[np.int64], col: NDArray[np.int64], part: NDArray[np.int64]
) -> Data:
    """Return the graph of these pairs, with the part of each node."""
    edge_index = both_directions(row, col, part.size)
    return Data(edge_index=edge_index, num_nodes=part.size, part=torch.from_numpy(part))


def between_parts(data: Data) -> Tensor:
    """Return a mask of the entries of ``edge_index`` that join two parts, ``[E]``."""
    row, col = data.edge_index
    return data.part[row] != data.part[col]
