"""LocalDegree against its definition."""

from math import log

import pytest
import torch
from torch_geometric.utils import degree as degrees

from gsparse.data import random_graph, star
from gsparse.edges import undirected_pairs
from gsparse.transforms import LocalDegree


def neighbours_of(data):
    found = {u: set() for u in range(data.num_nodes)}
    for u, v in data.edge_index.t().tolist():
        if u != v:
            found[u].add(v)
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_importance_is_one_minus_the_smallest_exponent(weighted):
    data = random_graph(num_nodes=40, p=0.15, seed=61001, weighted=weighted)
    near = neighbours_of(data)

    def exponent(u, v):
        if len(near[u]) == 1:
            return 0.0
        rank = 1 + sum(len(near[w]) > len(near[v]) for w in near[u])
        return log(rank) / log(len(near[u]))

    found = LocalDegree(sparsity=0.5).importance(data)
    for (u, v), value in zip(data.edge_index.t().tolist(), found.tolist(), strict=True):
        expected = 0 if u == v else 1 - min(exponent(u, v), exponent(v, u))
        assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 1.0])
def test_a_threshold_keeps_the_neighbours_of_highest_degree(alpha):
    """The paper's way: node u keeps the neighbours of rank up to d_u ** alpha."""
    data = random_graph(num_nodes=40, p=0.15, seed=61001)
    near = neighbours_of(data)
    kept = set()
    for u in near:
        for v in near[u]:
            rank = 1 + sum(len(near[w]) > len(near[v]) for w in near[u])
            if rank <= len(near[u]) ** alpha + 1e-9:
                kept.add((min(u, v), max(u, v)))
    found = LocalDegree(sparsity=0.5).importance(data)
    some = found >= 1 - alpha - 1e-9
    row, col = data.edge_index[:, some & (data.edge_index[0] != data.edge_index[1])]
    low, high = torch.minimum(row, col), torch.maximum(row, col)
    assert set(zip(low.tolist(), high.tolist(), strict=True)) == kept


def test_no_node_is_isolated_while_the_edges_of_importance_one_are_kept():
    data = random_graph(num_nodes=60, p=0.1, seed=61007)
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    importance = LocalDegree(sparsity=0.5).importance(data)
    ones = int((importance[data.edge_index[0] < data.edge_index[1]] == 1).sum())
    cut = LocalDegree(sparsity=1 - ones / pairs.num_pairs)(data)
    had = degrees(data.edge_index[0], data.num_nodes) > 0
    assert bool((degrees(cut.edge_index[0], data.num_nodes)[had] > 0).all())


def test_all_edges_of_a_star_are_equal():
    assert LocalDegree(sparsity=0.5).importance(star(6)).eq(1).all()
