"""FastGAT equals the model on the sparsified graph."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GAT, GATConv, GATv2Conv, GCNConv, SimpleConv

from gsparse.data import random_graph
from gsparse.edges import undirected_pairs
from gsparse.nn import FastGAT, FastGATConv, KEdge, edge_weights

DATA = random_graph(num_nodes=40, p=0.3, seed=15737)


class Net(nn.Module):
    """A user's model, with one layer of each kind."""

    def __init__(self, first=GATConv):
        super().__init__()
        torch.manual_seed(5501)
        self.first = first(DATA.num_features, 8, heads=4)
        self.second = GATv2Conv(32, 8, heads=2)
        self.third = GCNConv(16, 8)
        self.last = GATConv(8, 3, concat=False, heads=3)

    def forward(self, x, edge_index):
        x = self.first(x, edge_index).relu()
        x = self.third(self.second(x, edge_index).relu(), edge_index)
        return self.last(x, edge_index)


def reweighted(model, data):
    """The model run on a weighted graph, weights by hand: PyG's layers, log w."""
    x, ends, w = data.x, data.edge_index, data.edge_weight
    fast = FastGATConv(DATA.num_features, 8, heads=4, attention="reference")
    fast.load_state_dict(model.first.state_dict())
    return fast(x, ends, edge_weight=w)


@pytest.mark.parametrize("size", [{"sparsity": 0.5}, {"epsilon": 0.7}])
@pytest.mark.parametrize("first", [GATConv, FastGATConv])
def test_equals_the_model_on_the_cut_graph(size, first):
    net = Net(first)
    fast = FastGAT(net, **size, seed=9001)
    cut = fast.sparsify(DATA)
    assert 0 < cut.num_edges < DATA.num_edges
    expected = net(DATA.x, cut.edge_index)
    torch.testing.assert_close(fast(DATA.x, DATA.edge_index), expected)


def test_sparsity_zero_equals_the_model():
    net = Net()
    for reweight in (False, True):
        fast = FastGAT(net, sparsity=0.0, reweight=reweight)
        out = fast(DATA.x, DATA.edge_index)
        torch.testing.assert_close(out, net(DATA.x, DATA.edge_index))


def test_new_weights_enter_every_layer():
    """With weights that are whole numbers a weight is that many parallel edges."""
    net = Net().double()
    data = random_graph(num_nodes=40, p=0.3, seed=15737)
    pairs = undirected_pairs(data.edge_index, 40)
    copies = 1 + pairs.pair % 3
    repeated = data.edge_index.repeat_interleave(copies, dim=1)
    x = data.x.double()
    with edge_weights(net, data.edge_index, copies.double()):
        out = net(x, data.edge_index)
    torch.testing.assert_close(out, net(x, repeated))
    assert not torch.allclose(out, net(x, data.edge_index), atol=1e-3)


def test_weight_zero_is_removal():
    net = Net()
    pairs = undirected_pairs(DATA.edge_index, 40)
    keep = pairs.pair % 2 == 0
    with edge_weights(net, DATA.edge_index, keep.float()):
        out = net(DATA.x, DATA.edge_index)
    torch.testing.assert_close(out, net(DATA.x, DATA.edge_index[:, keep]))


def test_reweight_hands_the_new_weights_to_the_attention():
    net = Net()
    fast = FastGAT(net, sparsity=0.5, reweight=True, seed=9001)
    cut = fast.sparsify(DATA)
    with edge_weights(net, cut.edge_index, cut.edge_weight):
        expected = net(DATA.x, cut.edge_index)
        first = net.first(DATA.x, cut.edge_index)
    torch.testing.assert_close(first, reweighted(net, cut))
    torch.testing.assert_close(fast(DATA.x, DATA.edge_index), expected)
    plain = FastGAT(net, sparsity=0.5, seed=9001)(DATA.x, DATA.edge_index)
    assert not torch.allclose(plain, expected, atol=1e-3)


