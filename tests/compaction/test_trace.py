"""Supported and refused operations on channels in the code around layers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch_geometric.nn import (
    APPNP,
    GATConv,
    GATv2Conv,
    GCN2Conv,
    GCNConv,
    GraphConv,
    GraphNorm,
    HeteroConv,
    InstanceNorm,
    JumpingKnowledge,
    SAGEConv,
    SGConv,
    SortAggregation,
    TransformerConv,
    global_add_pool,
    global_max_pool,
    global_mean_pool,
    to_hetero,
)
from torch_geometric.nn.models import GCN
from torch_geometric.utils import to_dense_batch

from gsparse.compaction import channel_groups, compact
from gsparse.nn import accelerate
from tests.compaction.models import FEATURES, graph, kill, shake
from tests.compaction.test_compact import assert_same, outputs, size

pytestmark = pytest.mark.filterwarnings("ignore:no example uses")

EXAMPLE = graph(40277)
BATCH = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])


class Between(nn.Module):
    """A linear map, any function, another linear map."""

    def __init__(self, function, width=6, read=6):
        super().__init__()
        self.first = nn.Linear(FEATURES, width)
        self.last = nn.Linear(read, 3)
        self.own = nn.Parameter(torch.ones(width))
        self.gate, self.norm = nn.Linear(width, 1), nn.LayerNorm(width)
        self.function = function

    def forward(self, x):
        return self.last(self.function(self, self.first(x)))


def dead(model, example):
    """With rows of zeros, biases included, in the first layer."""
    shake(model, 52081)
    with torch.no_grad():
        model.first.weight[:2] = 0
        model.first.bias[:2] = 0
    return compact(model, example)


REMOVED = {
    "activation in place": lambda m, x: F.relu_(x),
    "sum of two": lambda m, x: x.relu() + 0.5 * x,
    "larger of two": lambda m, x: torch.maximum(x.tanh(), x),
    "own factor": lambda m, x: x * m.own,
    "gate": lambda m, x: x * m.gate(x).sigmoid(),
    "number for every node": lambda m, x: x / torch.arange(1.0, 9.0).view(8, 1).to(x),
    "some nodes": lambda m, x: x[torch.tensor([2, 0, 1])] * x[:3].relu(),
    "mean of nodes": lambda m, x: x + x.mean(dim=0, keepdim=True),
    "stack": lambda m, x: torch.stack([x, 2 * x], dim=-1).max(dim=-1)[0],
    "stack in front": lambda m, x: torch.stack([x, 2 * x]).sum(dim=0),
    "unit length": lambda m, x: F.normalize(x, dim=-1),
    "adjacency": lambda m, x: torch.ones(8, 8, dtype=x.dtype) @ x,
    "functional dropout": lambda m, x: F.dropout(x, 0.5, m.training),
    "nodes one after another": lambda m, x: torch.cat([x, x.relu()]),
    "nodes in rows of two": lambda m, x: x.view(-1, 2, x.size(-1)).sum(1),
    "add mean pool": lambda m, x: global_mean_pool(x, BATCH),
    "add max pool": lambda m, x: global_max_pool(x, BATCH),
    "add sum pool": lambda m, x: global_add_pool(x, BATCH),
}
KEPT = {
    "softmax": lambda m, x: x.softmax(dim=-1),
    "sum over channels": lambda m, x: x * x.sum(dim=-1, keepdim=True),
    "argmax": lambda m, x: x * (1 + x.argmax(dim=-1, keepdim=True)),
    "branch": lambda m, x: x if bool((x > 0).any()) else -x,
    "slice": lambda m, x: torch.cat([x[:, 3:], x[:, :3]], dim=-1),
    "log softmax": lambda m, x: x.log_softmax(-1),
    "layer norm": lambda m, x: m.norm(x),
    "nodes by graphs": lambda m, x: to_dense_batch(x, BATCH)[0].amax(dim=1),
    "unknown step after": lambda m, x: (x - x.min()).cumsum(dim=0),
    "own layer after": lambda m, x: m.norm((x - x.min()).flip(0)),
    "sorted nodes": lambda m, x: SortAggregation(2)(x, BATCH).view(-1, 6),
}


@pytest.mark.parametrize("function", REMOVED.values(), ids=REMOVED)
def test_zeros_are_followed_through(function):
    model = Between(function)
    small = dead(model, EXAMPLE[:1])
    assert small.first.out_features == 4
    assert_same(model, small, graph(20117)[:1])


@pytest.mark.parametrize("function", KEPT.values(), ids=KEPT)
def test_what_reads_all_channels_keeps_them(function):
    model = Between(function)
    small = dead(model, EXAMPLE[:1])
    assert small.first.out_features == 6
    assert_same(model, small, graph(20117)[:1])


def test_positions_stay_even_if_nothing_reads_what_is_there():
    model = Between(lambda m, x: torch.cat([x[:, 4:], x[:, :4]], dim=-1)).double()
    with torch.no_grad():
        model.last.weight[:, :2] = 0
    small = compact(model, EXAMPLE[:1])
    assert small.first.out_features == 6
    assert_same(model, small, graph(20117)[:1])


REFUSED = {
    "cumsum": (lambda m, x: x.cumsum(1), r"got torch\.Tensor\.cumsum of \[8, 6\] in"),
    "view": (lambda m, x: x.view(8, 2, 3).mean(1), r"it makes \[8, 2, 3\] of it"),
    "wide": (lambda m, x: x * torch.ones(6).to(x), "has to be a parameter"),
    "no parameter": (lambda m, x: F.linear(x, 2 * m.last.weight), "be a parameter"),
    "gram": (lambda m, x: x @ x.t(), r"Tensor\.t "),
    "one column": (lambda m, x: x[:, 0], "slice of one channel"),
    "write where all stay": (
        lambda m, x: (x.min(), x.t().mul_(2), x)[-1],
        "where another view is traced",
    ),
    "write": (lambda m, x: x.view(8, 6).relu_() + x, "where another view is traced"),
}


@pytest.mark.parametrize(("function", "match"), REFUSED.values(), ids=REFUSED)
def test_unknown_steps_are_refused(function, match):
    with pytest.raises(ValueError, match=match):
        compact(Between(function).double(), EXAMPLE[:1])


def test_the_module_is_named():
    class Sums(nn.Module):
        def forward(self, x):
            return x.cumsum(1)

    with pytest.raises(ValueError, match=r"Tensor\.cumsum .* in 'layers\.0' \(Sums\)"):
        compact(Chain(Sums()).double(), EXAMPLE)
    model = Chain(SAGEConv(FEATURES, 4, aggr="std")).double()
    match = r"'layers\.0' \(SAGEConv\) must aggregate by .*'std'"
    with pytest.raises(ValueError, match=match):
        compact(model, EXAMPLE)


def test_attention_weights_are_refused():
    class Peek(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GATConv(FEATURES, 4)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index, return_attention_weights=True)[0]

    with pytest.raises(ValueError, match=r"'conv' \(GATConv\) .*got attention weights"):
        compact(Peek().double(), EXAMPLE)


def test_norms_of_three_dimensions_are_refused():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(FEATURES)

        def forward(self, x):
            return self.norm(x.unsqueeze(2))

    with pytest.raises(ValueError, match=r"'norm' \(BatchNorm1d\) .*\[8, 5, 1\]"):
        compact(Deep().double(), EXAMPLE[:1])


def test_examples_that_are_none():
    model = GCN(FEATURES, 4, 2, 3)
    with pytest.raises(TypeError, match=r"'example' must be the tuple .*got list"):
        compact(model, list(EXAMPLE))
    with pytest.raises(ValueError, match=r"must hold the features, .*got \['Tensor'\]"):
        compact(model, EXAMPLE[1:])
    with pytest.raises(ValueError, match=r"must match the model's forward, .*\(got 9"):
        compact(model, EXAMPLE + (None,) * 7)


def test_results_of_other_kinds_are_refused():
    class Odd(nn.Module):
        def forward(self, x):
            return {x.relu()}

    with pytest.raises(ValueError, match=r"must return tensors, .*got set"):
        compact(Odd(), EXAMPLE[:1])


def test_all_that_is_returned_is_kept():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(FEATURES, 4), nn.Linear(4, 3)

        def forward(self, x):
            hidden = self.first(x)
            return self.last(hidden), {"hidden": hidden}

    model = Both().double()
    with torch.no_grad():
        model.first.weight[:2] = model.first.bias[:2] = 0
    assert compact(model, EXAMPLE[:1]).first.out_features == 4


class Chain(nn.Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x, edge_index, *edges):
        for layer in self.layers:
            graph = isinstance(layer, nn.Module) and hasattr(layer, "propagate")
            x = layer(x, edge_index, *edges) if graph else layer(x)
        return x


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.conv = nn.Linear(FEATURES, 6), GCN2Conv(6, alpha=0.2)
        self.last = nn.Linear(6, 3)

    def forward(self, x, edge_index):
        x = self.first(x)
        return self.last(self.conv(x, x, edge_index).relu())


WEIGHT, ATTR = torch.rand(14).double() + 0.5, torch.randn(14, 2).double()
OTHERS = {
    "SGConv": (Chain(SGConv(5, 6, K=2), nn.ReLU(), SGConv(6, 3)), ()),
    "APPNP": (Chain(nn.Linear(5, 6), APPNP(2, 0.1), nn.Linear(6, 3)), ()),
    "GCN2Conv": (Residual(), ()),
    "GraphNorm": (Chain(GCNConv(5, 6), GraphNorm(6), nn.ReLU(), GCNConv(6, 3)), ()),
    "InstanceNorm": (Chain(GCNConv(5, 6), InstanceNorm(6), GCNConv(6, 3)), ()),
    "RMSNorm": (Chain(GCNConv(5, 6), nn.RMSNorm(6), GCNConv(6, 3)), ()),
    "edge weights": (Chain(GCNConv(5, 6), nn.ReLU(), GraphConv(6, 3)), (WEIGHT,)),
    "GAT with edges": (
        Chain(GATConv(5, 3, heads=2, edge_dim=2), GATConv(6, 3, edge_dim=2)),
        (ATTR,),
    ),
    "GATv2 with edges": (
        Chain(GATv2Conv(5, 3, heads=2, edge_dim=2), GATv2Conv(6, 3, edge_dim=2)),
        (ATTR,),
    ),
    "Transformer with edges": (
        Chain(
            TransformerConv(5, 3, heads=2, edge_dim=2),
            TransformerConv(6, 3, heads=2, concat=False, edge_dim=2),
        ),
        (ATTR,),
    ),
}


@pytest.mark.parametrize(("model", "more"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("seed", [20117, 60443, 91019])
def test_other_layers(model, more, seed):
    example = (*EXAMPLE, *more)
    kill(shake(model, seed), example, 0.5, True, seed)
    small = compact(model, example)
    assert_same(model, small, (*graph(seed), *more))


class Hetero(nn.Module):
    def __init__(self):
        super().__init__()
        loops = {"add_self_loops": False}
        self.first = HeteroConv(
            {
                ("a", "writes", "p"): SAGEConv((5, 4), 6),
                ("p", "has", "a"): GATConv((4, 5), 3, heads=2, **loops),
                ("p", "cites", "p"): GCNConv(4, 6),
            },
            aggr="sum",
        )
        self.second = HeteroConv(
            {
                ("a", "writes", "p"): GraphConv((6, 6), 4),
                ("p", "has", "a"): GATv2Conv((6, 6), 2, heads=2, **loops),
                ("p", "cites", "p"): TransformerConv(6, 4),
            },
            aggr="mean",
        )
        self.lin = nn.Linear(4, 3)

    def forward(self, x_dict, edge_index_dict):
        x_dict = self.first(x_dict, edge_index_dict)
        x_dict = {key: x.relu() for key, x in x_dict.items()}
        x_dict = self.second(x_dict, edge_index_dict)
        return {key: self.lin(x) for key, x in x_dict.items()}


class Homogeneous(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = SAGEConv((-1, -1), 6), SAGEConv((-1, -1), 3)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


def hetero_graph(seed):
    generator = torch.Generator().manual_seed(seed)
    x = {
        key: torch.randn(n, f, generator=generator, dtype=torch.float64)
        for key, n, f in (("a", 6, 5), ("p", 7, 4))
    }
    edges = {
        (source, name, target): torch.stack(
            [
                torch.randint(0, len(x[key]), (12,), generator=generator)
                for key in (source, target)
            ]
        )
        for source, name, target in (
            ("a", "writes", "p"),
            ("p", "has", "a"),
            ("p", "cites", "p"),
        )
    }
    return x, edges


@settings(max_examples=8, deadline=None)
@given(st.integers(10000, 99999), st.booleans())
def test_heterogeneous_models(seed, by_layer):
    example, other = hetero_graph(seed), hetero_graph(seed + 1)
    if by_layer:
        model = Hetero()
    else:
        metadata = list(example[0]), list(example[1])
        model = to_hetero(Homogeneous(), metadata).double()
        outputs(model, example)  # gives the lazy layers their sizes
    kill(shake(model, seed), example, 0.5, True, seed)
    small = compact(model, example)
    assert size(small) <= size(model)
    expected, got = outputs(model, other), outputs(small, other)
    for key in expected:
        torch.testing.assert_close(got[key], expected[key], rtol=1e-7, atol=1e-9)


def test_features_of_every_type_are_named_and_selected():
    torch.manual_seed(52361)
    model, example = Hetero().double(), hetero_graph(40277)
    with torch.no_grad():
        model.first.convs[("a", "writes", "p")].lin_l.weight[:, 1] = 0
        model.first.convs[("p", "has", "a")].lin_dst.weight[:, 1] = 0
    names = [g.name for g in channel_groups(model, example) if g.kind == "input"]
    assert names == ["x_dict.a", "x_dict.p"]
    small = compact(model, example)
    assert small.kept_features["x_dict.a"].tolist() == [0, 2, 3, 4]
    assert small.kept_features["x_dict.p"].tolist() == [0, 1, 2, 3]
    expected, got = outputs(model, example), outputs(small, example)
    torch.testing.assert_close(got["p"], expected["p"])


def test_fused_attention_layers_are_followed_like_the_plain_ones():
    model = Chain(GATConv(5, 3, heads=2), nn.ELU(), GATv2Conv(6, 3)).double()
    plain = channel_groups(model, EXAMPLE)
    assert channel_groups(accelerate(model), EXAMPLE) == plain


def test_jumping_knowledge_alone():
    class Jump(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(5, 4), nn.Linear(5, 4)
            self.jk, self.last = JumpingKnowledge("max"), nn.Linear(4, 3)

        def forward(self, x):
            return self.last(self.jk([self.first(x), self.second(x)]))

    model = shake(Jump(), 31337)
    with torch.no_grad():
        model.first.weight[:2] = model.first.bias[:2] = 0
    assert compact(model, EXAMPLE[:1]).first.out_features == 4  # one side lives
    with torch.no_grad():
        model.second.weight[:1] = model.second.bias[:1] = 0
    small = compact(model, EXAMPLE[:1])
    assert small.second.out_features == 3
    assert_same(model, small, EXAMPLE[:1])
