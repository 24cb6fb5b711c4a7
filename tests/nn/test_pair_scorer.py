"""Scores of pairs against their formula, in value and derivative."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from gsparse.data import random_graph
from gsparse.nn.pair_scorer import PairScorer, edge_groups


def scorer(symmetric, num_scores=2, width=5, fused=True, dtype=torch.float64):
    torch.manual_seed(48809)
    return PairScorer(4, width, num_scores, symmetric, fused).to(dtype)


def features(num_nodes, dtype=torch.float64):
    generator = torch.Generator().manual_seed(15739)
    return torch.randn(num_nodes, 4, generator=generator, dtype=dtype)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
def test_scores_follow_the_formula(symmetric, fused):
    data = random_graph(num_nodes=15, p=0.3, seed=4001)
    groups = edge_groups(data.edge_index.flip(1), 15, symmetric)
    net, x = scorer(symmetric, fused=fused), features(15)
    found = net(x, groups)
    h = torch.tanh(net.lin(x))
    assert found.shape == (groups.num_groups, 2)
    for pair, (u, v) in enumerate(zip(groups.row, groups.col, strict=True)):
        for k in range(2):
            p, q = net.ends[0, k], net.ends[-1, k]
            inner = (net.product[k] * h[u] * h[v]).sum() / 5**0.5
            expected = inner + p @ h[u] + q @ h[v] + net.bias[k]
            assert found[pair, k].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("fused", [True, False])
def test_flipped_scores_are_those_of_flipped_edges(fused):
    data = random_graph(num_nodes=15, p=0.3, seed=4001)
    one, two = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    there = edge_groups(torch.stack([one, two]), 15, symmetric=False)
    back = edge_groups(torch.stack([two, one]), 15, symmetric=False)
    net, x = scorer(False, fused=fused), features(15)
    torch.testing.assert_close(net(x, there, flip=True), net(x, back))
    assert not torch.allclose(net(x, there), net(x, back))


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("num_scores", "width"), [(1, 8), (2, 8), (4, 3), (3, 1)])
def test_derivatives_are_those_of_torch(symmetric, num_scores, width):
    """Edges in any order, isolated nodes, loops and parallel edges among them."""
    generator = torch.Generator().manual_seed(num_scores)
    edge_index = torch.randint(25, (2, 120), generator=generator)
    groups, found = edge_groups(edge_index, 30, symmetric), []
    factor = torch.randn(groups.num_groups, num_scores, generator=generator)
    for fused in (True, False):
        net = scorer(symmetric, num_scores, width, fused)
        x = features(30).requires_grad_()
        out = net(x, groups)
        (out * factor).sum().backward()
        found.append([out, x.grad, *(p.grad for p in net.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_numerical_derivatives_and_second_ones_by_reference():
    data = random_graph(num_nodes=6, p=0.5, seed=77)
    groups, x = edge_groups(data.edge_index, 6, True), features(6).requires_grad_()
    assert gradcheck(lambda x: scorer(True)(x, groups), x)
    assert gradgradcheck(lambda x: scorer(True, fused=False)(x, groups), x)


def test_result_does_not_depend_on_threads():
    generator = torch.Generator().manual_seed(9)
    edge_index = torch.randint(400, (2, 20_000), generator=generator)
    groups, x = edge_groups(edge_index, 400, True), features(400, torch.float32)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            net = scorer(True, width=16, dtype=torch.float32)
            out = net(x, groups)
            out.square().sum().backward()
            found.append([out, *(p.grad for p in net.parameters())])
    finally:
        torch.set_num_threads(before)
    assert all(a.equal(b) for a, b in zip(*found, strict=True))


def test_op_keeps_torchs_rules_and_compiles():
    data = random_graph(num_nodes=9, p=0.4, seed=5)
    groups, x = edge_groups(data.edge_index, 9, True), features(9, torch.float32)
    net = scorer(True, dtype=torch.float32)
    compiled = torch.compile(net, backend="aot_eager", dynamic=True)
    found = []
    for function in (compiled, net):
        given = x.clone().requires_grad_()
        out = function(given, groups)
        out.square().sum().backward()
        found.append((out, given.grad))
    torch.testing.assert_close(*found)