def test_the_model_stays_as_it_was():
    net = Net()
    before = net(DATA.x, DATA.edge_index)
    fast = FastGAT(net, sparsity=0.5, reweight=True, seed=9001)
    fast(DATA.x, DATA.edge_index).sum().backward()
    assert fast.model is net
    assert type(net.first) is GATConv
    assert "forward" not in vars(net.first)
    assert all(p.grad is not None for p in net.parameters())
    torch.testing.assert_close(net(DATA.x, DATA.edge_index), before)


def test_gradients_equal_those_on_the_cut_graph():
    net = Net()
    fast = FastGAT(net, sparsity=0.5, seed=9001)
    fast(DATA.x, DATA.edge_index).square().sum().backward()
    grads = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    net(DATA.x, fast.sparsify(DATA).edge_index).square().sum().backward()
    for got, p in zip(grads, net.parameters(), strict=True):
        torch.testing.assert_close(got, p.grad, rtol=1e-4, atol=1e-4)


def test_each_graph_is_sparsified_once():
    fast = FastGAT(Net(), sparsity=0.5, seed=9001)
    calls = []
    cut = fast.sparsify
    fast.sparsify = lambda data: calls.append(1) or cut(data)
    edge_index = DATA.edge_index.clone()
    for _ in range(3):
        fast(DATA.x, edge_index)
    assert len(calls) == 1
    edge_index[:, :2] = edge_index[:, :2].flip(1)  # same graph, new content
    fast(DATA.x, edge_index)
    assert len(calls) == 2
    with torch.inference_mode():
        twin = DATA.edge_index.clone()
        fast(DATA.x, twin)
        fast(DATA.x, twin)
    assert len(calls) == 3


def test_checkpoints_load_both_ways():
    net, other = Net(), Net()
    for p in other.parameters():
        nn.init.normal_(p)
    fast = FastGAT(net, sparsity=0.5, seed=9001)
    fast.load_state_dict(other.state_dict())
    torch.testing.assert_close(net.first.att_src, other.first.att_src)
    again = FastGAT(Net(), sparsity=0.5, seed=9001)
    again.load_state_dict(fast.state_dict())
    again.model.load_state_dict(fast.model.state_dict())
    assert set(fast.state_dict()) == {f"model.{k}" for k in net.state_dict()}
    out = fast(DATA.x, DATA.edge_index)
    torch.testing.assert_close(again(DATA.x, DATA.edge_index), out)


def test_copies_and_pickles_carry_no_graph():
    fast = FastGAT(Net(), sparsity=0.5, seed=9001)
    out = fast(DATA.x, DATA.edge_index)
    assert len(fast._cuts) == 1
    for clone in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
        assert len(clone._cuts) == 0
        torch.testing.assert_close(clone(DATA.x, DATA.edge_index), out)


def test_pyg_model():
    model = GAT(DATA.num_features, 16, num_layers=2, out_channels=3, heads=4, v2=True)
    fast = FastGAT(model.eval(), sparsity=0.5, seed=9001)
    expected = model(DATA.x, fast.sparsify(DATA).edge_index)
    torch.testing.assert_close(fast(DATA.x, DATA.edge_index), expected)


def test_a_model_without_attention_is_refused():
    with pytest.raises(TypeError, match=r"GATConv or GATv2Conv layers \(got GCNConv\)"):
        FastGAT(GCNConv(3, 4), sparsity=0.5)


def test_a_layer_without_weights_is_refused_by_name():
    model = nn.Sequential(GATConv(3, 4), SimpleConv())
    weight = torch.ones(DATA.num_edges)
    with (
        pytest.raises(
            TypeError, match=r"layer '1' \(SimpleConv\) takes no edge weights"
        ),
        edge_weights(model, DATA.edge_index, weight),
    ):
        pass


def test_another_graph_inside_is_refused():
    class Drops(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GATConv(DATA.num_features, 4)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index[:, ::2])

    fast = FastGAT(Drops(), sparsity=0.5, reweight=True, seed=9001)
    with pytest.raises(ValueError, match="'conv' was called with another graph"):
        fast(DATA.x, DATA.edge_index)


