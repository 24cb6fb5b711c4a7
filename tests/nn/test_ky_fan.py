"""The Ky Fan norm against dense singular values."""

import pytest
import torch
from torch.autograd import gradcheck

from gsparse.data import complete, random_graph, star
from gsparse.edges import undirected_pairs
from gsparse.nn.ky_fan import ky_fan_norm

GRAPHS = {
    "random": random_graph(num_nodes=25, p=0.3, seed=50929),
    "sparse, isolated nodes": random_graph(num_nodes=30, p=0.05, seed=50929),
    "star": star(num_leaves=7),  # bipartite: every singular value comes twice
    "complete": complete(6),
}


def weights_of(data, seed=20431):
    """One weight a pair, and where its entries are; some are 0."""
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(pairs.num_pairs, generator=generator, dtype=torch.float64)
    return weight * (weight > 0.2), pairs.pair


def dense(data, weight):
    matrix = weight.new_zeros(data.num_nodes, data.num_nodes)
    return matrix.index_put(tuple(data.edge_index), weight)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("name", GRAPHS)
def test_it_is_the_sum_of_the_largest_singular_values(name, k):
    data = GRAPHS[name]
    weight, pair = weights_of(data)
    found = ky_fan_norm(data.edge_index, weight[pair], data.num_nodes, k, 400)
    expected = torch.linalg.svdvals(dense(data, weight[pair]))[:k].sum()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3])
def test_few_steps_never_say_too_much(k):
    data = GRAPHS["random"]
    weight, pair = weights_of(data)
    exact = torch.linalg.svdvals(dense(data, weight[pair]))[:k].sum()
    found = [
        ky_fan_norm(data.edge_index, weight[pair], data.num_nodes, k, steps)
        for steps in (1, 2, 5, 50)
    ]
    assert all(one <= exact + 1e-9 for one in found)
    assert found == sorted(found)
    assert found[2] > 0.95 * exact


@pytest.mark.parametrize("k", [1, 2])
def test_its_gradient(k):
    data = random_graph(num_nodes=8, p=0.6, seed=50929)
    weight, pair = weights_of(data)
    weight.requires_grad_()

    def norm(values):
        return ky_fan_norm(data.edge_index, values[pair], data.num_nodes, k, 200)

    assert gradcheck(norm, weight, atol=1e-5)
    (found,) = torch.autograd.grad(norm(weight), weight)
    exact = torch.linalg.svdvals(dense(data, weight[pair]))[:k].sum()
    (expected,) = torch.autograd.grad(exact, weight)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_by_hand():
    """A star of n leaves has the singular value sqrt(n), twice."""
    data = star(num_leaves=9)
    weight = torch.ones(data.num_edges, requires_grad=True)
    norm = ky_fan_norm(data.edge_index, weight, 10)
    norm.backward()
    assert norm.item() == pytest.approx(3, rel=1e-5)
    # sigma is homogeneous of degree 1 in the weights (Euler), and leaves are alike
    assert weight.grad.sum().item() == pytest.approx(3, rel=1e-5)
    twice = weight.grad[data.edge_index[0] == 0] + weight.grad[data.edge_index[1] == 0]
    torch.testing.assert_close(twice, torch.full((9,), 1 / 3), rtol=1e-4, atol=1e-6)
    both = ky_fan_norm(data.edge_index, weight, 10, k=2, num_steps=50)
    assert both.item() == pytest.approx(6, rel=1e-5)


def test_nothing_left_is_zero_and_has_a_finite_gradient():
    data = complete(4)
    for k in (1, 3, 9):  # more than there are
        weight = torch.zeros(data.num_edges, requires_grad=True)
        norm = ky_fan_norm(data.edge_index, weight, 4, k)
        norm.backward()
        assert norm.item() == 0
        assert torch.isfinite(weight.grad).all()
    none = torch.empty(2, 0, dtype=torch.long)
    assert ky_fan_norm(none, torch.empty(0), 3).item() == 0


@pytest.mark.parametrize("name", ["k", "num_steps"])
def test_refusals(name):
    data = complete(4)
    with pytest.raises(ValueError, match=rf"'{name}' must be at least 1 \(got 0\)"):
        ky_fan_norm(data.edge_index, torch.ones(12), 4, **{name: 0})
