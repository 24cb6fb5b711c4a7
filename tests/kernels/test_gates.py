"""The fused sampling of gates against the distribution in torch's operations."""

import pytest
import torch
from torch.func import jacrev, vmap

from gsparse.kernels.gates import draw_gates
from gsparse.nn.steered_gate import HIGH, LOW, MOST_SURE, SteeredGate

SCORES = [-80.0, -9.0, -2.0, -0.3, 0.0, 0.7, 3.0, 12.0, 80.0]
SHAPES = [-30.0, -1.0, 0.0, 0.2, 2.0, 30.0]
UNIFORM = [0.0, 1e-30, 1e-6, 0.01, 0.3, 0.47, 0.9, 0.999, 1 - 2**-24]


def every_case():
    """All combinations, as scores and uniform numbers in double precision."""
    grid = torch.cartesian_prod(*map(torch.tensor, (SCORES, SHAPES, UNIFORM)))
    return grid[:, :2].double(), grid[:, 2].float().double()


def in_torch(scores, uniform):
    """Gate and P(z != 0) of one pair of scores, by the definitions."""
    gate = SteeredGate(scores.unsqueeze(0), fused=False)
    tiny = torch.finfo(torch.float32).tiny
    k = gate.variable._variable(uniform.clamp(min=tiny))
    stretched = LOW + (HIGH - LOW) * k
    return stretched.clamp(0, 1).squeeze(), gate.variable.expected_l0.squeeze()


def test_gates_and_probabilities_are_those_of_the_distribution():
    scores, uniform = every_case()
    expected = vmap(in_torch)(scores, uniform)
    found = draw_gates(scores.float(), uniform.float(), LOW, HIGH, MOST_SURE)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=2e-5, atol=2e-6)
    assert found[0].min() == 0
    assert found[0].max() == 1


@pytest.mark.parametrize("which", [0, 1])
def test_derivatives_are_those_of_the_distribution(which):
    scores, uniform = every_case()
    expected = vmap(jacrev(lambda s, v: in_torch(s, v)[which]))(scores, uniform)
    given = scores.float().requires_grad_()
    out = draw_gates(given, uniform.float(), LOW, HIGH, MOST_SURE)[which]
    factor = torch.linspace(-1, 2, len(out))
    (out * factor).sum().backward()
    expected = expected * factor.unsqueeze(1)
    torch.testing.assert_close(given.grad.double(), expected, rtol=1e-4, atol=1e-5)
    assert torch.isfinite(given.grad).all()


def test_both_outputs_at_once_add_their_derivatives():
    scores = torch.randn(500, 2, generator=torch.Generator().manual_seed(3))
    uniform, grads = torch.linspace(0.01, 0.99, 500), []
    for weights in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        given = scores.clone().requires_grad_()
        drawn, opened = draw_gates(given, uniform, LOW, HIGH, MOST_SURE)
        (weights[0] * drawn.square().sum() + weights[1] * opened.mean()).backward()
        grads.append(given.grad)
    torch.testing.assert_close(grads[0] + grads[1], grads[2])


def test_result_does_not_depend_on_threads():
    scores, uniform = torch.randn(30_000, 2), torch.rand(30_000)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(draw_gates(scores, uniform, LOW, HIGH, MOST_SURE))
    finally:
        torch.set_num_threads(before)
    assert all(a.equal(b) for a, b in zip(*found, strict=True))


def test_no_gate_at_all():
    scores = torch.empty(0, 2, requires_grad=True)
    drawn, opened = draw_gates(scores, torch.empty(0), LOW, HIGH, MOST_SURE)
    (drawn.sum() + opened.sum()).backward()
    assert drawn.shape == opened.shape == (0,)
    assert scores.grad.shape == (0, 2)


def test_rows_of_a_wider_matrix():
    wide = torch.randn(60, 6, generator=torch.Generator().manual_seed(8))
    uniform = torch.linspace(0.01, 0.99, 60)
    found = draw_gates(wide[:, 2:4], uniform, LOW, HIGH, MOST_SURE)
    expected = draw_gates(wide[:, 2:4].clone(), uniform, LOW, HIGH, MOST_SURE)
    assert all(a.equal(b) for a, b in zip(found, expected, strict=True))


def test_op_keeps_torchs_rules_and_compiles():
    scores, uniform = torch.randn(7, 2), torch.rand(7)
    args = scores.clone().requires_grad_(), uniform, LOW, HIGH, MOST_SURE
    torch.library.opcheck(torch.ops.gsparse.draw_gates, args)
    compiled = torch.compile(draw_gates, backend="aot_eager", dynamic=True)
    found, wanted = compiled(*args), draw_gates(*args)
    torch.testing.assert_close(found, wanted)
    found, wanted = (
        torch.autograd.grad(it[0].sum() + it[1].sum(), args[0])[0]
        for it in (found, wanted)
    )
    torch.testing.assert_close(found, wanted)
