"""Toy graphs against the theorems in their docstrings."""

import networkx as nx
import pytest
import torch
from torch_geometric.utils import to_networkx

from gsparse.data import (
    barbell,
    complete,
    cycle,
    grid,
    house,
    karate,
    lollipop,
    path,
    star,
)


def resistances(data):
    """Resistance of every entry, from the dense pseudo-inverse."""
    A = torch.zeros(data.num_nodes, data.num_nodes, dtype=torch.double)
    A[data.edge_index[0], data.edge_index[1]] = 1
    P = torch.linalg.pinv(torch.diag(A.sum(0)) - A)
    row, col = data.edge_index
    return P[row, row] + P[col, col] - 2 * P[row, col]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (star(6), nx.star_graph(6)),
        (path(5), nx.path_graph(5)),
        (cycle(7), nx.cycle_graph(7)),
        (complete(5), nx.complete_graph(5)),
        (barbell(4), nx.barbell_graph(4, 0)),
        (lollipop(4, 3), nx.lollipop_graph(4, 3)),
        (karate(), nx.karate_club_graph()),
        (house(), nx.house_graph()),
        (grid(3, 4), nx.convert_node_labels_to_integers(nx.grid_2d_graph(3, 4))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_graph_is_the_one_of_networkx(data, expected):
    ours = to_networkx(data, to_undirected=True)
    edges = {tuple(sorted(edge)) for edge in expected.edges}
    isomorphic = nx.is_isomorphic(ours, expected)
    assert {tuple(sorted(edge)) for edge in ours.edges} == edges or isomorphic
    assert data.is_undirected()
    key = data.edge_index[0] * data.num_nodes + data.edge_index[1]
    assert (key.diff() > 0).all()


def test_karate_sides():
    clubs = nx.get_node_attributes(nx.karate_club_graph(), "club")
    assert karate().y.tolist() == [int(clubs[node] == "Officer") for node in range(34)]


@pytest.mark.parametrize(
    ("data", "resistance"),
    [(star(5), 1.0), (cycle(6), 1 - 1 / 6), (complete(7), 2 / 7), (path(4), 1.0)],
    ids=["star", "cycle", "complete", "path"],
)
def test_resistance_of_every_edge(data, resistance):
    found = resistances(data)
    torch.testing.assert_close(found, torch.full_like(found, resistance))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cycle(2), r"'num_nodes' must be at least 3 \(got 2\)"),
        (lambda: star(-1), r"'num_leaves' must be at least 0 \(got -1\)"),
        (lambda: grid(2, 0), r"'width' must be at least 1 \(got 0\)"),
    ],
)
def test_too_small(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_size_must_be_an_int():
    with pytest.raises(TypeError, match=r"'num_nodes' must be an int \(got float\)"):
        complete(3.0)
