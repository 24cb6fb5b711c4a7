"""Closed form, Hessian-vector products and torch.func agree."""

import pytest
import torch
from torch.func import hessian
from torch.nn.functional import gelu, softplus

from gsparse.data import karate
from gsparse.explain import BayesianGCN, BayesianMLP
from gsparse.explain.activation import second_derivative
from gsparse.explain.bayesian import FUNCTIONS
from gsparse.explain.gradient import expected_gradient
from gsparse.explain.hessian import find_place, product_hessians, width_of
from gsparse.explain.propagate import normalised_adjacency
from gsparse.explain.question import readouts
from gsparse.explain.two_layer import bends_once, closed_hessians, group_means

M = 3


def case(kind, num_layers, activation, input_dropout=True):
    data = karate()
    generator = torch.Generator().manual_seed(33817)
    x = torch.randn(34, 5, generator=generator, dtype=torch.float64)
    weight = torch.rand(data.num_edges, generator=generator, dtype=torch.float64)
    torch.manual_seed(44119)
    model = kind(
        5,
        7,
        3,
        num_train=34,
        num_layers=num_layers,
        activation=activation,
        input_dropout=input_dropout,
    ).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.bias.normal_(generator=generator)
    (network,) = model.draws(1, seed=6)
    group = torch.arange(34) % M
    group[5] = -1
    return network, (x, data.edge_index, weight), group


def by_func(network, inputs, group, readout, layer=0):
    """The definition, with dense matrices, by torch.func."""
    x, edge_index, edge_weight = inputs
    a = torch.eye(34, dtype=x.dtype)
    if network.uses_graph:
        a = normalised_adjacency(edge_index, edge_weight, 34, x.dtype).csr.to_dense()
    h = x
    for i in range(layer):
        h = step(network, i, a, h)

    def mean_outputs(delta):
        out = h + delta
        for i in range(layer, len(network.layers)):
            out = step(network, i, a, out)
        return group_means(out, group, M) @ readout.t()

    return hessian(mean_outputs)(torch.zeros(h.size(1), dtype=x.dtype)).detach()


def step(network, i, a, h):
    linear = network.linear_of(i)
    h = a @ (h @ linear.drawn_weight.t()) + network.layers[i].bias
    return h if i + 1 == len(network.layers) else FUNCTIONS[network.activation](h)


@pytest.mark.parametrize("activation", ["gelu", "softplus", "tanh"])
@pytest.mark.parametrize("kind", [BayesianMLP, BayesianGCN])
def test_three_ways_to_one_hessian(kind, activation):
    network, inputs, group = case(kind, 2, activation)
    units = torch.tensor([0, 2, 3])
    readout = readouts(torch.zeros(1, 3, dtype=torch.float64), None)
    expected = by_func(network, inputs, group, readout)[:, :, units][..., units]
    assert expected.abs().amax((0, 1)).min() > 1e-4
    arguments = network, inputs, group, M, readout, units
    assert bends_once(network)
    for found in (
        closed_hessians(*arguments),
        product_hessians(*arguments, find_place(network)),
        product_hessians(*arguments, find_place(network, narrow=False)),
    ):
        torch.testing.assert_close(torch.stack(list(found)), expected)


@pytest.mark.parametrize("kind", [BayesianMLP, BayesianGCN])
def test_deeper_networks_and_their_hidden_units(kind):
    network, inputs, group = case(kind, 3, "tanh")
    readout = torch.eye(3, dtype=torch.float64)
    for name, layer, width in ((None, 0, 5), ("layers.1", 1, 7)):
        units = torch.arange(width)
        arguments = network, inputs, group, M, readout, units
        expected = by_func(network, inputs, group, readout, layer)
        for narrow in (True, False):
            found = product_hessians(*arguments, find_place(network, name, narrow))
            torch.testing.assert_close(torch.stack(list(found)), expected)
    assert not bends_once(network, 0)
    assert bends_once(network, 1)
    found = closed_hessians(*arguments, layer=1)
    torch.testing.assert_close(torch.stack(list(found)), expected)


def test_the_last_layer_is_linear():
    network, inputs, group = case(BayesianGCN, 2, "gelu")
    place = find_place(network, "layers.1")
    units, readout = torch.arange(7), torch.eye(3, dtype=torch.float64)
    for found in product_hessians(network, inputs, group, M, readout, units, place):
        assert found.abs().max() == 0


def test_saliency_through_the_first_layer_is_that_of_the_input():
    network, inputs, group = case(BayesianGCN, 3, "softplus")
    readout = torch.eye(3, dtype=torch.float64)
    found, expected = (
        expected_gradient(network, inputs, group, readout, find_place(network, None, b))
        for b in (True, False)
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["gelu", "softplus", "tanh"])
def test_second_derivatives(name):
    x = torch.linspace(-6, 6, 41, dtype=torch.float64, requires_grad=True)
    function = {"gelu": gelu, "softplus": softplus, "tanh": torch.tanh}[name]
    (first,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second_derivative(name, x.detach()), second)


def test_what_calls_no_matrix_is_refused():
    network, inputs, _ = case(BayesianMLP, 2, "gelu")
    network.spare = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"'layer' must be called.*\(got no call\)"):
        width_of(network, inputs, find_place(network, "spare"))
