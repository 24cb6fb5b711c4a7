"""Clusters, numbers of groups, and convergence of scores."""

import sys

import pytest
import torch
from torch_geometric.data import Data

from gsparse.data import karate
from gsparse.explain import choose_num_groups
from gsparse.explain.groups import cluster, group_numbers, score_change
from gsparse.explain.propagate import propagated
from gsparse.nn import FastGCNConv


def test_clusters_are_the_blobs():
    generator = torch.Generator().manual_seed(28111)
    centres = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    truth = torch.randint(3, (90,), generator=generator)
    x = centres[truth] + torch.randn(90, 2, generator=generator)
    found = cluster(x, 3, seed=12)
    same = truth.unsqueeze(0) == truth.unsqueeze(1)
    assert torch.equal(found.unsqueeze(0) == found.unsqueeze(1), same)


def test_clusters_on_a_graph_are_of_propagated_features():
    data = karate()
    x = torch.eye(34)[:, :5]
    expected = cluster(propagated(x, data.edge_index), 3, seed=12)
    assert torch.equal(cluster(x, 3, 12, data.edge_index), expected)
    assert not torch.equal(cluster(x, 3, 12), expected)


def test_propagation_is_that_of_the_layer():
    data = karate()
    generator = torch.Generator().manual_seed(28112)
    x = torch.randn(34, 5, generator=generator)
    weight = torch.rand(data.num_edges, generator=generator)
    conv = FastGCNConv(5, 5, bias=False)
    with torch.no_grad():
        conv.lin.weight.copy_(torch.eye(5))
        expected = conv(x, data.edge_index, weight)
    torch.testing.assert_close(propagated(x, data.edge_index, weight), expected)
    assert propagated(x, None) is x


def test_groups_are_numbered_without_gaps_among_the_nodes_that_count():
    data = Data(x=torch.zeros(6, 1))
    groups = torch.tensor([40, 7, 7, -3, 12, 40])
    nodes = torch.tensor([True, True, True, True, False, True])
    found = group_numbers(groups, data, None, seed=1, propagate=False)
    assert found.tolist() == [2, 0, 0, -1, 1, 2]
    found = group_numbers(groups, data, nodes, seed=1, propagate=False)
    assert found.tolist() == [1, 0, 0, -1, -1, 1]
    found = group_numbers("each", data, nodes, seed=1, propagate=False)
    assert found.tolist() == [0, 1, 2, 3, -1, 4]


def test_without_scikit_learn_there_is_advice(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(ImportError, match=r"pip install 'gsparse-gnn\[cli\]'"):
        cluster(torch.ones(4, 2), 2, seed=1)
    assert cluster(torch.ones(4, 2), 1, seed=1).tolist() == [0] * 4


def test_the_change_weighs_scores_by_ranks():
    before, after = torch.tensor([4.0, 2.0, 1.0]), torch.tensor([4.0, 1.0, 3.0])
    assert score_change(before, after) == pytest.approx((1 + 4) ** 0.5)
    assert score_change(before, 2 * before) == 0  # no rank moved


def test_groups_are_added_until_nothing_moves():
    values = {1: [1.0, 2.0], 2: [3.0, 2.0], 3: [3.0, 4.0], 4: [3.0, 4.1], 5: [9.0, 0.0]}
    number, changes = choose_num_groups(lambda m: torch.tensor(values[m]), most=5)
    assert (number, changes) == (4, [2.0, 2.0, 0.0])
    number, changes = choose_num_groups(lambda m: torch.tensor(values[m]), most=3)
    assert (number, len(changes)) == (3, 2)
    with pytest.raises(ValueError, match="'most' must be at least 2"):
        choose_num_groups(lambda m: torch.ones(1), most=1)


@pytest.mark.parametrize(("last", "number"), [(0.3, 3), (0.5, 4)])
def test_groups_settle_at_a_share_of_the_largest_change(last, number):
    """Changes of 8 and ``last``, with 0.05 * 8 between the two values of it."""
    values = {1: [10.0, 2.5, 1.0, 0.9], 2: [10.0, 10.5, 1.0, 0.9]}
    values[3] = values[4] = [10.0, 10.5, 1.0, 0.9 + last]
    found, changes = choose_num_groups(lambda m: torch.tensor(values[m]), most=4)
    assert changes[:2] == pytest.approx([8.0, last])
    assert found == number
