"""Minimum degree against elimination in plain Python."""

from itertools import pairwise

import numpy as np
import pytest

from gsparse.data import grid, random_graph, star
from gsparse.edges import undirected_pairs
from gsparse.kernels.resistance.elimination import fill_pattern
from gsparse.kernels.resistance.ordering import minimum_degree
from gsparse.kernels.resistance.pair_csr import pair_csr, peel_leaves


def lists_of(data):
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return pair_csr(pairs.row.numpy(), pairs.col.numpy(), data.num_nodes)


def neighbour_sets(ptr, nbr):
    return [set(nbr[a:b].tolist()) for a, b in pairwise(ptr)]


def eliminate(neighbours, order):
    """Remove nodes one after another and join their neighbours; their columns."""
    columns = []
    for u in order.tolist():
        columns.append(neighbours[u])
        for v in neighbours[u]:
            neighbours[v] |= neighbours[u]
            neighbours[v] -= {u, v}
    return columns


GRAPHS = {
    "sparse": random_graph(num_nodes=80, p=0.05, seed=52391),
    "dense": random_graph(num_nodes=80, p=0.4, seed=52391),
    "grid": grid(12, 12),
    "hub": star(num_leaves=400),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_degrees_and_pattern_are_those_of_elimination(name):
    ptr, nbr, _ = lists_of(GRAPHS[name])
    order, degree = minimum_degree(ptr, nbr, len(ptr), 1.0, np.inf)
    columns = eliminate(neighbour_sets(ptr, nbr), order)
    assert degree.tolist() == [len(column) for column in columns]
    place = np.full(len(ptr) - 1, -1, np.int32)
    place[order] = np.arange(len(order))
    rest = np.flatnonzero(place < 0)
    place[rest] = np.arange(len(order), len(place))
    pattern = fill_pattern(ptr, nbr, order, place, degree)
    for k, column in enumerate(columns):
        rows = pattern.rows[pattern.ptr[k] : pattern.ptr[k + 1]].tolist()
        assert rows == sorted(place[v] for v in column)


@pytest.mark.parametrize("name", ["sparse", "dense", "grid"])
def test_order_is_close_to_minimum_degree(name):
    """The bound on the degree is nearly tight: total fill within a tenth of exact."""
    ptr, nbr, _ = lists_of(GRAPHS[name])
    _, degree = minimum_degree(ptr, nbr, len(ptr), 1.0, np.inf)
    neighbours = neighbour_sets(ptr, nbr)
    left, greedy = set(range(len(ptr) - 1)), 0
    while left:
        u = min(left, key=lambda v: (len(neighbours[v]), v))
        greedy += len(neighbours[u])
        eliminate(neighbours, np.array([u]))
        left.remove(u)
    assert degree.sum() <= 1.1 * greedy


@pytest.mark.parametrize("limit", [0, 1, 3, 6])
def test_limit(limit):
    ptr, nbr, _ = lists_of(GRAPHS["sparse"])
    order, degree = minimum_degree(ptr, nbr, limit, 1.0, np.inf)
    assert degree.max(initial=0) <= limit
    neighbours = neighbour_sets(ptr, nbr)
    eliminate(neighbours, order)
    left = set(range(len(ptr) - 1)) - set(order.tolist())
    assert all(len(neighbours[u]) > limit for u in left)


def test_leaves_are_peeled_down_to_the_core():
    """What is left is the 2-core."""
    data = random_graph(num_nodes=200, p=0.01, seed=38327)
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    row, col = pairs.row.numpy(), pairs.col.numpy()
    neighbours = [set() for _ in range(200)]
    for u, v in zip(row.tolist(), col.tolist(), strict=True):
        neighbours[u].add(v)
        neighbours[v].add(u)
    while any(len(n) == 1 for n in neighbours):
        leaf = next(u for u, n in enumerate(neighbours) if len(n) == 1)
        neighbours[neighbours[leaf].pop()].remove(leaf)
    expected = [v not in neighbours[u] for u, v in zip(row, col, strict=True)]
    assert peel_leaves(row, col, 200).tolist() == expected
