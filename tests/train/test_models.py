"""Standard models against stacks of PyG's own layers."""

import pytest
import torch
from torch.nn import functional
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

from gsparse.data import random_graph
from gsparse.train import (
    GAT,
    GCN,
    MLP,
    SAGE,
    FitConfig,
    build_model,
    sparse_features,
)
from gsparse.train.fit_config import make_optimizer

MODELS = {
    "gcn": GCN(12, 8, 3),
    "gat": GAT(12, 4, 3, heads=2, output_heads=2),
    "sage": SAGE(12, 8, 3, num_layers=3),
    "mlp": MLP(12, 8, 3),
}


@pytest.fixture
def data():
    found = random_graph(num_nodes=30, p=0.15, seed=51031)
    generator = torch.Generator().manual_seed(20399)
    x = torch.rand(30, 12, generator=generator)
    found.x = x * (torch.rand(30, 12, generator=generator) < 0.2)
    return found


def plain(model, x, edge_index, layer, activation):
    """The same stack, made of PyG's layers with the same state."""
    for i, ours in enumerate(model.layers):
        theirs = layer(ours)
        theirs.load_state_dict(ours.state_dict())
        x = theirs(x, edge_index)
        if i + 1 < len(model.layers):
            x = activation(x)
    return x


def gat_layer(ours):
    options = {"heads": ours.heads, "concat": ours.concat}
    return GATConv(ours.in_channels, ours.out_channels, **options)


@pytest.mark.parametrize(
    ("name", "layer", "activation"),
    [
        ("gcn", lambda m: GCNConv(m.in_channels, m.out_channels), functional.relu),
        ("sage", lambda m: SAGEConv(m.in_channels, m.out_channels), functional.relu),
        ("gat", gat_layer, functional.elu),
    ],
)
@pytest.mark.parametrize("convert", [torch.clone, sparse_features])
def test_equals_pyg(data, name, layer, activation, convert):
    """Values and gradients, on dense and on sparse features."""
    model = MODELS[name].eval()
    expected = plain(model, data.x, data.edge_index, layer, activation)
    out = model(convert(data.x), data.edge_index)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("self_loop", [False, True])
@pytest.mark.parametrize("convert", [torch.clone, sparse_features])
def test_deep_gcn_by_hand(data, batch_norm, self_loop, convert):
    """Convolution plus own weights, batch norm, ReLU; the last layer ends bare."""
    options = {"batch_norm": batch_norm, "self_loop": self_loop}
    model = GCN(12, 8, 3, num_layers=3, dropout=0.0, **options).train()
    x = data.x
    for i, layer in enumerate(model.layers):
        ours = layer.conv if batch_norm or self_loop else layer
        theirs = GCNConv(ours.in_channels, ours.out_channels)
        theirs.load_state_dict(ours.state_dict())
        out = theirs(x, data.edge_index)
        if self_loop:
            out = out + x @ layer.own.weight.T
        if i < 2:
            if batch_norm:
                out = (out - out.mean(0)) / (out.var(0, unbiased=False) + 1e-5).sqrt()
            out = out.relu()
        x = out
    torch.testing.assert_close(model(convert(data.x), data.edge_index), x)
    state = model.state_dict()
    assert any("norm" in key for key in state) == batch_norm
    assert any("own" in key for key in state) == self_loop


@pytest.mark.parametrize("self_loop", [False, True])
def test_hidden_layers_begin_near_the_identity(self_loop):
    """A tenth of Glorot's weights stays within a tenth of sqrt(6 / 16) of it."""
    options = {"num_layers": 4, "near_identity": True, "self_loop": self_loop}
    model = GCN(5, 8, 3, **options)
    for _ in range(2):
        weights = [getattr(it, "conv", it).lin.weight for it in model.layers]
        for weight in weights[1:-1]:
            assert 0 < (weight - torch.eye(8)).abs().max() < 0.1 * (6 / 16) ** 0.5
        assert weights[0].diagonal().abs().max() < (6 / 13) ** 0.5
        model.reset_parameters()


def test_dropout_of_hidden_layers_alone(data):
    """Features that are all zero show no dropout, so what is left is the hidden one."""
    model = GCN(12, 8, 3, num_layers=3, dropout=0.9, hidden_dropout=0.0).train()
    torch.nn.init.ones_(model.layers[0].bias)
    out = [model(torch.zeros(30, 12), data.edge_index) for _ in range(2)]
    assert out[0].equal(out[1])
    out = [model(data.x, data.edge_index) for _ in range(2)]
    assert not out[0].equal(out[1])
    model = GCN(12, 8, 3, num_layers=3, dropout=0.0, hidden_dropout=0.9).train()
    torch.nn.init.ones_(model.layers[0].bias)
    out = [model(torch.zeros(30, 12), data.edge_index) for _ in range(2)]
    assert not out[0].equal(out[1])


