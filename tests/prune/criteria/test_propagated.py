"""Input norms against dense matrices."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import (
    GATConv,
    GATv2Conv,
    GCNConv,
    GINConv,
    GraphConv,
    Linear,
    SAGEConv,
    TransformerConv,
)
from torch_geometric.utils import to_dense_adj

from gsparse.data import random_graph
from gsparse.nn import (
    FastGATConv,
    FastGATv2Conv,
    FastGCNConv,
    FastSAGEConv,
    edge_weights,
)
from gsparse.prune.criteria.propagated import propagated_norms
from gsparse.train import sparse_features

DATA = random_graph(num_nodes=30, p=0.2, seed=60317)
GENERATOR = torch.Generator().manual_seed(77261)
X = torch.randn(30, 150, generator=GENERATOR) * (
    torch.rand(30, 150, generator=GENERATOR) < 0.2
)
ROW, COL = DATA.edge_index
WEIGHT = ((ROW * COL) % 7 + 1).float()
A = to_dense_adj(DATA.edge_index, max_num_nodes=30)[0].t()  # from sources to targets


def norm(x):
    return x.norm(dim=0, keepdim=True)


def normalised(a, loop=1.0):
    a = a + loop * torch.eye(30)
    scale = a.sum(1).pow(-0.5)
    return scale[:, None] * a * scale


@pytest.fixture(params=[X, sparse_features(X)], ids=["dense", "sparse"])
def x(request):
    return request.param


@pytest.mark.parametrize("kind", [GCNConv, FastGCNConv])
def test_gcn(kind, x):
    norms = propagated_norms(kind(150, 5), (x, DATA.edge_index))
    torch.testing.assert_close(norms, {"lin.weight": norm(normalised(A) @ X)})


@pytest.mark.parametrize("kind", [GCNConv, FastGCNConv])
def test_gcn_with_its_options(kind):
    weighted = torch.zeros(30, 30)
    weighted[COL, ROW] = WEIGHT
    conv = kind(150, 5, improved=True)
    norms = propagated_norms(conv, (X, DATA.edge_index, WEIGHT))
    expected = norm(normalised(weighted, loop=2.0) @ X)
    torch.testing.assert_close(norms["lin.weight"], expected)
    conv = kind(150, 5, normalize=False, add_self_loops=False)
    norms = propagated_norms(conv, (X, DATA.edge_index, WEIGHT))
    torch.testing.assert_close(norms["lin.weight"], norm(weighted @ X))


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("kind", [SAGEConv, FastSAGEConv])
def test_sage(kind, normalize, x):
    conv = kind(150, 5, normalize=normalize)
    norms = propagated_norms(conv, (x, DATA.edge_index))
    mean = A / A.sum(1, keepdim=True).clamp(min=1)
    expected = {"lin_l.weight": norm(mean @ X), "lin_r.weight": norm(X)}
    torch.testing.assert_close(norms, expected)
    assert conv.normalize == normalize


@pytest.mark.parametrize("kind", [SAGEConv, FastSAGEConv])
@pytest.mark.parametrize("aggr", ["max", "sum"])
def test_sage_of_other_aggregations(kind, aggr):
    norms = propagated_norms(kind(150, 5, aggr=aggr), (X, DATA.edge_index))
    own = torch.where(A[:, :, None] > 0, X, -torch.inf).amax(1)
    found = A @ X if aggr == "sum" else torch.where(own.isinf(), 0.0, own)
    torch.testing.assert_close(norms["lin_l.weight"], norm(found))


@pytest.mark.parametrize("kind", [SAGEConv, FastSAGEConv])
def test_bipartite_sage_without_root(kind):
    conv = kind(150, 5, root_weight=False)
    targets = torch.zeros(40, 150)
    norms = propagated_norms(conv, ((X, targets), DATA.edge_index))
    mean = A / A.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(norms, {"lin_l.weight": norm(mean @ X)})
    assert set(conv._modules) == {"aggr_module", "lin_l"}


def test_gin_and_what_follows_it():
    network = nn.Sequential(nn.Linear(150, 6), nn.ReLU(), Linear(6, 4))
    conv = GINConv(network, eps=0.5)
    norms = propagated_norms(conv, (X, DATA.edge_index))
    summed = (A + 1.5 * torch.eye(30)) @ X
    hidden = network[0](summed).relu().detach()
    expected = {"nn.0.weight": norm(summed), "nn.2.weight": norm(hidden)}
    torch.testing.assert_close(norms, expected)


def test_graph_conv_maps_after_propagation():
    norms = propagated_norms(GraphConv(150, 5), (X, DATA.edge_index))
    expected = {"lin_rel.weight": norm(A @ X), "lin_root.weight": norm(X)}
    torch.testing.assert_close(norms, expected)


@pytest.mark.parametrize(
    ("kind", "child"),
    [
        (GATConv, "lin"),
        (FastGATConv, "lin"),
        (GATv2Conv, "lin_l"),
        (FastGATv2Conv, "lin_l"),
    ],
)
def test_attention_by_head(kind, child, x):
    """The layer without bias is the sum over heads of attention times features."""
    torch.manual_seed(29873)
    conv = kind(150, 3, heads=2, bias=False)
    norms = propagated_norms(conv, (x, DATA.edge_index))[f"{child}.weight"]
    _, (ends, alpha) = conv(X, DATA.edge_index, return_attention_weights=True)
    out = conv(X, DATA.edge_index)
    weight = getattr(conv, child).weight
    for head in range(2):
        attention = torch.zeros(30, 30)
        attention.index_put_((ends[1], ends[0]), alpha[:, head].detach(), True)
        mixed = attention @ X
        rows = slice(3 * head, 3 * head + 3)
        torch.testing.assert_close(norms[rows], norm(mixed).expand(3, -1))
        bias = getattr(getattr(conv, child), "bias", None)
        if bias is None:
            torch.testing.assert_close(
                mixed @ weight[rows].t(), out[:, rows], rtol=1e-4, atol=1e-5
            )


def test_other_attention_uses_what_the_maps_are_called_with():
    norms = propagated_norms(TransformerConv(150, 3), (X, DATA.edge_index))
    assert len(norms) == 4
    for found in norms.values():
        torch.testing.assert_close(found, norm(X))


@pytest.mark.parametrize("conv", [GCNConv(150, 5), FastSAGEConv(150, 5)])
def test_edges_weighed_from_outside_count(conv):
    weight = (WEIGHT > 3).float()
    fewer = DATA.edge_index[:, weight > 0]
    expected = propagated_norms(conv, (X, fewer))
    with edge_weights(conv, DATA.edge_index, weight):
        found = propagated_norms(conv, (X, DATA.edge_index))
    torch.testing.assert_close(found, expected)


def test_unit_length_and_weights_from_outside_are_refused():
    conv = FastSAGEConv(150, 5, normalize=True)
    with (
        edge_weights(conv, DATA.edge_index, WEIGHT),
        pytest.raises(ValueError, match="'normalize' must be False"),
    ):
        propagated_norms(conv, (X, DATA.edge_index))


def test_several_calls_of_one_layer_add_up():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(150, 4)

        def forward(self, x):
            return self.first(x) + self.first(2 * x)

    norms = propagated_norms(Twice(), (X,))["first.weight"]
    torch.testing.assert_close(norms, norm(X) * 5**0.5)


def test_the_model_is_left_as_it_was():
    torch.manual_seed(29873)
    convs = [FastGCNConv(150, 8), FastSAGEConv(8, 8, normalize=True), GATConv(8, 8)]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(convs)

        def forward(self, x, edge_index):
            for conv in self.convs:
                x = conv(x, edge_index)
            return x

    net = Net()
    net.convs[1].eval()
    names = {name: type(module) for name, module in net.named_modules()}
    out, state = net(X, DATA.edge_index), torch.get_rng_state()
    propagated_norms(net, (X, DATA.edge_index))
    assert torch.get_rng_state().equal(state)
    assert names == {name: type(module) for name, module in net.named_modules()}
    assert [conv.training for conv in convs] == [True, False, True]
    assert not any(module._forward_pre_hooks for module in net.modules())
    assert net(X, DATA.edge_index).equal(out)


def test_infinite_features_are_refused():
    bad = X.clone()
    bad[3, 4] = torch.inf
    conv = GCNConv(150, 5)
    with pytest.raises(ValueError, match=r"the inputs of 'lin.weight' must be finite"):
        propagated_norms(conv, (bad, DATA.edge_index))
    assert not conv._forward_pre_hooks
