"""Weighted aggregation: its formulas, its limits at 0 and 1, its derivatives."""

import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric.nn.aggr import (
    MaxAggregation,
    MeanAggregation,
    MinAggregation,
    MultiAggregation,
    StdAggregation,
    SumAggregation,
)

from gsparse.nn.weighted_aggregation import aggregate_messages, takes_weights

INDEX = torch.tensor([0, 2, 0, 0, 2, 4])
MODULES = {
    "sum": SumAggregation(),
    "mean": MeanAggregation(),
    "max": MaxAggregation(),
    "min": MinAggregation(),
    "several": MultiAggregation(["max", "mean", "sum"], mode="cat"),
}
FORMULAS = {
    "sum": lambda m, w: (w * m).sum(0),
    "mean": lambda m, w: (w * m).sum(0) / w.sum(),
    "max": lambda m, w: (m + w.log()).amax(0),
    "min": lambda m, w: (m - w.log()).amin(0),
}
EVERY = pytest.mark.parametrize("name", MODULES)


def messages(*shape):
    generator = torch.Generator().manual_seed(90217)
    return torch.randn(*shape, generator=generator, dtype=torch.double)


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name):
    message, weight = messages(6, 3), messages(6).exp()
    found = aggregate_messages(MODULES[name], message, INDEX, weight, 5)
    for node in (0, 2, 4):
        at = node == INDEX
        expected = FORMULAS[name](message[at], weight[at].unsqueeze(1))
        torch.testing.assert_close(found[node], expected)
    assert not found[[1, 3]].any()


@EVERY
@pytest.mark.parametrize(
    ("shape", "dim"), [((6, 3), -2), ((2, 6, 3), -2), ((6, 2, 3), 0)]
)
def test_weights_of_0_and_1_are_removal(name, shape, dim):
    message, weight = messages(*shape), torch.tensor([1.0, 0, 0, 1, 0, 0])
    module, there = MODULES[name], torch.tensor([0, 3])
    few = message.index_select(dim, there)
    expected = module(few, INDEX[there], dim_size=5, dim=dim)
    for carried in (False, True):
        found = aggregate_messages(module, message, INDEX, weight, 5, dim, carried)
        torch.testing.assert_close(found, expected)
    whole = aggregate_messages(module, message, INDEX, torch.ones(6), 5, dim)
    torch.testing.assert_close(whole, module(message, INDEX, dim_size=5, dim=dim))


@EVERY
def test_a_small_weight_is_nearly_0(name):
    message, weight = messages(6, 3), torch.tensor([1.0, 1, 0, 1, 0, 1]).double()
    near = torch.where(weight == 0, 1e-12, weight)
    found = [
        aggregate_messages(MODULES[name], message, INDEX, w, 5) for w in (weight, near)
    ]
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


@EVERY
def test_derivatives(name):
    weight = messages(6).exp().requires_grad_()
    message = messages(6, 3).requires_grad_()
    run = lambda m, w: aggregate_messages(MODULES[name], m, INDEX, w, 5)  # noqa: E731
    assert gradcheck(run, (message, weight))
    hard = torch.tensor([1.0, 0, 0, 0, 0, 1]).double().requires_grad_()
    run(message, hard).sum().backward()
    assert torch.isfinite(hard.grad).all()


def test_others_take_no_weights():
    assert all(map(takes_weights, MODULES.values()))
    assert not takes_weights(StdAggregation())
    assert not takes_weights(MultiAggregation(["mean", "std"]))
    assert not takes_weights(None)
