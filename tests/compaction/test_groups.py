"""Channel groups cover every parameter once, and can be removed unit by unit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import GATConv, TransformerConv
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

from gsparse.compaction import Member, channel_groups
from gsparse.compaction.units import Units
from gsparse.prune import WeightMasks
from gsparse.train.models import build_model
from tests.compaction.models import FEATURES, any_model, graph, shake

EXAMPLE = graph(40277, torch.float32)


def places(members):
    return [tuple(member) for member in members]


def find(model, kind="hidden"):
    return [g for g in channel_groups(model, EXAMPLE) if g.kind == kind]


@settings(max_examples=10, deadline=None)
@given(any_model(), st.integers(10000, 99999))
def test_every_channel_is_in_one_group(model, seed):
    model = shake(model, seed)
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    seen = {name: torch.zeros(tensor.shape) for name, tensor in tensors.items()}
    for group in channel_groups(model, graph(seed)):
        for member in (*group.producers, *group.consumers, *group.buffers):
            rows = member.rows(seen[member.parameter], group.size)
            assert rows.shape[0] == group.size
            rows += 1
    for name, count in seen.items():
        unit = name.endswith(("act.weight", ".eps", "num_batches_tracked"))
        one_way = count.dim() != 2 or name.endswith("lin_beta.weight")  # makes no unit
        expected = 0 if unit else 1 if one_way else 2
        assert (count == expected).all(), name


@settings(max_examples=15, deadline=None)
@given(any_model(), st.integers(10000, 99999))
def test_zeros_in_the_columns_cut_off_everything_behind(model, seed):
    """Hidden units that nothing reads can have any values."""
    model, example = shake(model, seed), graph(seed)
    groups = [g for g in channel_groups(model, example) if g.kind == "hidden"]
    if not groups or any(type(m).__name__ in _MIXING for m in model.modules()):
        return
    group = groups[seed % len(groups)]
    tensors = dict(model.named_parameters())
    with torch.no_grad():
        for member in group.consumers:
            member.rows(tensors[member.parameter], group.size)[0] = 0
        scores = [m for m in group.producers if ".att" in m.parameter]
        for member in scores:
            member.rows(tensors[member.parameter], group.size)[0] = 0
        before = model(*example)
        for member in group.producers:
            if member not in scores:
                member.rows(tensors[member.parameter], group.size)[0] += 0.5
        torch.testing.assert_close(model(*example), before)


_MIXING = {"LayerNorm", "SAGEConv", "TransformerConv"}  # channels of a row meet there


def test_gcn_with_jumping_knowledge():
    groups = channel_groups(GCN(FEATURES, 4, 2, 3, norm="batch", jk="cat"), EXAMPLE)
    assert [(g.name, g.kind, g.size) for g in groups] == [
        ("x", "input", FEATURES),
        ("convs.0.lin", "hidden", 4),
        ("convs.1.lin", "hidden", 4),
        ("lin", "output", 3),
    ]
    second = groups[2]
    assert places(second.producers) == [
        ("convs.1.lin.weight", 0, 0),
        ("convs.1.bias", 0, 0),
        ("norms.1.module.weight", 0, 0),
        ("norms.1.module.bias", 0, 0),
    ]
    assert places(second.consumers) == [("lin.weight", 1, 4)]
    assert places(second.buffers) == [
        ("norms.1.module.running_mean", 0, 0),
        ("norms.1.module.running_var", 0, 0),
    ]


def test_sage_has_two_makers_and_two_readers():
    (group,) = find(GraphSAGE(FEATURES, 4, 2, 3))
    assert places(group.producers) == [
        ("convs.0.lin_l.weight", 0, 0),
        ("convs.0.lin_l.bias", 0, 0),
        ("convs.0.lin_r.weight", 0, 0),
    ]
    assert places(group.consumers) == [
        ("convs.1.lin_l.weight", 1, 0),
        ("convs.1.lin_r.weight", 1, 0),
    ]


def test_a_maximum_ties_the_layers_and_a_sum_both_sides():
    assert len(find(GCN(FEATURES, 4, 3, 3, jk="max"))) == 1
    own = build_model("gcn", FEATURES, 3, self_loop=True)
    (group,) = find(own)
    names = [member.parameter for member in group.producers]
    assert names == [
        "layers.0.conv.lin.weight",
        "layers.0.conv.bias",
        "layers.0.own.weight",
    ]


def test_heads():
    (group,) = find(GAT(FEATURES, 8, 2, 3, heads=4))
    assert (group.size, group.heads) == (8, 4)
    assert Member("convs.0.att_src", 1, 0) in group.producers
    mean = channel_groups(GATConv(FEATURES, 3, heads=2, concat=False), EXAMPLE)[1]
    assert (mean.name, mean.kind, mean.size, mean.heads) == ("lin", "output", 3, 1)
    starts = [m.start for m in mean.producers if m.parameter == "lin.weight"]
    assert starts == [0, 3]
    keys = find(TransformerConv(FEATURES, 4, heads=2))
    assert [(g.name, g.size, g.heads) for g in keys] == [("lin_query", 8, 2)]


def test_an_mlp_inside_of_a_convolution():
    names = [group.name for group in find(GIN(FEATURES, 4, 2, 3))]
    assert names == ["convs.0.nn.lins.0", "convs.0.nn.lins.1", "convs.1.nn.lins.0"]


def test_a_part_of_a_concatenation_is_a_group():
    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(FEATURES, 2), nn.Linear(FEATURES, 3)
            self.whole, self.last = nn.Linear(FEATURES, 5), nn.Linear(5, 3)

        def forward(self, x):
            both = torch.cat([self.a(x), self.b(x)], dim=-1)
            return self.last(both + self.whole(x))

    groups = [g for g in channel_groups(Parts(), EXAMPLE[:1]) if g.kind == "hidden"]
    assert [(g.name, g.size) for g in groups] == [("a", 2), ("b", 3)]
    assert Member("whole.weight", 0, 2) in groups[1].producers


def test_positions_are_fixed():
    class Halves(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(FEATURES, 4), nn.Linear(2, 3)

        def forward(self, x):
            left, right = self.first(x).chunk(2, dim=-1)
            return self.last(left * right.sigmoid())

    groups = [g for g in channel_groups(Halves(), EXAMPLE[:1]) if g.kind == "hidden"]
    assert {group.fixed for group in groups} == {"taken by their positions"}
    assert {group.fixed for group in find(GCN(FEATURES, 4, 2, 3))} == {""}


def test_masks_do_not_show():
    model = GCN(FEATURES, 4, 2, 3)
    before = channel_groups(model, EXAMPLE)
    WeightMasks(model)
    assert channel_groups(model, EXAMPLE) == before


@pytest.mark.parametrize("seed", [20117, 60443, 91019])
def test_classes_are_connected_components(seed):
    """Against a search from every unit, one after another."""
    generator = torch.Generator().manual_seed(seed)
    units = Units()
    units.fresh(60)
    ties = torch.randint(0, 60, (2, 45), generator=generator)
    units.tie(*ties[:, :20])
    units.tie(*ties[:, 20:])
    beside = {u: {u} for u in range(60)}
    for u, v in ties.t().tolist():
        beside[u].add(v)
        beside[v].add(u)

    def least(u):
        seen, todo = {u}, [u]
        while todo:
            for v in beside[todo.pop()] - seen:
                seen.add(v)
                todo.append(v)
        return min(seen)

    assert units.classes().tolist() == [least(u) for u in range(60)]
