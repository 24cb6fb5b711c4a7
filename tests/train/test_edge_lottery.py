"""Edge lottery: exact budgets, rewinding, and useful edges that are kept."""

import copy
from itertools import pairwise

import pytest
import torch

from gsparse.data import planted_partition, split
from gsparse.edges import budget, undirected_pairs
from gsparse.train import GCN, EdgeLottery, FitConfig

FEW = FitConfig(lr=0.05, weight_decay=0.0, epochs=30)


def graph():
    data = planted_partition(200, num_classes=2, seed=31)
    return split(data, "60-20-20", seed=31)


def model_of(data):
    torch.manual_seed(5)
    return GCN(data.num_features, 8, 2, dropout=0.0)


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.37])
def test_the_budget_is_exact_and_the_model_is_not_touched(sparsity):
    data = graph()
    model = model_of(data)
    before = copy.deepcopy(model.state_dict())
    ticket = EdgeLottery(sparsity, rate=0.2, config=FEW)(model, data)
    assert ticket.num_edges == 2 * budget(data.num_edges // 2, sparsity)
    assert ticket.is_undirected()
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_rounds_begin_where_the_first_one_began(monkeypatch):
    data, seen = graph(), []

    def watch(masked, *args, **kwargs):
        seen.append((copy.deepcopy(masked.model.state_dict()), masked.alive.clone()))
        assert (masked.weight == 1).all()
        with torch.no_grad():
            masked.weight.uniform_()

    monkeypatch.setattr("gsparse.train.edge_lottery.fit", watch)
    EdgeLottery(0.6, rate=0.2, config=FEW)(model_of(data), data)
    assert len(seen) == 5  # 0.8 ** 5 < 0.4 < 0.8 ** 4
    for (first, alive), (second, fewer) in pairwise(seen):
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert fewer.sum() < alive.sum()
        assert (fewer <= alive).all()


def test_the_lowest_weights_go(monkeypatch):
    data = graph()

    def rank(masked, *args, **kwargs):
        with torch.no_grad():
            masked.weight.copy_(torch.arange(masked.weight.numel()))

    monkeypatch.setattr("gsparse.train.edge_lottery.fit", rank)
    ticket = EdgeLottery(0.5, rate=0.3, config=FEW)(model_of(data), data)
    pairs = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    code = (pairs[0] * 200 + pairs[1]).sort().values
    kept = ticket.edge_index[:, ticket.edge_index[0] < ticket.edge_index[1]]
    expected = code[len(code) - kept.size(1) :]
    assert torch.equal((kept[0] * 200 + kept[1]).sort().values, expected)


def test_a_weight_counts_by_its_absolute_value(monkeypatch):
    data = graph()

    def rank(masked, *args, **kwargs):
        with torch.no_grad():
            masked.weight.copy_(-torch.arange(masked.weight.numel()))

    monkeypatch.setattr("gsparse.train.edge_lottery.fit", rank)
    ticket = EdgeLottery(0.3, rate=0.9, config=FEW)(model_of(data), data)
    pairs = undirected_pairs(data.edge_index, 200)
    kept = pairs.pair[ticket.e_id].unique()
    assert kept.tolist() == list(range(pairs.num_pairs - len(kept), pairs.num_pairs))


def test_the_penalty_is_the_strength_times_the_absolute_weights_left(monkeypatch):
    data, seen = graph(), []

    def watch(masked, *args, **kwargs):
        with torch.no_grad():
            masked.weight.copy_(torch.linspace(-2, 1, masked.weight.numel()))
        left = masked.weight[masked.alive].abs().sum()
        seen.append((masked.penalty().item(), 0.25 * left.item()))

    monkeypatch.setattr("gsparse.train.edge_lottery.fit", watch)
    EdgeLottery(0.5, rate=0.2, strength=0.25, config=FEW)(model_of(data), data)
    assert len(seen) > 1
    for found, expected in seen:
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sparsity": 1.0}, r"in \[0, 1\) \(got 1.0\)"),
        ({"sparsity": 0.5, "rate": 0.0}, r"'rate' must be in \(0, 1\) \(got 0.0\)"),
        ({"sparsity": 0.5, "strength": -1.0}, "'strength' must not be negative"),
    ],
)
def test_refusals(options, text):
    with pytest.raises(ValueError, match=text):
        EdgeLottery(**options)