def test_first_layer_of_a_deep_gcn_is_all_of_it():
    """Where only the first layer decays, so do its own weights and its norm."""
    model = GCN(5, 8, 3, num_layers=3, batch_norm=True, self_loop=True)
    config = FitConfig(weight_decay=0.1, decay_first_layer_only=True)
    decayed, others = make_optimizer(model, config).param_groups
    first = model.layers[0]
    expected = [first.conv.lin.weight, first.conv.bias, first.own.weight]
    expected += [first.norm.weight, first.norm.bias]
    assert {id(p) for p in decayed["params"]} == {id(p) for p in expected}
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)


def test_deep_gcn_draws_all_its_parameters_anew():
    model = GCN(5, 8, 3, num_layers=3, batch_norm=True, self_loop=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    model.reset_parameters()
    assert not any((p == 7).any() for p in model.parameters())


@pytest.mark.parametrize("name", ["gcn", "sage", "gat"])
def test_weight_zero_is_no_edge(data, name):
    """Dropping a pair and weighing it with zero are the same to every model."""
    row, col = data.edge_index
    keep = (row + col) % 3 != 0
    weight = keep.float()
    model = MODELS[name].eval()
    cut = model(data.x, data.edge_index[:, keep])
    masked = model(data.x, data.edge_index, weight)
    torch.testing.assert_close(masked, cut)


def test_gcn_passes_gradients_to_edge_weights(data):
    model = MODELS["gcn"].eval()
    weight = torch.rand(data.num_edges, requires_grad=True)
    model(data.x, data.edge_index, weight).square().sum().backward()
    assert (weight.grad != 0).all()
    fixed = model(data.x, data.edge_index, weight.detach())
    torch.testing.assert_close(fixed, model(data.x, data.edge_index, weight))


@pytest.mark.parametrize("name", ["gcn", "sage", "gat"])
def test_weights_changed_in_place_are_seen(data, name):
    """What is remembered of a graph hangs on the version of its tensors."""
    model = MODELS[name].eval()
    weight = torch.ones(data.num_edges)
    before = model(data.x, data.edge_index, weight)
    weight[:10] = 5.0
    after = model(data.x, data.edge_index, weight)
    torch.testing.assert_close(after, model(data.x, data.edge_index, weight.clone()))
    assert not torch.allclose(before, after)


def test_mlp_ignores_edges(data):
    model = MODELS["mlp"].eval()
    assert model(data.x, data.edge_index).equal(model(data.x, data.edge_index[:, :0]))


@pytest.mark.parametrize("attention", ["reference", "pyg"])
def test_attentions_agree(data, attention):
    fused = GAT(12, 4, 3, heads=2)
    other = GAT(12, 4, 3, heads=2, attention=attention)
    other.load_state_dict(fused.state_dict())
    out, expected = (m.eval()(data.x, data.edge_index) for m in (other, fused))
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("name", MODELS)
def test_dropout_only_while_training(data, name):
    model = MODELS[name]
    x = sparse_features(data.x)
    out = [model.eval()(x, data.edge_index) for _ in range(2)]
    assert out[0].equal(out[1])
    out = [model.train()(x, data.edge_index) for _ in range(2)]
    assert not out[0].equal(out[1])


@pytest.mark.parametrize("name", MODELS)
def test_layers_and_reset(name):
    model = build_model(name, 7, 4, hidden_channels=6, num_layers=3)
    assert len(model.layers) == 3
    before = [p.clone() for p in model.parameters() if p.dim() > 1]
    model.reset_parameters()
    after = [p for p in model.parameters() if p.dim() > 1]
    assert not any(a.equal(b) for a, b in zip(before, after, strict=True))


def test_one_layer(data):
    assert GCN(12, 99, 3, num_layers=1)(data.x, data.edge_index).shape == (30, 3)
    assert GAT(12, 99, 3, num_layers=1)(data.x, data.edge_index).shape == (30, 3)


class TestRefusals:
    @pytest.mark.parametrize("model", [GCN, GAT, SAGE, MLP])
    def test_no_layers(self, model):
        with pytest.raises(ValueError, match=r"'num_layers' must be .* \(got 0\)"):
            model(4, 4, 2, num_layers=0)

    def test_unknown_model(self):
        with pytest.raises(ValueError, match=r"'model' must be one of .*'gin'"):
            build_model("gin", 3, 2)

    def test_unknown_attention(self):
        with pytest.raises(ValueError, match=r"'attention' must be .*'fast'"):
            GAT(3, 4, 2, attention="fast")

    def test_pyg_attention_takes_no_weights(self, data):
        model = GAT(12, 4, 3, attention="pyg")
        with pytest.raises(ValueError, match=r"takes no 'edge_weight'; use 'fused'"):
            model(data.x, data.edge_index, torch.ones(data.num_edges))
