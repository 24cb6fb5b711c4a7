"""Removal of unused paths and weak channels, and the number of arrays."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, GINConv, SAGEConv
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

from gsparse.compaction import channel_groups
from gsparse.compaction.purify import (
    crossbar_count,
    purify,
    remove_unused_paths,
    weak_channels,
)
from gsparse.data import random_graph
from gsparse.prune import Magnitude, Pruner, WeightMasks
from gsparse.prune.learned.admm import ADMM

DATA = random_graph(num_nodes=30, p=0.15, seed=61409)
X = torch.randn(30, 6, generator=torch.Generator().manual_seed(40763))
EXAMPLE = (X, DATA.edge_index)


def is_matrix(name, parameter):
    return parameter.dim() == 2


def gin(cin, cout, bias):
    mlp = [nn.Linear(cin, 8, bias=bias), nn.ReLU(), nn.Linear(8, cout, bias=bias)]
    return GINConv(nn.Sequential(*mlp))


CONVS = {
    "GCN": lambda cin, cout, bias: GCNConv(cin, cout, bias=bias),
    "SAGE": lambda cin, cout, bias: SAGEConv(cin, cout, bias=bias),
    "GAT": lambda cin, cout, bias: GATConv(cin, cout // 2, heads=2, bias=bias),
    "GIN": gin,
}


class Net(nn.Module):
    def __init__(self, conv, bias):
        super().__init__()
        sizes = [(6, 8), (8, 8), (8, 4)]
        self.convs = nn.ModuleList(conv(*size, bias) for size in sizes)

    def forward(self, x, edge_index):
        for conv in self.convs[:-1]:
            x = conv(x, edge_index).relu()
        return self.convs[-1](x, edge_index)


def masked(model, seed=90821):
    """Whole rows and columns are masked, and some single weights."""
    generator = torch.Generator().manual_seed(seed)
    masks = WeightMasks(model, targets=is_matrix)
    for name in masks.targets:
        keep = torch.rand(masks[name].shape, generator=generator) < 0.8
        keep &= torch.rand(keep.size(0), 1, generator=generator) < 0.6
        keep &= torch.rand(keep.size(1), generator=generator) < 0.7
        keep[0, 0] = True
        masks[name] = keep
    return masks


def net(kind, bias, seed=20639):
    torch.manual_seed(seed)
    model = Net(CONVS[kind], bias).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
                parameter[::2] = 0.0
    return model


def masks_of(masks):
    return {name: masks[name].clone() for name in masks.targets}


@pytest.mark.parametrize("kind", CONVS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("seed", [90821, 11243, 33029])
class TestUnusedPaths:
    def test_outputs_are_the_same_and_weights_go(self, kind, bias, seed):
        model = net(kind, bias)
        masks = masked(model, seed)
        with torch.no_grad():
            before, count = model(*EXAMPLE), masks.report().num_kept
            gone = remove_unused_paths(masks, EXAMPLE)
            torch.testing.assert_close(model(*EXAMPLE), before, rtol=1e-6, atol=1e-6)
            other = random_graph(num_nodes=30, p=0.3, seed=8887).edge_index
            after = model(X * 5, other)
            assert gone == count - masks.report().num_kept
            masks.undo()
            again = masked(model, seed)
            expected = model(X * 5, other)
        torch.testing.assert_close(after, expected, rtol=1e-6, atol=1e-5)
        assert gone > 0
        assert again.report().num_kept == count

    def test_the_second_time_nothing_goes(self, kind, bias, seed):
        masks = masked(net(kind, bias), seed)
        remove_unused_paths(masks, EXAMPLE)
        before = masks_of(masks)
        assert remove_unused_paths(masks, EXAMPLE) == 0
        assert all(masks[name].equal(keep) for name, keep in before.items())

    def test_no_half_of_a_path_is_left(self, kind, bias, seed):
        model = net(kind, bias)
        masks = masked(model, seed)
        remove_unused_paths(masks, EXAMPLE)
        for group in channel_groups(model, EXAMPLE):
            if group.kind != "hidden":
                continue
            made = has_weights(masks, model, group.producers, group.size)
            read = has_weights(masks, model, group.consumers, group.size)
            assert not (~made & read).any()
            if kind == "GAT":  # scores read a unit too
                continue
            rows = [it for it in group.producers if it.parameter in masks.targets]
            assert not (has_weights(masks, model, rows, group.size) & ~read).any()


def has_weights(masks, model, members, size):
    """Which units have a weight that is not masked, or a bias that is not 0."""
    found = torch.zeros(size, dtype=torch.bool)
    for member in members:
        if member.parameter in masks.targets:
            found |= member.rows(masks[member.parameter], size).any(1)
        elif member.parameter.endswith("bias"):
            found |= member.rows(model.get_parameter(member.parameter), size).any(1)
    return found


def two_layers(bias):
    torch.manual_seed(70111)
    model = GCN(6, 3, 2, out_channels=2, bias=bias).eval()
    return model, WeightMasks(model, targets=r"lin\.weight")


FIRST, SECOND = "convs.0.lin.weight", "convs.1.lin.weight"


def test_a_row_of_zeros_takes_its_columns():
    _, masks = two_layers(bias=False)
    masks[FIRST] = torch.tensor([[False], [True], [True]]).expand(3, 6)
    assert remove_unused_paths(masks, EXAMPLE) == 2
    assert masks[SECOND].tolist() == [[False, True, True]] * 2


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_a_constant_through_a_gcn_is_left_alone(value):
    model, masks = two_layers(bias=True)
    with torch.no_grad():
        model.convs[0].bias[0] = value
    masks[FIRST] = torch.tensor([[False], [True], [True]]).expand(3, 6)
    # relu makes 0 of what is negative, and 0 it is for every node
    assert remove_unused_paths(masks, EXAMPLE) == (0 if value > 0 else 2)


@pytest.mark.parametrize("bias", [True, False])
def test_columns_of_zeros_take_their_row(bias):
    model, masks = two_layers(bias)
    with torch.no_grad():
        if bias:
            model.convs[0].bias.fill_(1.0)
    masks[SECOND] = torch.tensor([[True, False, True]]).expand(2, 3)
    assert remove_unused_paths(masks, EXAMPLE) == 6
    assert masks[FIRST].any(1).tolist() == [True, False, True]


def test_one_of_two_readers_is_enough():
    model = Net(CONVS["SAGE"], bias=False)
    masks = WeightMasks(model, targets=is_matrix)
    names = ["convs.1.lin_l.weight", "convs.1.lin_r.weight"]
    unread = (torch.arange(8) != 3).expand(8, 8)
    masks[names[0]] = unread
    assert remove_unused_paths(masks, EXAMPLE) == 0
    masks[names[1]] = unread
    assert remove_unused_paths(masks, EXAMPLE) == 12  # a row of 6 in both maps
    assert not masks["convs.0.lin_l.weight"][3].any()
    assert not masks["convs.0.lin_r.weight"][3].any()


def test_paths_are_followed_over_layers():
    model = Net(CONVS["GCN"], bias=False)
    masks = WeightMasks(model, targets=is_matrix)
    masks["convs.2.lin.weight"] = torch.zeros(4, 8) > 0
    assert remove_unused_paths(masks, EXAMPLE) == 8 * 8 + 8 * 6
    assert masks.report().num_kept == 0


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.conv = GCNConv(6, 8), GCNConv(8, 8)

    def forward(self, x, edge_index):
        x = self.first(x, edge_index).relu()
        x = self.conv(x, edge_index).relu()
        return self.conv(x, edge_index)[:, :3]


def test_a_layer_that_is_used_twice():
    torch.manual_seed(10099)
    model = Twice().eval()
    masks = masked(model, seed=45307)
    before = model(*EXAMPLE)
    remove_unused_paths(masks, EXAMPLE)
    torch.testing.assert_close(model(*EXAMPLE), before, rtol=1e-6, atol=1e-6)
    assert remove_unused_paths(masks, EXAMPLE) == 0


@pytest.mark.parametrize("kind", [GCN, GraphSAGE, GAT, GIN])
def test_a_pruner_of_pygs_models(kind):
    torch.manual_seed(61561)
    model = kind(6, 8, 3, out_channels=3).eval()
    pruner = Pruner(model, Magnitude(), sparsity=0.93, scope="local")
    before = model(*EXAMPLE)
    remove_unused_paths(pruner, EXAMPLE)
    torch.testing.assert_close(model(*EXAMPLE), before, rtol=1e-6, atol=1e-6)
    assert pruner.report().sparsity >= 0.9


def test_weak_channels_by_definition():
    generator = torch.Generator().manual_seed(55009)
    columns = torch.randn(40, 9, generator=generator)
    columns[torch.rand(40, 9, generator=generator) < 0.7] = 0.0
    weak = weak_channels(columns, 0.7, 0.8)
    norms = [float(sum(v * v for v in row) ** 0.5) for row in columns.tolist()]
    used = [norm for norm in norms if norm > 0]
    for row, norm, found in zip(columns.tolist(), norms, weak.tolist(), strict=True):
        empty = row.count(0.0) / 9 >= 0.7
        limit = 0.8 * sum(used) / len(used)
        assert found == (0 < norm <= limit and empty)
    assert weak.any()


def test_the_strongest_channel_stays():
    assert weak_channels(torch.ones(3, 2), 0.0, 9.0).tolist() == [False, True, True]
    assert not weak_channels(torch.zeros(3, 2), 0.0, 9.0).any()


def nearly_empty():
    model, masks = two_layers(bias=False)
    with torch.no_grad():
        model.convs[1].lin._parameters["weight"][:] = torch.tensor(
            [[0.1, 2.0, 1.0], [9.0, 1.0, 3.0]]
        )
    masks[SECOND] = torch.tensor([[True, True, True], [False, True, True]])
    return model, masks


def test_purification_takes_what_is_empty_and_weak():
    _, masks = nearly_empty()
    assert purify(masks, EXAMPLE, emptiness=0.5, weakness=0.5) == 1 + 6
    assert not masks[SECOND][:, 0].any()
    assert masks[FIRST].any(1).tolist() == [False, True, True]


@pytest.mark.parametrize(("emptiness", "weakness"), [(0.51, 0.5), (0.5, 0.04)])
def test_both_thresholds_must_be_met(emptiness, weakness):
    _, masks = nearly_empty()
    assert purify(masks, EXAMPLE, emptiness, weakness) == 0


def test_a_last_layer_without_a_mask_is_read_as_it_is():
    torch.manual_seed(33461)
    model = GCN(6, 3, 2, out_channels=2, bias=False)
    masks = WeightMasks(model)
    before = model.convs[1].lin.weight.clone()
    assert purify(masks, EXAMPLE, 0.5, 9.0) == 0
    masks[FIRST] = torch.tensor([[False], [True], [True]]).expand(3, 6)
    assert purify(masks, EXAMPLE) == 0
    assert model.convs[1].lin.weight.equal(before)


def test_after_admm_with_levels():
    torch.manual_seed(80317)
    model = Net(CONVS["GCN"], bias=False).eval()
    pruner = ADMM(model, sparsity=0.8, bits=4, targets=is_matrix)
    pruner.finalize()
    before = model(*EXAMPLE)
    remove_unused_paths(pruner, EXAMPLE)
    torch.testing.assert_close(model(*EXAMPLE), before, rtol=1e-6, atol=1e-6)
    out = model(*EXAMPLE)
    pruner.step()  # puts levels back, and no weight that went
    assert model(*EXAMPLE).equal(out)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (64, 128)])
def test_arrays_by_definition(size):
    mask = torch.rand(9, 11, generator=torch.Generator().manual_seed(10037)) < 0.1
    tiles = [
        mask[i : i + size[0], j : j + size[1]]
        for i in range(0, 9, size[0])
        for j in range(0, 11, size[1])
    ]
    assert crossbar_count(mask, *size) == sum(bool(tile.any()) for tile in tiles)


def test_no_array_for_no_weight():
    assert crossbar_count(torch.zeros(5, 5), 2, 2) == 0
    assert crossbar_count(torch.full((5, 5), -0.5), 2, 2) == 9


def test_refusals():
    model, masks = two_layers(bias=True)
    with pytest.raises(ValueError, match=r"'emptiness' must be in \[0, 1\] \(got 2\)"):
        purify(masks, EXAMPLE, emptiness=2)
    with pytest.raises(ValueError, match=r"'weakness' must be at least 0.*\(got -1\)"):
        purify(masks, EXAMPLE, weakness=-1)
    with pytest.raises(TypeError, match=r"WeightMasks or a pruner \(got GCN\)"):
        remove_unused_paths(model, EXAMPLE)
    with pytest.raises(
        ValueError, match=r"'weight' must be a matrix \(got shape \[3\]"
    ):
        crossbar_count(torch.ones(3), 2, 2)
    with pytest.raises(ValueError, match=r"'rows' must be a whole number from 1"):
        crossbar_count(torch.ones(3, 3), 0, 2)
    masks.undo()
    pruner = ADMM(model, sparsity=0.5)
    with pytest.raises(
        ValueError, match=r"ADMM.* has not finished\); call its finalize\(\)"
    ):
        remove_unused_paths(pruner, EXAMPLE)
