"""Both directions, once each, with the attributes of the edge."""

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.utils import is_undirected, to_undirected

from gsparse.data import random_graph
from gsparse.data.symmetrize import symmetrize


def test_upper_triangle_gives_the_graph_back():
    whole = random_graph(num_nodes=30, p=0.2, seed=8803, weighted=True)
    upper = whole.edge_index[0] < whole.edge_index[1]
    half = Data(edge_index=whole.edge_index[:, upper], num_nodes=30)
    half.edge_weight = whole.edge_weight[upper]
    out = symmetrize(half)
    edge_index, weight = to_undirected(half.edge_index, half.edge_weight)
    order = (out.edge_index[0] * 30 + out.edge_index[1]).argsort()
    assert out.edge_index[:, order].equal(edge_index)
    assert out.edge_weight[order].equal(weight)
    assert half.num_edges == int(upper.sum())
    assert symmetrize(whole).edge_index.equal(whole.edge_index)


def test_loops_copies_and_attributes():
    data = Data(
        edge_index=torch.tensor([[0, 2, 2, 1, 3], [0, 1, 1, 0, 0]]),
        edge_attr=torch.arange(5.0).view(5, 1),
        node_label=["a", "b", "c", "d", "e"],  # as many nodes as edges
        num_nodes=5,
    )
    out = symmetrize(data)
    assert is_undirected(out.edge_index, num_nodes=5)
    assert out.edge_index[:, 5:].tolist() == [[1, 1, 0, 0], [2, 2, 1, 3]]
    assert out.edge_attr.view(-1).tolist() == [0, 1, 2, 3, 4, 1, 2, 3, 4]
    assert out.node_label == data.node_label


@pytest.mark.parametrize("weight", [[2.0, 3.0, 1.0], None])
def test_directions_that_differ_are_refused(weight):
    edge_index = torch.tensor([[0, 1, 2], [1, 0, 0]])
    data = Data(edge_index=edge_index, num_nodes=3)
    if weight is None:
        data.edge_index = torch.tensor([[0, 1, 0], [1, 0, 1]])
    else:
        data.edge_weight = torch.tensor(weight)
    with pytest.raises(
        ValueError, match=r"must have equal weights \(got 2 for \(0, 1\)"
    ):
        symmetrize(data)


def test_no_edges():
    data = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=4)
    assert symmetrize(data).num_edges == 0
