"""A weight of 0 equals a removed edge in every layer that takes weights."""

import copy

import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric.nn import (
    APPNP,
    GATConv,
    GATv2Conv,
    GCN2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    SAGEConv,
    SGConv,
    SimpleConv,
    TransformerConv,
)
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

from gsparse.nn import FastGATConv, FastGCNConv, FastSAGEConv, edge_weights
from gsparse.nn.masking import convolutions


class InitialResidual(torch.nn.Module):
    """GCN2Conv in a model: it wants the first features beside x."""

    def __init__(self, **options):
        super().__init__()
        self.conv = GCN2Conv(6, alpha=0.2, theta=0.5, layer=1, **options)

    def forward(self, x, edge_index):
        return self.conv(x, x, edge_index)


def perceptron(width=6):
    return torch.nn.Sequential(torch.nn.Linear(6, width), torch.nn.ReLU())


MODELS = {
    "GCN": lambda: GCNConv(6, 4),
    "GCN cached": lambda: GCNConv(6, 4, cached=True),
    "GCN improved": lambda: GCNConv(6, 4, improved=True),
    "FastGCN": lambda: FastGCNConv(6, 4),
    "GCN2": InitialResidual,
    "GCN2 cached": lambda: InitialResidual(cached=True),
    "SGC": lambda: SGConv(6, 4, K=2),
    "APPNP": lambda: APPNP(K=3, alpha=0.1),
    "SAGE mean": lambda: SAGEConv(6, 4),
    "SAGE max": lambda: SAGEConv(6, 4, aggr="max"),
    "SAGE project": lambda: SAGEConv(6, 4, project=True),
    "FastSAGE": lambda: FastSAGEConv(6, 4),
    "FastSAGE max": lambda: FastSAGEConv(6, 4, aggr="max"),
    "GIN": lambda: GINConv(perceptron(), train_eps=True),
    "GraphConv": lambda: GraphConv(6, 4),
    "GraphConv mean": lambda: GraphConv(6, 4, aggr="mean"),
    "GAT": lambda: GATConv(6, 4, heads=2),
    "FastGAT": lambda: FastGATConv(6, 4, heads=2),
    "GATv2": lambda: GATv2Conv(6, 4, heads=2),
    "Transformer": lambda: TransformerConv(6, 4, heads=2),
    "Transformer beta": lambda: TransformerConv(6, 4, heads=2, beta=True),
    "stack of GCN": lambda: GCN(6, 8, 3, out_channels=4, norm="batch_norm"),
    "stack of SAGE, jumping": lambda: GraphSAGE(6, 8, 3, out_channels=4, jk="cat"),
    "stack of GIN": lambda: GIN(6, 8, 2, out_channels=4),
    "stack of GAT": lambda: GAT(6, 8, 2, out_channels=4, heads=2, v2=True),
}
EVERY = pytest.mark.parametrize("name", MODELS)


def case(dtype=torch.float32):
    generator = torch.Generator().manual_seed(33107)
    edge_index = torch.randint(11, (2, 60), generator=generator)  # node 11 has no edge
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    x = torch.randn(12, 6, generator=generator, dtype=dtype)
    keep = torch.rand(edge_index.size(1), generator=generator) < 0.4
    keep[edge_index[1] == 3] = False  # node 3 loses all its edges
    return x, edge_index, keep


def make(name, dtype=torch.float32):
    torch.manual_seed(7)
    return MODELS[name]().to(dtype).eval()


@EVERY
def test_a_hard_mask_equals_removal(name):
    x, edge_index, keep = case()
    model = make(name)
    model(x, edge_index)  # fills the caches that a layer may have
    with edge_weights(model, edge_index, keep.float()):
        masked = model(x, edge_index)
    removed = make(name)(x, edge_index[:, keep])
    torch.testing.assert_close(masked, removed, rtol=1e-5, atol=1e-6)


@EVERY
def test_a_mask_of_ones_changes_nothing_and_leaves_no_trace(name):
    x, edge_index, _ = case()
    model = make(name)
    before, layers = model(x, edge_index), [set(vars(m)) for m in model.modules()]
    with edge_weights(model, edge_index, torch.ones(edge_index.size(1))):
        torch.testing.assert_close(model(x, edge_index), before, rtol=1e-5, atol=1e-6)
    assert [set(vars(m)) for m in model.modules()] == layers
    torch.testing.assert_close(model(x, edge_index), before)


