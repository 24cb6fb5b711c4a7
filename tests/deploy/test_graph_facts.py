"""Facts of a graph against networkx and against counting."""

from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import to_networkx

from gsparse.data import karate, random_graph
from gsparse.deploy.graph_facts import SPARSITIES, graph_facts, zero_share
from gsparse.train import sparse_features

GRAPHS = {
    "karate": karate(),
    "random": random_graph(num_nodes=40, p=0.1, seed=51907),
    "many components": random_graph(num_nodes=60, p=0.015, seed=40429),
    "no edges": random_graph(num_nodes=5, p=0.0, seed=40429),
}


def undirected(*edges, num_nodes, **more):
    both = [*edges, *((v, u) for u, v in edges if u != v)]
    index = torch.tensor(both).t().reshape(2, -1)
    return Data(edge_index=index, num_nodes=num_nodes, **more)


@pytest.mark.parametrize("data", GRAPHS.values(), ids=GRAPHS)
def test_facts_agree_with_networkx(data):
    graph, facts = to_networkx(data, to_undirected=True), graph_facts(data)
    degree = [d for _, d in graph.degree()]
    assert facts.undirected
    assert facts.num_nodes == graph.number_of_nodes()
    assert facts.num_edges == graph.number_of_edges()
    assert facts.num_components == nx.number_connected_components(graph)
    assert facts.num_isolated == nx.number_of_isolates(graph)
    assert facts.degree_max == max(degree)
    assert facts.degree_median == np.median(degree)
    assert facts.degree_mean == pytest.approx(np.mean(degree))
    assert np.mean([d <= facts.degree_99 for d in degree]) >= 0.99
    assert np.mean([d < facts.degree_99 for d in degree]) < 0.99
    forest = nx.minimum_spanning_edges(graph)
    assert facts.forest_size == len(list(forest))


def test_a_budget_fits_a_forest_down_to_its_size():
    """Of the 45 edges of a complete graph, nine are left at 80 %: just a tree."""
    graph = nx.complete_graph(10)
    facts = graph_facts(undirected(*graph.edges, num_nodes=10))
    assert [it.sparsity for it in facts.budgets] == list(SPARSITIES)
    for it in facts.budgets:
        exact = 45 * (1 - Fraction(str(it.sparsity)))
        assert abs(it.num_left - exact) <= Fraction(1, 2)
        assert it.fits_forest == (it.num_left >= 9)
    assert facts.budgets[1].num_left == facts.forest_size == 9
    assert [it.fits_forest for it in facts.budgets] == [True, True, False, False]


def test_the_budget_of_a_path_is_too_small():
    facts = graph_facts(undirected((0, 1), (1, 2), num_nodes=3))
    assert not any(it.fits_forest for it in facts.budgets)


def test_loops_and_copies_are_no_edges():
    data = undirected((0, 1), (0, 1), (2, 2), (2, 2), num_nodes=4)
    facts = graph_facts(data)
    assert (facts.num_edges, facts.num_self_loops) == (1, 2)
    assert (facts.num_isolated, facts.num_components) == (2, 3)
    assert facts.degree_max == 1


def test_a_directed_graph_counts_both_directions_and_has_no_guarantee():
    index = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 3, 3, 3]])
    facts = graph_facts(Data(edge_index=index, num_nodes=5))
    assert not facts.undirected
    assert (facts.num_edges, facts.num_self_loops) == (4, 1)
    assert (facts.num_components, facts.num_isolated) == (2, 1)
    index = torch.combinations(torch.arange(12)).t()
    dense = graph_facts(Data(edge_index=index, num_nodes=12))
    assert dense.budgets[0].fits_forest
    assert not dense.allows_guarantee(0.5)


def test_homophily_counts_edges_between_labelled_nodes_once():
    edges = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4)]
    y = torch.tensor([0, 0, 1, 0, -1])
    facts = graph_facts(undirected(*edges, num_nodes=5, y=y))
    assert facts.homophily == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    "y", [None, torch.ones(3, 2), torch.rand(3), torch.tensor([-1, -1, -1])]
)
def test_no_homophily_without_one_label_a_node(y):
    assert graph_facts(undirected((0, 1), num_nodes=3, y=y)).homophily is None


def test_zeros_are_counted_in_every_storage():
    x = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]])
    assert zero_share(x) == zero_share(x.to_sparse_csr()) == 0.75
    assert zero_share(sparse_features(x, threshold=1.0)) == 0.75
    facts = graph_facts(undirected((0, 1), num_nodes=2, x=x))
    assert (facts.num_features, facts.zero_share) == (4, 0.75)
    assert graph_facts(undirected((0, 1), num_nodes=2)).num_features is None


def test_a_graph_needs_nodes_and_edges():
    empty = torch.empty(2, 0, dtype=torch.long)
    with pytest.raises(ValueError, match=r"at least one node \(got 0\)"):
        graph_facts(Data(edge_index=empty, num_nodes=0))
    with pytest.raises(ValueError, match=r"must have an 'edge_index' \(got \['x'\]\)"):
        graph_facts(Data(x=torch.ones(2, 1)))
