"""Checkpoints load into wrappers and back; invalid graphs are refused."""

import copy

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import GAT, GATConv

from gsparse.data import random_graph
from gsparse.nn import (
    DropEdge,
    FastGAT,
    FeatureMask,
    KEdge,
    NeuralSparse,
    PTDNet,
    SparseGAT,
)

DATA = random_graph(num_nodes=20, p=0.4, seed=7703)
WIDTH = DATA.num_features
WRAPPERS = {
    "FastGAT": lambda net: FastGAT(net, 0.5, seed=8),
    "DropEdge": lambda net: DropEdge(net, 0.5),
    "KEdge": lambda net: KEdge(net, WIDTH, 0.5, seed=8),
    "SparseGAT": lambda net: SparseGAT(net, WIDTH, 0.5, seed=8),
    "NeuralSparse": lambda net: NeuralSparse(net, WIDTH, 0.5, seed=8),
    "PTDNet": lambda net: PTDNet(net, WIDTH, 0.5, seed=8, scope="shared"),
    "FeatureMask": lambda net: FeatureMask(net, WIDTH, 0.5, seed=8),
}
MASKS = [name for name in WRAPPERS if name not in ("FastGAT", "DropEdge")]


class Net(nn.Module):
    """Calls its own network ``model``, as wrappers do."""

    def __init__(self, depth=1):
        super().__init__()
        inner = GAT(WIDTH, 8, 2, heads=2) if depth == 1 else Net(depth - 1)
        self.model, self.head = inner, nn.Linear(8, 8)

    def forward(self, x, edge_index):
        return self.head(self.model(x, edge_index))


def drawn(net):
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("depth", [1, 2])
def test_checkpoints_load_strictly_both_ways(wrap, depth):
    plain, wrapped = drawn(Net(depth)), wrap(Net(depth))
    own = {k: v.clone() for k, v in wrapped.state_dict().items() if k[:6] != "model."}
    wrapped.load_state_dict(plain.state_dict())
    same(wrapped.model.state_dict(), plain.state_dict())
    same({k: wrapped.state_dict()[k] for k in own}, own)

    other = wrap(Net(depth))
    other.load_state_dict(drawn(wrapped).state_dict())
    same(other.state_dict(), wrapped.state_dict())

    back = Net(depth)
    back.load_state_dict(wrapped.model.state_dict())
    same(back.state_dict(), wrapped.model.state_dict())


def test_checkpoints_of_every_depth_load_into_wrappers_of_wrappers():
    wrapped = WRAPPERS["FeatureMask"](WRAPPERS["KEdge"](Net()))
    for given in (Net(), WRAPPERS["KEdge"](Net())):
        expected = drawn(given).state_dict()
        wrapped.load_state_dict(expected)
        inner = wrapped.model.model if isinstance(given, Net) else wrapped.model
        same(inner.state_dict(), expected)
    same(copy.deepcopy(wrapped).state_dict(), wrapped.state_dict())


def test_a_wrapper_within_a_network_takes_its_checkpoint():
    plain = nn.ModuleDict({"gnn": drawn(Net()), "head": nn.Linear(8, 2)})
    holder = nn.ModuleDict({"gnn": FastGAT(Net(), 0.5), "head": nn.Linear(8, 2)})
    holder.load_state_dict(plain.state_dict())
    same(holder["gnn"].model.state_dict(), plain["gnn"].state_dict())


