"""Scores of known functions, the order of the scores, and three ways to one Hessian."""

import pytest
import torch
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.explain import interactions


class Function(Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(*x.unbind(1))


def sample(seed, n=60, f=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n // 2, f, generator=generator, dtype=torch.float64)
    return Data(x=torch.cat([x, -x]))  # symmetric


def scores(function, groups, data, **options):
    return interactions(Function(function), data, groups=groups, seed=3, **options)


@pytest.mark.parametrize("groups", [1, 4, "each"])
def test_a_product_is_the_only_interaction(groups):
    def function(a, b, c):
        return a * b + c.sin()

    found = scores(function, groups, sample(52711))
    expected = torch.zeros(3, 3, dtype=torch.float64)
    expected[0, 1] = expected[1, 0] = 1
    torch.testing.assert_close(found.matrix(), expected)
    assert found.pairs(1) == [(0, 1)]
    assert found.units(1).tolist() == [True, True, False]


@pytest.mark.parametrize("groups", [1, 4, "each"])
def test_an_additive_function_has_none(groups):
    found = scores(lambda a, b, c: a.sin() + b**3 + c.exp(), groups, sample(52712))
    assert found.mean.abs().max() == 0


def test_a_linear_function_has_none():
    assert scores(lambda a, b, c: a - 2 * b, 2, sample(52713)).mean.tolist() == [0] * 3


def test_groups_find_what_changes_its_sign():
    """The case that groups exist for: h_12 = 2 x_1 averages to 0."""
    data = sample(52714, n=400)

    def function(a, b, c):
        return a**2 * b + 0 * c

    by_sign = (data.x[:, 0] > 0).long()
    alone, two, each = (
        scores(function, groups, data).mean[0] for groups in (1, by_sign, "each")
    )
    truth = (2 * data.x[:, 0]).abs().mean()
    assert alone < 1e-12
    assert two == pytest.approx(float(truth))
    assert each == pytest.approx(float(truth))
    assert scores(function, 2, data).score == "2-GEH"
