"""The output layer of a model, and layers for other numbers of classes."""

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.nn import GCNConv, TransformerConv

from gsparse.train import GAT, GCN, MLP, SAGE
from gsparse.train.incremental.output_layer import (
    find_output_layer,
    num_outputs,
    output_layer_like,
)

torch.manual_seed(51907)
X = torch.randn(12, 10)
EDGES = torch.randint(12, (2, 40))
MODELS = [
    (pyg.GCN(10, 8, 3, 4, norm="batch_norm"), "convs.2"),
    (pyg.GAT(10, 8, 2, 4, heads=2), "convs.1"),
    (pyg.GAT(10, 8, 2, 4, heads=2, v2=True), "convs.1"),
    (pyg.GraphSAGE(10, 8, 2, 4), "convs.1"),
    (pyg.GIN(10, 8, 2, 4), "convs.1.nn.lins.1"),
    (pyg.GCN(10, 8, 2, 4, jk="cat"), "lin"),
    (GCN(10, 8, 4), "layers.1"),
    (GCN(10, 8, 4, batch_norm=True, self_loop=True), "layers.1"),
    (GAT(10, 8, 4, heads=2, output_heads=3), "layers.1"),
    (SAGE(10, 8, 4), "layers.1"),
    (MLP(10, 8, 4), "layers.1"),
]


@pytest.mark.parametrize(("model", "name"), MODELS)
def test_the_model_scores_as_many_classes_as_its_new_output_layer(model, name):
    assert find_output_layer(model) == name
    old = model.get_submodule(name)
    assert num_outputs(old) == 4
    new = output_layer_like(old, 7)
    before = {key: value.clone() for key, value in old.state_dict().items()}
    parent, _, key = name.rpartition(".")
    model.get_submodule(parent)._modules[key] = new
    assert model(X, EDGES).shape == (12, 7)
    model.get_submodule(parent)._modules[key] = old
    assert model(X, EDGES).shape == (12, 4)
    for key, value in old.state_dict().items():
        assert value.equal(before[key])


def test_its_parameters_are_those_of_a_layer_made_for_that_many_classes():
    for make in (
        lambda c: pyg.GATConv(8, c, heads=3, concat=False),
        lambda c: pyg.GATv2Conv(8, c, heads=3, share_weights=True),
        lambda c: pyg.SAGEConv(8, c, aggr="max"),
        lambda c: TransformerConv(8, c, heads=2, concat=False),
        lambda c: nn.Linear(8, c),
    ):
        new, wanted = output_layer_like(make(4), 6).state_dict(), make(6).state_dict()
        assert {k: v.shape for k, v in new.items()} == {
            k: v.shape for k, v in wanted.items()
        }


def test_weights_are_drawn_anew():
    layer = nn.Linear(6, 4)
    new = output_layer_like(layer, 4)
    assert not new.weight.equal(layer.weight)
    assert new.weight.requires_grad
    assert (new.weight.abs() <= 6**-0.5).all()


def test_two_maps_in_a_row_are_not_one_layer():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(10, 8)
            self.decoder = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))

    assert find_output_layer(Net()) == "decoder.2"


def test_refusals():
    with pytest.raises(ValueError, match=r"must have a linear layer .*\(got ReLU\)"):
        find_output_layer(nn.ReLU())
    with pytest.raises(ValueError, match=r"'num_classes' must be at least 1 \(got 0\)"):
        output_layer_like(nn.Linear(3, 2), 0)
    block = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    with pytest.raises(
        ValueError, match=r"hold no statistics \(got BatchNorm1d at '1'"
    ):
        output_layer_like(block, 2)
    block = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(
        ValueError, match=r"'2.weight' of 'head' must have a multiple of 4"
    ):
        output_layer_like(block, 2)
    with pytest.raises(ValueError, match=r"must name a convolution .*\(got Tanh\)"):
        num_outputs(nn.Tanh())
