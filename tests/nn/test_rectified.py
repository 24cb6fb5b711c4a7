"""Closed forms of the gates against samples, integrals, and extreme parameters."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch.autograd import gradcheck

from gsparse.nn import HardConcrete, HardKumaraswamy
from gsparse.nn.rectified import log1mexp

GATES = [
    HardKumaraswamy(*torch.tensor([[1.0, 0.5, 0.3, 2.0, 5.0], [1, 0.5, 2, 0.3, 1]])),
    HardKumaraswamy(torch.tensor([0.2, 3.0]), torch.tensor([0.9, 4.0]), -0.3, 1.05),
    HardConcrete(torch.tensor([-3.0, -0.5, 0.0, 2.0])),
    HardConcrete(torch.tensor([0.0, 1.0]), temperature=0.3, low=-0.2, high=1.3),
]
BOTH = pytest.mark.parametrize("gate", GATES, ids=lambda gate: type(gate).__name__)


@BOTH
def test_closed_forms_against_samples(gate):
    n = 400_000
    z = gate.rsample((n,), generator=torch.Generator().manual_seed(61051)).double()
    near = 5 / n**0.5 / 2  # five standard errors of a share, at most
    assert ((z == 0).double().mean(0) - gate.prob_zero).abs().max() < near
    assert ((z == 1).double().mean(0) - gate.prob_one).abs().max() < near
    assert ((z != 0).double().mean(0) - gate.expected_l0).abs().max() < near
    assert (z.mean(0) - gate.mean).abs().max() < near
    for value in (-0.5, 0.0, 0.1, 0.7, 0.999, 1.0, 2.0):
        found = gate.cdf(torch.full_like(gate.mean, value))
        assert ((z <= value).double().mean(0) - found).abs().max() < near


@BOTH
def test_density_and_masses_add_up_to_one(gate):
    for k in range(gate.batch_shape[0]):

        def density(z, k=k):
            return gate.log_prob(torch.full(gate.batch_shape, z))[k].exp().item()

        inside = quad(density, 0, 1, points=[0.01, 0.99], limit=200)[0]
        assert density(0.0) == pytest.approx(gate.prob_zero[k].item(), rel=1e-5)
        assert density(1.0) == pytest.approx(gate.prob_one[k].item(), rel=1e-5)
        assert inside + density(0.0) + density(1.0) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "zero", "one", "mean"),
    [
        (1, 1, 0.0833, 0.0833, 0.5),
        (0.5, 0.5, 0.1566, 0.2063, 0.5365),
        (0.3, 2, 0.7239, 0.0007, 0.0628),
        (2, 0.3, 0.0021, 0.5768, 0.8802),
    ],
)
def test_known_values(a, b, zero, one, mean):
    gate = HardKumaraswamy(torch.tensor(float(a)), torch.tensor(float(b)))
    found = [gate.prob_zero, gate.prob_one, gate.mean]
    assert [round(float(v), 4) for v in found] == [zero, one, mean]


def test_mean_with_a_gradient_is_the_mean():
    a, b = torch.meshgrid(
        *[torch.logspace(-1, 1, 9, dtype=torch.float64)] * 2, indexing="ij"
    )
    exact = HardKumaraswamy(a, b).mean
    found = HardKumaraswamy(a.clone().requires_grad_(), b).mean
    assert found.requires_grad
    torch.testing.assert_close(found.detach(), exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("what", ["expected_l0", "prob_zero", "prob_one", "mean"])
def test_gradients_of_closed_forms(what):
    a = torch.tensor([0.3, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([2.0, 0.7, 0.2], dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda a, b: getattr(HardKumaraswamy(a, b), what), (a, b))
    assert gradcheck(lambda a: getattr(HardConcrete(a), what), (a,))


@pytest.mark.parametrize("make", [HardKumaraswamy, HardConcrete])
def test_gradients_of_samples(make):
    a = torch.tensor([0.8, 1.0, 1.3], dtype=torch.float64, requires_grad=True)
    inputs = (
        (a, a.detach().clone().requires_grad_()) if make is HardKumaraswamy else (a,)
    )

    def draw(*parameters):
        generator = torch.Generator().manual_seed(3)
        return make(*parameters).rsample((20,), generator=generator)

    assert gradcheck(draw, inputs)


@pytest.mark.parametrize("a", [1e-6, 1e-3, 1.0, 100.0])
@pytest.mark.parametrize("b", [1e-6, 1e-3, 1.0, 100.0])
def test_single_precision_holds_at_extreme_shapes(a, b):
    shape = [torch.tensor(v, requires_grad=True) for v in (a, b)]
    gate, exact = HardKumaraswamy(*shape), HardKumaraswamy(*(p.double() for p in shape))
    z = gate.rsample((1000,), generator=torch.Generator().manual_seed(5))
    total = z.sum() + gate.expected_l0 + gate.prob_one
    for gradient in torch.autograd.grad(total, shape):
        assert torch.isfinite(gradient)
    assert torch.isfinite(z).all()
    for what in ("prob_zero", "prob_one", "expected_l0"):
        found, expected = getattr(gate, what), getattr(exact, what)
        assert float(found) == pytest.approx(float(expected), rel=2e-5, abs=1e-9)


def test_logarithm_of_one_less_an_exponential():
    y = -torch.logspace(-12, 2.5, 300, dtype=torch.float64)
    expected = np.where(y > -1, np.log(-np.expm1(y)), np.log1p(-np.exp(y)))
    torch.testing.assert_close(log1mexp(y), torch.as_tensor(expected))


def test_mode_takes_the_likeliest_of_three():
    gate = HardKumaraswamy(torch.tensor([0.1, 5.0, 3.0]), torch.tensor([3.0, 0.1, 3.0]))
    between = 1 - gate.prob_zero - gate.prob_one
    assert gate.prob_zero[0] > 0.5
    assert gate.prob_one[1] > 0.5
    assert between[2] > 0.5
    assert gate.mode.tolist() == [0.0, 1.0, pytest.approx(gate.mean[2].item())]


@BOTH
def test_expanded_to_a_larger_shape(gate):
    large = gate.expand((3, *gate.batch_shape))
    assert large.rsample().shape == (3, *gate.batch_shape)
    torch.testing.assert_close(large.prob_zero[1], gate.prob_zero)


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match=r"'a' must be positive \(got -1.0\)"):
        HardKumaraswamy(torch.tensor(-1.0), torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"'low' must be below 0 .* \(got 0.1 and 1.1"):
        HardKumaraswamy(torch.tensor(1.0), torch.tensor(1.0), low=0.1)
    with pytest.raises(ValueError, match=r"must be positive \(got 0\)"):
        HardConcrete(torch.tensor(1.0), temperature=0)
