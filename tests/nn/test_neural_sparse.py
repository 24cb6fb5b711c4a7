"""NeuralSparse: samples of each node against their probabilities."""

import pytest
import torch
from torch_geometric.nn.models import GCN
from torch_geometric.utils import to_undirected

from gsparse.data import random_graph, star
from gsparse.nn import NeuralSparse
from gsparse.nn.neural_sparse import Choice
from gsparse.nn.pair_scorer import edge_groups


def wrap(data, **options):
    torch.manual_seed(4)
    model = GCN(data.num_features, 8, 2, out_channels=3)
    return NeuralSparse(model, data.num_features, 0.7, seed=2, **options)


def test_probabilities_of_a_node_add_up_to_one():
    data = random_graph(20, 0.4, seed=911)
    groups = edge_groups(data.edge_index, 20, symmetric=True)
    score = torch.randn(2, groups.num_groups, dtype=torch.float64)
    choice = Choice(score, groups, 1, 0.5)
    total = torch.zeros(20, dtype=torch.float64)
    total.index_add_(0, choice.chooser, choice.log_share.exp())
    torch.testing.assert_close(
        total[groups.row.unique()],
        total.new_ones(()).expand(groups.row.unique().numel()),
    )


def test_an_edge_is_ranked_by_the_larger_of_its_two_shares():
    """In plain Python: a softmax over the neighbours of either end."""
    data = random_graph(12, 0.5, seed=911)
    groups = edge_groups(data.edge_index, 12, symmetric=True)
    generator = torch.Generator().manual_seed(20939)
    score = torch.randn(2, groups.num_groups, generator=generator).double()
    ends = list(zip(groups.row.tolist(), groups.col.tolist(), strict=True))
    total = [0.0] * 12
    for (u, v), first, second in zip(ends, *score.exp().tolist(), strict=True):
        total[u] += first
        total[v] += second
    expected = [
        max(first / total[u], second / total[v])
        for (u, v), first, second in zip(ends, *score.exp().tolist(), strict=True)
    ]
    found = Choice(score, groups, 3, 0.5).share
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_draws_come_as_often_as_they_should():
    """A cold choice is a draw: an edge is there if one of its ends drew it."""
    data = random_graph(12, 0.5, seed=911)
    groups = edge_groups(data.edge_index, 12, symmetric=True)
    torch.manual_seed(3)
    choice = Choice(torch.randn(2, groups.num_groups).double(), groups, 2, 1e-3)
    often = torch.stack([choice.rsample() > 0.5 for _ in range(4000)]).double().mean(0)
    torch.testing.assert_close(often, choice.expected_l0, rtol=0, atol=0.035)


def test_an_only_neighbour_is_always_drawn():
    data = star(num_leaves=5)
    groups = edge_groups(data.edge_index, 6, symmetric=True)
    choice = Choice(torch.randn(2, 5), groups, 1, 0.5)
    torch.testing.assert_close(choice.rsample(), torch.ones(5))


def test_scores_do_not_depend_on_node_numbers():
    data = random_graph(15, 0.4, seed=911)
    model = wrap(data)
    new = torch.randperm(15)
    groups = edge_groups(data.edge_index, 15, symmetric=True)
    moved = edge_groups(to_undirected(new[data.edge_index]), 15, symmetric=True)
    x = torch.empty_like(data.x)
    x[new] = data.x
    first = sorted(model.gates(data.x, groups)[0].rank.tolist())
    second = sorted(model.gates(x, moved)[0].rank.tolist())
    assert first == pytest.approx(second, abs=1e-4)


def test_gradients_reach_the_scores_and_the_choice_cools():
    data = random_graph(30, 0.3, seed=4409)
    model = wrap(data, k=2)
    out = model(data.x, data.edge_index)
    (out.square().sum() + model.penalty()).backward()
    assert model.scorer.lin.weight.grad.abs().sum() > 0
    groups = edge_groups(data.edge_index, 30, symmetric=True)
    assert model.gates(data.x, groups)[0].variable.temperature == pytest.approx(0.99)


def test_refusals():
    with pytest.raises(ValueError, match=r"'k' must be at least 1 \(got 0\)"):
        wrap(random_graph(5, 0.5, seed=1), k=0)
