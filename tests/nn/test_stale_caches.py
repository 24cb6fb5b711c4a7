"""A layer with ``cached=True`` never uses the cache of another graph."""

import inspect

import pytest
import torch
import torch_geometric.nn as pyg
from torch import nn

from gsparse.data import random_graph
from gsparse.nn import DropEdge, FastGAT, FeatureMask
from gsparse.nn.stale_caches import caches, caches_aside, forget, fresh_caches
from gsparse.transforms import RandomEdge

DATA = random_graph(num_nodes=20, p=0.4, seed=7703)
CUT = RandomEdge(0.6, seed=5)(DATA)
WIDTH = DATA.num_features
MAKERS = {
    "GCNConv": lambda: pyg.GCNConv(WIDTH, WIDTH, cached=True),
    "GCN2Conv": lambda: pyg.GCN2Conv(WIDTH, 0.1, cached=True),
    "SGConv": lambda: pyg.SGConv(WIDTH, WIDTH, K=2, cached=True),
    "SSGConv": lambda: pyg.SSGConv(WIDTH, WIDTH, 0.1, K=2, cached=True),
    "APPNP": lambda: pyg.APPNP(2, 0.1, cached=True),
    "FAConv": lambda: pyg.FAConv(WIDTH, cached=True, dropout=0.0),
    "DNAConv": lambda: pyg.DNAConv(WIDTH, cached=True),
    "EGConv": lambda: pyg.EGConv(WIDTH, WIDTH, num_heads=1, cached=True),
}


class Net(nn.Module):
    """Attention beside one layer that caches."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(61)
        self.first, self.layer = pyg.GATConv(WIDTH, WIDTH), MAKERS[kind]()

    def forward(self, x, edge_index):
        more = (x,) if isinstance(self.layer, pyg.GCN2Conv | pyg.FAConv) else ()
        if isinstance(self.layer, pyg.DNAConv):
            x = x.unsqueeze(1)
        x = self.layer(x, *more, edge_index)
        return self.first(x, edge_index)


def fresh(kind, data, x=None):
    return Net(kind)(DATA.x if x is None else x, data.edge_index)


def test_every_layer_of_pyg_that_caches_is_here():
    known = {
        name
        for name in pyg.conv.__all__
        if "cached" in inspect.signature(getattr(pyg, name).__init__).parameters
    }
    known.discard("ClusterGCNConv")
    assert known == set(MAKERS)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_forgotten_graph_is_not_answered_for(kind):
    net = Net(kind)
    net(DATA.x, DATA.edge_index)
    assert any(getattr(layer, key) is not None for layer, key in caches(net))
    stale = net(DATA.x, CUT.edge_index)
    assert not torch.allclose(stale, fresh(kind, CUT), atol=1e-4)
    forget(net)
    torch.testing.assert_close(net(DATA.x, CUT.edge_index), fresh(kind, CUT))
    with fresh_caches(net):
        out = net(DATA.x, DATA.edge_index)
    torch.testing.assert_close(out, fresh(kind, DATA))
    assert all(getattr(layer, key) is None for layer, key in caches(net))


@pytest.mark.parametrize("kind", MAKERS)
def test_aside_means_neither_read_nor_written(kind):
    net = Net(kind)
    expected = net(DATA.x, DATA.edge_index)
    before = [getattr(layer, key) for layer, key in caches(net)]
    with caches_aside(net):
        for data in (CUT, DATA, CUT):
            out = net(DATA.x, data.edge_index)
            torch.testing.assert_close(out, fresh(kind, data))
    assert net.layer.cached
    for (layer, key), value in zip(caches(net), before, strict=True):
        assert getattr(layer, key) is value
    torch.testing.assert_close(net(DATA.x, DATA.edge_index), expected)


def test_only_what_was_made_in_inference_is_forgotten():
    net, other = Net("SGConv"), Net("GCNConv")
    for model in (net, other):
        with torch.inference_mode():
            model(DATA.x, DATA.edge_index)
        forget(model, inference_only=True)
        assert all(getattr(layer, key) is None for layer, key in caches(model))
        model(DATA.x, DATA.edge_index).sum().backward()
        forget(model, inference_only=True)
        assert any(getattr(layer, key) is not None for layer, key in caches(model))


@pytest.mark.parametrize("kind", ["GCNConv", "SGConv", "APPNP"])
def test_fast_gat_goes_around_the_caches_of_its_model(kind):
    net = Net(kind)
    full = net(DATA.x, DATA.edge_index)
    fast = FastGAT(net, 0.5, seed=9)
    expected = fresh(kind, fast.sparsify(DATA))
    torch.testing.assert_close(fast(DATA.x, DATA.edge_index), expected)
    torch.testing.assert_close(net(DATA.x, DATA.edge_index), full)


def test_drop_edge_evaluates_the_graph_that_it_is_given():
    net = Net("GCNConv")
    net(DATA.x, DATA.edge_index)
    out = DropEdge(net, 0.5).eval()(DATA.x, CUT.edge_index)
    torch.testing.assert_close(out, fresh("GCNConv", CUT))


def test_a_mask_of_features_is_not_frozen_by_propagated_features():
    net = Net("SGConv")
    net(DATA.x, DATA.edge_index)
    mask = FeatureMask(net, WIDTH, sparsity=0.5, seed=3).eval()
    expected = fresh("SGConv", DATA, DATA.x * mask.keep())
    torch.testing.assert_close(mask(DATA.x, DATA.edge_index), expected)