def test_cached_gcn_is_not_frozen():
    conv = GCNConv(DATA.num_features, 4, cached=True)
    for value in (1.0, 0.25):
        pairs = undirected_pairs(DATA.edge_index, 40)
        weight = torch.where(pairs.pair % 2 == 0, 1.0, value)
        with edge_weights(conv, DATA.edge_index, weight):
            out = conv(DATA.x, DATA.edge_index)
        conv.cached = False
        torch.testing.assert_close(out, conv(DATA.x, DATA.edge_index, weight))
        conv.cached = True
    assert conv._cached_edge_index is None


def test_a_graph_seen_first_in_inference_serves_training():
    fast = FastGAT(Net(), sparsity=0.5, seed=9001)
    edge_index = DATA.edge_index.clone()
    with torch.inference_mode():
        before = fast(DATA.x, edge_index).clone()
    out = fast(DATA.x, edge_index)
    out.sum().backward()
    torch.testing.assert_close(out.detach(), before)


class Takes(nn.Module):
    """Takes edge features and types by name, and weights under another one."""

    def __init__(self, required=False):
        super().__init__()
        torch.manual_seed(5501)
        self.conv = GATConv(DATA.num_features, 4, edge_dim=2)

    def forward(self, x, edge_index, w, edge_attr, kind=None, level=None):
        assert w is None  # weights reach the layers directly
        scale = 0 if kind is None else kind.sum()
        return self.conv(x, edge_index, edge_attr) + scale + (level or 0)


def test_all_values_of_edges_follow_the_cut():
    fast = FastGAT(Takes(), sparsity=0.5, seed=9001)
    cut, count = fast.sparsify(DATA), DATA.num_edges
    edge_attr, kind = torch.rand(count, 2), torch.rand(count)
    expected = fast.model(
        DATA.x, cut.edge_index, None, edge_attr[cut.e_id], kind[cut.e_id], 0.5
    )
    assert not torch.allclose(kind.sum(), kind[cut.e_id].sum())
    by_place = fast(DATA.x, DATA.edge_index, None, edge_attr, kind, 0.5)
    torch.testing.assert_close(by_place, expected)
    named = {"edge_attr": edge_attr, "kind": kind, "level": 0.5}
    torch.testing.assert_close(fast(DATA.x, DATA.edge_index, **named), expected)


def test_weights_are_weights_under_any_of_their_names():
    fast = FastGAT(Takes(), sparsity=0.5, reweight=True, seed=9001)
    edge_attr, data = torch.rand(DATA.num_edges, 2), DATA.clone()
    pair = undirected_pairs(DATA.edge_index, 40).pair
    data.edge_weight = weight = 1.0 + pair % 3
    cut = fast.sparsify(data)
    with edge_weights(fast.model, cut.edge_index, cut.edge_weight):
        expected = fast.model(DATA.x, cut.edge_index, None, edge_attr[cut.e_id])
    graph = DATA.x, DATA.edge_index
    torch.testing.assert_close(fast(*graph, weight, edge_attr), expected)
    torch.testing.assert_close(fast(*graph, w=weight, edge_attr=edge_attr), expected)
    named = {"edge_weight": weight, "edge_attr": edge_attr}
    torch.testing.assert_close(fast(*graph, **named), expected)


def test_a_third_argument_of_a_model_that_takes_two_holds_weights():
    fast = FastGAT(Net(), sparsity=0.5, reweight=True, seed=9001)
    weight = 1.0 + undirected_pairs(DATA.edge_index, 40).pair % 3
    expected = fast(DATA.x, DATA.edge_index, edge_weight=weight)
    torch.testing.assert_close(fast(DATA.x, DATA.edge_index, weight), expected)
    assert not torch.allclose(fast(DATA.x, DATA.edge_index), expected, atol=1e-3)


def test_arguments_given_twice_or_in_excess_are_refused():
    fast, graph = FastGAT(Net(), sparsity=0.5), (DATA.x, DATA.edge_index)
    weight = torch.ones(DATA.num_edges)
    with pytest.raises(TypeError, match="was given 'edge_weight' twice"):
        fast(*graph, weight, edge_weight=weight)
    with pytest.raises(TypeError, match=r"Net.forward\(x, edge_index\) takes 2 pos"):
        fast(*graph, weight, None, weight)
    with pytest.raises(ValueError, match=r"'edge_weight' must have a row for each of"):
        fast(*graph, weight[:7])