def test_what_a_checkpoint_lacks_is_named_as_a_part_of_the_model():
    state = Net().state_dict()
    del state["head.weight"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"model\.head\.weight"'):
        FastGAT(Net(), 0.5).load_state_dict(state)
    state["foreign"] = torch.ones(1)
    found = FastGAT(Net(), 0.5).load_state_dict(state, strict=False)
    assert found.missing_keys == ["model.head.weight"]
    assert found.unexpected_keys == ["model.foreign"]


def hetero():
    data = HeteroData()
    data["a"].x = DATA.x
    data["a", "to", "a"].edge_index = DATA.edge_index
    return data


@pytest.mark.parametrize("name", WRAPPERS)
def test_other_graphs_are_refused_by_name(name):
    wrapped, data = WRAPPERS[name](Net()), hetero()
    said = rf"{name} runs a model on one homogeneous graph.*got dict for 'x'.*to_homo"
    with pytest.raises(TypeError, match=said):
        wrapped(data.x_dict, data.edge_index_dict)
    with pytest.raises(TypeError, match="got dict for 'edge_index'"):
        wrapped(DATA.x, data.edge_index_dict)


@pytest.mark.parametrize("name", MASKS)
def test_masks_cut_one_homogeneous_graph(name):
    wrapped = WRAPPERS[name](Net())
    said = (
        rf"{name} cuts one homogeneous graph.*\(got HeteroData\); cut a HeteroData by"
    )
    with pytest.raises(TypeError, match=said):
        wrapped.sparsify(hetero())
    with pytest.raises(TypeError, match=r"'edge_index' \(got Tensor\)$"):
        wrapped.sparsify(DATA.edge_index)
    with pytest.raises(ValueError, match=r"must have 'x' \(got \['edge_index'\]\)"):
        wrapped.sparsify(Data(edge_index=DATA.edge_index))


@pytest.mark.parametrize("name", MASKS)
def test_another_number_of_features_is_named(name):
    wrapped, x = WRAPPERS[name](Net()), torch.ones(20, WIDTH + 1)
    said = rf"'x' must have 'in_channels' = {WIDTH} columns \(got \[20, {WIDTH + 1}\]\)"
    with pytest.raises(ValueError, match=said):
        wrapped(x, DATA.edge_index)
    with pytest.raises(ValueError, match=said):
        wrapped.sparsify(Data(x=x, edge_index=DATA.edge_index))


class Attributes(nn.Module):
    """The third argument is no weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(31)
        self.a, self.b = GATConv(WIDTH, 8, edge_dim=2), GATConv(8, 3)

    def forward(self, x, edge_index, edge_attr=None):
        return self.b(self.a(x, edge_index, edge_attr).relu(), edge_index)


@pytest.mark.parametrize("name", [*WRAPPERS])
def test_a_third_argument_is_what_the_model_takes_third(name):
    net, edge_attr = Attributes(), torch.rand(DATA.num_edges, 2)
    wrapped = WRAPPERS[name](net).eval()
    if name in ("FastGAT", "FeatureMask"):
        wrapped = type(wrapped)(net, *[WIDTH] * (name == "FeatureMask"), sparsity=0.0)
    elif name != "DropEdge":
        wrapped.sparsity = 0.0
    wrapped.eval()
    expected = net(DATA.x, DATA.edge_index, edge_attr)
    torch.testing.assert_close(wrapped(DATA.x, DATA.edge_index, edge_attr), expected)
    named = wrapped(DATA.x, DATA.edge_index, edge_attr=edge_attr)
    torch.testing.assert_close(named, expected)


@pytest.mark.parametrize("name", [it for it in WRAPPERS if it != "FeatureMask"])
def test_values_of_edges_that_do_not_fit_are_named(name):
    wrapped, edge_attr = WRAPPERS[name](Attributes()), torch.rand(3, 2)
    said = rf"'edge_attr' must have a row for each of the {DATA.num_edges} .*got \[3, 2"
    with pytest.raises(ValueError, match=said):
        wrapped(DATA.x, DATA.edge_index, edge_attr)
    with pytest.raises(ValueError, match=said):
        wrapped(DATA.x, DATA.edge_index, edge_attr=edge_attr)


@pytest.mark.parametrize("name", ["KEdge", "SparseGAT", "NeuralSparse", "PTDNet"])
def test_a_batch_is_one_graph_to_a_learned_mask(name):
    both = Batch.from_data_list([DATA, random_graph(num_nodes=9, p=0.9, seed=3)])
    mask = WRAPPERS[name](Net()).eval()
    one = Data(x=both.x, edge_index=both.edge_index)
    kept = mask.sparsify(one)
    expected = mask.model(both.x, kept.edge_index)
    out = mask(both.x, both.edge_index)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