@EVERY
def test_masks_learn(name):
    """Gradients reach the mask; they are finite where it is 0, and what they say."""
    x, edge_index, keep = case(torch.float64)
    model = make(name, torch.float64)
    mask = keep.double().requires_grad_()
    with edge_weights(model, edge_index, mask):
        model(x, edge_index).square().sum().backward()
    assert torch.isfinite(mask.grad).all()
    assert mask.grad.abs().sum() > 0
    soft = torch.rand(len(keep), dtype=torch.float64) * 0.8 + 0.1

    def run(weight):
        with edge_weights(model, edge_index, weight, "reference"):
            return model(x, edge_index)

    assert gradcheck(run, soft.requires_grad_())


@pytest.mark.parametrize("name", ["GCN", "FastSAGE", "GIN"])
def test_learned_and_fixed_weights_agree(name):
    x, edge_index, _ = case()
    model, weight = make(name), torch.rand(edge_index.size(1)) + 0.1
    found = []
    for given in (weight, weight.clone().requires_grad_()):
        with edge_weights(model, edge_index, given):
            found.append(model(x, edge_index))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-6)


def test_the_edge_index_may_come_by_name():
    x, edge_index, keep = case()
    model = make("GCN2")
    conv = model.conv
    with edge_weights(conv, edge_index, keep.float()):
        masked = conv(x, edge_index=edge_index, x_0=x)
    torch.testing.assert_close(masked, conv(x, x, edge_index[:, keep]))


@EVERY
def test_a_mask_may_be_made_of_what_the_layer_is_given(name):
    """It equals removal, and each layer's is made of its own input."""
    x, edge_index, keep = case()
    model, seen, given = make(name), {}, {}
    layers = convolutions(model)
    for key, layer in layers.items():
        layer.register_forward_pre_hook(
            lambda _, args, kwargs, key=key: given.update({key: (*args, kwargs)}),
            with_kwargs=True,
        )

    def weigher(key):
        return lambda found: seen.update({key: found}) or keep.float()

    with edge_weights(model, edge_index, {key: weigher(key) for key in layers}):
        masked = model(x, edge_index)
    removed = make(name)(x, edge_index[:, keep])
    torch.testing.assert_close(masked, removed, rtol=1e-5, atol=1e-6)
    assert seen.keys() == layers.keys()
    for key, found in seen.items():
        assert found is given[key][0]


def test_a_mask_may_depend_on_features_and_learn_from_them():
    x, edge_index, _ = case(torch.float64)
    conv = SAGEConv((6, 6), 4).double()
    other, x = torch.rand_like(x), x.requires_grad_()

    def weigh(source):
        row, col = edge_index
        return torch.sigmoid((source[row] * source[col]).sum(1))

    with edge_weights(conv, edge_index, {"": weigh}):
        found = conv((x, other), edge_index)
        through = torch.autograd.grad(found.sum(), x)[0]
    with edge_weights(conv, edge_index, weigh(x)):
        expected = conv((x, other), edge_index)
        whole = torch.autograd.grad(expected.sum(), x)[0]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(through, whole)


def test_layers_that_take_no_weights_are_named():
    _x, edge_index, _ = case()
    weight = torch.ones(edge_index.size(1))
    model = torch.nn.ModuleDict({"first": SimpleConv()})
    with (
        pytest.raises(TypeError, match=r"'first' \(SimpleConv\) takes no edge weights"),
        edge_weights(model, edge_index, weight),
    ):
        pass
    model = torch.nn.ModuleDict({"first": SAGEConv(6, 4, aggr="median")})
    with (
        pytest.raises(TypeError, match=r"aggr sum, mean, max, min .*got 'median'"),
        edge_weights(model, edge_index, weight),
    ):
        pass


def test_copies_made_within_are_plain():
    _x, edge_index, keep = case()
    model = make("SAGE mean")
    with edge_weights(model, edge_index, keep.float()):
        state = copy.deepcopy(model.state_dict())
    assert state.keys() == make("SAGE mean").state_dict().keys()
