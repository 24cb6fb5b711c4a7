"""Concrete dropout: gates, distance from the prior, and samples as functions."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from gsparse.data import cycle, karate
from gsparse.explain import BayesianGCN, BayesianMLP, ConcreteDropout
from gsparse.explain.concrete_dropout import (
    BayesianLinear,
    concrete_gates,
    kl_divergence,
)
from gsparse.train import FitConfig, evaluate, fit, sparse_features


def club():
    data = karate()
    generator = torch.Generator().manual_seed(15013)
    data.x = torch.randn(34, 6, generator=generator)
    data.train_mask = torch.arange(34) < 20
    data.val_mask = ~data.train_mask
    return data


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_gates_are_near_zero_as_often_as_they_should_be(p):
    n = 200_000
    u = torch.rand(n, generator=torch.Generator().manual_seed(60917)).double()
    gates = concrete_gates(torch.logit(torch.tensor(p).double()), u)
    shut = (gates < 0.5 / (1 - p)).double().mean()
    assert float(shut) == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n))
    # The mean is 1 up to the square of the temperature, and the error of n draws.
    assert float(gates.mean()) == pytest.approx(1, abs=0.02)


def test_gates_have_a_gradient_in_p():
    logit = torch.tensor(-1.0, dtype=torch.float64, requires_grad=True)
    u = torch.tensor([0.2, 0.6, 0.74], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda it: concrete_gates(it, u), (logit,))


def test_the_distance_is_that_of_its_definition():
    p, scale = 0.2, 3.0
    weight = torch.tensor([[1.0, 2.0], [0.0, -1.0], [0.0, 0.0]])  # of two inputs
    bias = torch.tensor([0.5, 0.0, 0.0])
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    expected = (6 / 0.8 + 0.25) / 18 - 2 * entropy
    logit = torch.logit(torch.tensor(p))
    found = kl_divergence(logit, weight, bias, scale)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    layer = BayesianLinear(2, 3, p=p)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    assert float(layer.kl_divergence(scale).detach()) == pytest.approx(
        expected, rel=1e-5
    )
    plain = BayesianLinear(2, 3, p=None)
    plain.load_state_dict({"weight": weight, "bias": bias})
    assert float(plain.kl_divergence(scale).detach()) == pytest.approx(
        6.25 / 18, rel=1e-5
    )


def test_the_penalty_is_the_distance_of_all_layers_for_each_training_node():
    model = BayesianGCN(6, 5, 2, num_train=40, input_dropout=True, temper=0.5)
    parts = [
        kl_divergence(c.lin.drop.logit, c.lin.weight, c.bias, 5.0) for c in model.layers
    ]
    assert float(model.penalty().detach()) == pytest.approx(
        float(0.5 * sum(parts) / 40)
    )


def test_without_a_fit_to_hold_it_back_dropout_goes_to_one_half():
    """The entropy is largest there, where the weights cost nothing."""
    drop = ConcreteDropout(10)
    optimizer = torch.optim.Adam(drop.parameters(), lr=0.1)
    for _ in range(200):
        optimizer.zero_grad()
        kl_divergence(drop.logit, torch.zeros(3, 10), None, 1.0).backward()
        optimizer.step()
    assert drop.p == pytest.approx(0.5, abs=1e-3)


def test_rows_have_their_own_gates_unless_they_are_shared():
    torch.manual_seed(71209)
    x = torch.ones(5, 40)
    own, shared = ConcreteDropout(40, 0.5)(x), ConcreteDropout(40, 0.5, shared=True)(x)
    assert not torch.equal(own[0], own[1])
    assert torch.equal(shared[0], shared[1])
    assert shared[0].unique().numel() > 2  # a gate of its own for each unit
    quiet = ConcreteDropout(40, 0.5).eval()
    assert torch.equal(quiet(x), x)


@pytest.mark.parametrize("kind", [BayesianMLP, BayesianGCN])
def test_in_training_one_draw_serves_all_nodes_of_a_graph_but_not_all_rows(kind):
    """Where all nodes look alike, only gates of their own tell them apart."""
    data = cycle(12)
    torch.manual_seed(71211)
    model = kind(6, 8, 2, num_train=12, input_dropout=True)
    out = model(torch.ones(12, 6), data.edge_index)
    alike = bool(((out - out[0]).abs() < 1e-5).all())
    assert alike == (kind is BayesianGCN)


@pytest.mark.parametrize("kind", [BayesianMLP, BayesianGCN])
def test_draws_are_functions_and_the_first_do_not_depend_on_how_many(kind):
    data = club()
    torch.manual_seed(71210)
    model = kind(6, 8, 2, num_train=20, input_dropout=True)
    three, five = list(model.draws(3, seed=9)), list(model.draws(5, seed=9))
    inputs = data.x, data.edge_index
    for a, b in zip(three, five, strict=False):
        assert torch.equal(a(*inputs), b(*inputs))
        assert torch.equal(a(*inputs), a(*inputs))
    outputs = torch.stack([network(*inputs) for network in five])
    assert len({tuple(out.flatten().tolist()) for out in outputs}) == 5
    assert model.training
    assert not torch.equal(model(*inputs), model(*inputs))


def test_a_draw_is_the_layer_with_its_weight_gated():
    layer = BayesianLinear(4, 3, p=0.5)
    layer.drop.fix(torch.tensor([0.1, 0.9, 0.4, 0.8]))
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(91823))
    expected = layer.drop(x) @ layer.weight.t() + layer.bias
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x), x @ layer.drawn_weight.t() + layer.bias)
    layer.drop.fix(None)
    assert torch.equal(layer.drawn_weight, layer.weight)


def test_fit_learns_the_probabilities():
    data = club()
    torch.manual_seed(71211)
    model = BayesianGCN(6, 16, 2, num_train=20, input_dropout=True)
    config = FitConfig(lr=0.05, weight_decay=0.0, epochs=60, patience=60)
    fit(model, data, config=config, seed=4)
    assert all(p != pytest.approx(0.1, abs=1e-4) for p in model.dropout_probabilities())
    assert evaluate(model, data, "train_mask") > 0.6


def test_features_stored_sparse_give_the_same_gradients():
    data = club()
    x = data.x * (torch.rand(34, 6, generator=torch.Generator().manual_seed(5)) < 0.2)
    torch.manual_seed(71212)
    model = BayesianGCN(6, 8, 2, num_train=20, input_dropout=True)
    found = []
    for features in (x, sparse_features(x)):
        torch.manual_seed(71213)
        model.zero_grad()
        cross_entropy(model(features, data.edge_index), data.y).backward()
        found.append([p.grad.clone() for p in model.parameters()])
    for dense, sparse in zip(*found, strict=True):
        torch.testing.assert_close(dense, sparse)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (
            {"activation": "relu"},
            "'activation' must be one of .*got 'relu'.*no Hessian",
        ),
        ({"activation": "sin"}, r"'activation' must be one of .*got 'sin'\)$"),
        ({"num_layers": 1}, "'num_layers' must be at least 2.*no interactions"),
        ({"num_train": 0}, "'num_train' must be positive"),
        ({"prior_scale": -1.0}, "'prior_scale' must be positive"),
    ],
)
def test_what_is_refused(options, match):
    with pytest.raises(ValueError, match=match):
        BayesianMLP(6, 4, 2, **{"num_train": 20, **options})


def test_refusals_of_the_layer():
    with pytest.raises(ValueError, match=r"'p' must be in \(0, 1\)"):
        ConcreteDropout(3, p=0.0)
    with pytest.raises(ValueError, match=r"'u' must have shape \[3\]"):
        ConcreteDropout(3).fix(torch.ones(2))
    with pytest.raises(ValueError, match="'draws' must be at least 1"):
        next(BayesianMLP(6, 4, 2, num_train=20).draws(0, seed=1))
    with pytest.raises(ValueError, match="needs 'edge_index'"):
        BayesianGCN(6, 4, 2, num_train=20)(torch.ones(3, 6))
