"""GCNII equals the formula of its paper, which PyG's GCN2Conv computes too."""

import math
from math import log

import pytest
import torch
from torch_geometric.nn import GCN2Conv

from gsparse.data import planted_partition, random_graph, split
from gsparse.nn import KEdge
from gsparse.train import GCNII, FitConfig, build_model, fit

DATA = random_graph(num_nodes=30, p=0.2, seed=5309)
WIDTH = DATA.num_features


def made(**options):
    torch.manual_seed(11)
    return GCNII(WIDTH, 8, 3, **options).eval()


def test_outputs_are_those_of_pyg_layers():
    model = made(num_layers=5, alpha=0.2, theta=0.7)
    first, *convolutions, last = model.layers
    hidden = start = first(DATA.x).relu()
    for i, layer in enumerate(convolutions, 1):
        conv = GCN2Conv(8, alpha=0.2, theta=0.7, layer=i)
        with torch.no_grad():
            conv.weight1.copy_(layer.lin.weight.t())
        assert layer.beta == pytest.approx(log(0.7 / i + 1))
        hidden = conv(hidden, start, DATA.edge_index).relu()
    torch.testing.assert_close(model(DATA.x, DATA.edge_index), last(hidden))


def test_a_mask_of_it_equals_the_cut_graph():
    mask = KEdge(made(num_layers=3), WIDTH, sparsity=0.5, seed=1).eval()
    cut = mask.sparsify(DATA)
    assert cut.num_edges < DATA.num_edges
    expected = mask.model(cut.x, cut.edge_index)
    torch.testing.assert_close(mask(DATA.x, DATA.edge_index), expected)


def test_dropout_of_the_features_and_of_hidden_layers():
    model = made(num_layers=2, dropout=0.6, hidden_dropout=0.0).train()
    torch.manual_seed(1)
    one, two = (model(DATA.x, DATA.edge_index) for _ in "ab")
    assert not torch.equal(one, two)
    model.dropout = 0.0
    one, two = (model(DATA.x, DATA.edge_index) for _ in "ab")
    assert torch.equal(one, two)
    model.hidden_dropout = None  # as before the first layer
    model.dropout = 0.6
    one, two = (model(DATA.x, DATA.edge_index) for _ in "ab")
    assert not torch.equal(one, two)


def test_many_layers_learn():
    data = split(planted_partition(200, num_classes=3, seed=29), "random", seed=29)
    model = build_model("gcnii", data.num_features, 3, num_layers=32)
    before = [p.clone() for p in model.parameters()]
    config = FitConfig(0.01, 5e-4, decay_first_layer_only=True, epochs=40)
    assert fit(model, data, config=config).val_score > 0.9
    assert not any(map(torch.equal, before, model.parameters()))
    for module in model.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_layers": 0}, r"an integer of at least 1 \(got 0\)"),
        ({"alpha": 1.1}, r"'alpha' must be in \[0, 1\] \(got 1.1\)"),
        ({"num_layers": 2.5}, r"an integer of at least 1 \(got 2.5\)"),
        ({"theta": 0.0}, r"'theta' must be positive and finite \(got 0.0\)"),
        ({"theta": math.inf}, r"'theta' must be positive and finite \(got inf\)"),
    ],
)
def test_numbers_that_there_are_not(options, text):
    with pytest.raises(ValueError, match=text):
        GCNII(4, 8, 2, **options)
