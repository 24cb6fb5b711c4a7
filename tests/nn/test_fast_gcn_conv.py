"""FastGCNConv and FastSAGEConv are PyG's layers."""

import pytest
import torch
from torch_geometric.nn import GCNConv, SAGEConv

from gsparse.data import random_graph
from gsparse.edges import undirected_pairs
from gsparse.nn import FastGCNConv, FastSAGEConv
from gsparse.train import sparse_features

DATA = random_graph(num_nodes=30, p=0.15, seed=15737, weighted=True)


def messy():
    """Directed, with self-loops, parallel copies and an isolated node."""
    generator = torch.Generator().manual_seed(60443)
    edge_index = torch.randint(29, (2, 120), generator=generator)
    return edge_index, torch.rand(120, generator=generator)


def outputs_and_gradients(layer, x, *args, **kwargs):
    x = x.clone().requires_grad_()
    out = layer(x, *args, **kwargs)
    (out**2).sum().backward()
    grads = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    return [out.detach(), x.grad, *grads]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"improved": True},
        {"add_self_loops": False},
        {"bias": False},
        {"flow": "target_to_source"},
        {"normalize": False},
    ],
)
def test_gcn_equals_pyg(options, weighted):
    edge_index, weight = messy()
    weight = weight if weighted else None
    fast, pyg = FastGCNConv(8, 5, **options), GCNConv(8, 5, **options)
    pyg.load_state_dict(fast.state_dict())
    got = outputs_and_gradients(fast, DATA.x, edge_index, weight)
    expected = outputs_and_gradients(pyg, DATA.x, edge_index, weight)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_gcn_gives_gradients_to_weights():
    edge_index, weight = messy()
    fast, pyg = FastGCNConv(8, 5), GCNConv(8, 5)
    pyg.load_state_dict(fast.state_dict())
    grads = []
    for layer in (fast, pyg):
        w = weight.clone().requires_grad_()
        layer(DATA.x, edge_index, w).square().sum().backward()
        grads.append(w.grad)
    ours, theirs = grads
    # Node 12 has two self-loops. PyG uses the last but gives both a gradient.
    first = int(((edge_index == 12).all(0)).nonzero()[0])
    assert ours[first] == 0
    theirs[first] = 0
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"root_weight": False},
        {"normalize": True},
        {"bias": False},
        {"aggr": "max"},
        {"project": True},
    ],
)
def test_sage_equals_pyg(options):
    edge_index, _ = messy()
    fast, pyg = FastSAGEConv(8, 5, **options), SAGEConv(8, 5, **options)
    pyg.load_state_dict(fast.state_dict())
    got = outputs_and_gradients(fast, DATA.x, edge_index)
    expected = outputs_and_gradients(pyg, DATA.x, edge_index)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("conv", [FastGCNConv, FastSAGEConv])
def test_weight_zero_is_removal(conv):
    layer = conv(8, 5)
    pairs = undirected_pairs(DATA.edge_index, 30)
    keep = pairs.pair % 3 != 0
    masked = layer(DATA.x, DATA.edge_index, edge_weight=keep.float())
    removed = layer(DATA.x, DATA.edge_index[:, keep])
    torch.testing.assert_close(masked, removed)


def test_sage_weights_are_a_weighted_mean():
    layer = FastSAGEConv(1, 1, bias=False, root_weight=False)
    torch.nn.init.ones_(layer.lin_l.weight)
    x = torch.tensor([[2.0], [5.0], [0.0]])
    edge_index = torch.tensor([[0, 1], [2, 2]])
    out = layer(x, edge_index, edge_weight=torch.tensor([1.0, 3.0]))
    assert out[2].item() == pytest.approx((2 + 3 * 5) / 4)


def test_sage_refuses_weights_it_cannot_use():
    with pytest.raises(ValueError, match=r"needs aggr='mean'.*\(got aggr='max',"):
        FastSAGEConv(8, 5, aggr="max")(
            DATA.x, DATA.edge_index, edge_weight=DATA.edge_weight
        )


@pytest.mark.parametrize("conv", [FastGCNConv, FastSAGEConv])
def test_a_changed_graph_is_seen(conv):
    layer = conv(8, 5)
    edge_index = DATA.edge_index.clone()
    before = layer(DATA.x, edge_index)
    edge_index[1, :40] = 0
    after = layer(DATA.x, edge_index)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, layer(DATA.x, edge_index.clone()))


@pytest.mark.parametrize("conv", [FastGCNConv, FastSAGEConv])
def test_sparse_features_give_the_same(conv):
    x = DATA.x * (torch.rand(DATA.x.shape) < 0.1)
    layer = conv(8, 5)
    sparse = sparse_features(x, threshold=1.0)
    assert type(sparse).__name__ == "SparseFeatures"
    expected = layer(x, DATA.edge_index)
    torch.testing.assert_close(layer(sparse, DATA.edge_index), expected)
    with torch.inference_mode():
        torch.testing.assert_close(layer(sparse, DATA.edge_index), expected)