def graphs():
    """A dense, a thin and a small graph: one budget would cut them otherwise."""
    sizes = ((12, 0.8), (30, 0.1), (8, 0.9))
    return [random_graph(num_nodes=n, p=p, seed=607 + n) for n, p in sizes]


class WithBatch(Net):
    """Takes the graph of each node, and tells whether it came."""

    def forward(self, x, edge_index, batch=None):
        self.batch = batch
        return super().forward(x, edge_index)


@pytest.mark.parametrize("reweight", [False, True])
def test_a_batch_has_a_budget_for_each_graph(reweight):
    both = Batch.from_data_list(graphs())
    fast = FastGAT(WithBatch(), sparsity=0.5, reweight=reweight, seed=9001)
    out = fast(both.x, both.edge_index, batch=both.batch)
    assert fast.model.batch is both.batch
    for number, data in enumerate(graphs()):
        alone = fast(data.x, data.edge_index)
        torch.testing.assert_close(out[both.batch == number], alone)
    one = fast(both.x, both.edge_index.clone())
    assert not torch.allclose(one, out, atol=1e-3)


def test_a_batch_that_was_sparsified_is_remembered():
    both, net = Batch.from_data_list(graphs()), Net()
    fast = FastGAT(net, sparsity=0.5, seed=9001)
    before = fast(both.x, both.edge_index)  # one graph as far as it knows
    expected = net(both.x, fast.sparsify(both).edge_index)
    assert not torch.allclose(before, expected, atol=1e-3)
    torch.testing.assert_close(fast(both.x, both.edge_index), expected)
    named = fast(both.x, both.edge_index, batch=both.batch)
    torch.testing.assert_close(named, expected)
    both.edge_index[:, 0] = both.edge_index[:, 0].clone()  # changed: forgotten
    torch.testing.assert_close(fast(both.x, both.edge_index), before)


def test_a_batch_vector_that_does_not_fit_is_refused():
    fast, batch = FastGAT(Net(), sparsity=0.5), torch.arange(40)
    with pytest.raises(ValueError, match=r"'batch' must hold .* of the 40 nodes"):
        fast(DATA.x, DATA.edge_index, batch=batch)
    with pytest.raises(ValueError, match=r"got \[7\]"):
        fast(DATA.x, DATA.edge_index, batch=batch[:7])


def test_an_explainer_is_sent_to_the_model_and_the_cut_graph():
    fast = FastGAT(GAT(DATA.num_features, 4, 2, 3), sparsity=0.5, seed=613)

    def explain(model, data):
        explainer = Explainer(
            model,
            GNNExplainer(epochs=1),
            explanation_type="model",
            edge_mask_type="object",
            model_config={
                "mode": "regression",
                "task_level": "node",
                "return_type": "raw",
            },
        )
        return explainer(data.x, data.edge_index).edge_mask

    cut = fast.sparsify(DATA)
    assert explain(fast.model, cut).numel() == cut.num_edges
    with pytest.raises(
        RuntimeError, match=r"explain wrapper\.model on wrapper\.sparsify"
    ):
        explain(fast, DATA)


@pytest.mark.parametrize("kind", [FastGAT, KEdge])
def test_a_wrapper_cannot_be_traced(kind):
    net = GAT(DATA.num_features, 4, 2, 3)
    width = {} if kind is FastGAT else {"in_channels": DATA.num_features}
    wrapper = kind(net, sparsity=0.5, **width).eval()
    with pytest.raises(RuntimeError, match=rf"{kind.__name__} cannot be traced"):
        torch.jit.trace(wrapper, (DATA.x, DATA.edge_index))


def test_a_class_in_place_of_a_model_is_refused():
    with pytest.raises(TypeError, match=r"must be a module.*got the class GATConv"):
        FastGAT(GATConv, sparsity=0.5)
