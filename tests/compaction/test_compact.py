"""A compacted model has the outputs of the model, and everything dead is gone."""

import copy
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, SAGEConv
from torch_geometric.nn import Sequential as GraphSequential
from torch_geometric.nn.models import GCN

from gsparse.compaction import compact, compaction_report
from gsparse.compaction.inputs import select_columns
from gsparse.nn import FastGATConv, to_sparse
from gsparse.prune import Magnitude, Pruner, WeightMasks
from gsparse.train import GCNII, sparse_features
from tests.compaction.models import FEATURES, any_model, graph, kill, shake


def outputs(model, example):
    with torch.no_grad():
        return model.eval()(*example)


def assert_same(model, small, example):
    expected, got = outputs(model, example), outputs(small, example)
    size = float(expected.abs().max())
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6 * size + 1e-30)


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


@settings(max_examples=25, deadline=None)
@given(
    any_model(), st.integers(10000, 99999), st.sampled_from([0.3, 0.6]), st.booleans()
)
def test_outputs_are_the_same_on_any_graph(model, seed, share, biases):
    example = graph(seed)
    model = kill(shake(model, seed), example, share, biases, seed)
    before = copy.deepcopy(model.state_dict())
    small = compact(model, example)
    assert size(small) <= size(model)
    assert_same(model, small, example)
    assert_same(model, small, graph(seed + 1))
    for name, tensor in model.state_dict().items():
        assert tensor.equal(before[name]), name


@settings(max_examples=10, deadline=None)
@given(any_model(), st.integers(10000, 99999))
def test_random_weights_have_nothing_dead(model, seed):
    example = graph(seed)
    small = compact(shake(model, seed), example)
    for name, tensor in small.state_dict().items():
        assert tensor.equal(model.state_dict()[name]), name


@settings(max_examples=10, deadline=None)
@given(any_model(), st.integers(10000, 99999))
def test_everything_dead_leaves_a_model_that_runs(model, seed):
    example = graph(seed)
    model = kill(shake(model, seed), example, 1.0, True, seed)
    assert_same(model, compact(model, example), graph(seed + 1))


@settings(max_examples=10, deadline=None)
@given(any_model(), st.integers(10000, 99999))
def test_a_second_time_changes_nothing(model, seed):
    example = graph(seed)
    model = kill(shake(model, seed), example, 0.5, True, seed)
    small = compact(model, example)
    assert size(compact(small, example)) == size(small)


def chain(widths, dead, seed, convolution=GCNConv):
    """Layers without biases in which ``dead[l]`` rows of layer ``l`` are zero."""
    torch.manual_seed(seed)
    model = nn.Module()
    layers = [
        (convolution(a, b, bias=False), "x, edge_index -> x")
        for a, b in itertools.pairwise(widths)
    ]
    steps = [it for layer in layers for it in (layer, nn.ReLU())][:-1]
    model = GraphSequential("x, edge_index", steps).double()
    with torch.no_grad():
        for (layer, _), gone in zip(layers, dead, strict=True):
            layer.lin.weight[torch.randperm(layer.out_channels)[:gone]] = 0
    return model, [layer for layer, _ in layers]


@pytest.mark.parametrize("dead", [[0, 0, 0], [3, 0, 0], [2, 5, 0], [0, 6, 1]])
def test_zero_rows_are_counted_exactly(dead):
    model, _ = chain([FEATURES, 7, 8, 3], dead, seed=52081)
    small = compact(model, graph(40277))
    shapes = [list(p.shape) for p in small.parameters()]
    widths = [7 - dead[0], 8 - dead[1]]
    assert shapes == [[widths[0], FEATURES], widths[::-1], [3, widths[1]]]
    assert_same(model, small, graph(20117))


def test_unread_units_take_along_what_only_they_read():
    model, layers = chain([FEATURES, 6, 4, 3], [0, 0, 0], seed=31337)
    with torch.no_grad():
        layers[2].lin.weight[:, 1:] = 0  # one of four is read,
        layers[1].lin.weight[0, 2:] = 0  # which reads two of six,
        layers[0].lin.weight[:2, 4] = 0  # which do not read the last feature
    small = compact(model, graph(40277))
    shapes = [list(p.shape) for p in small.parameters()]
    assert shapes == [[2, 4], [1, 2], [3, 1]]
    assert small.kept_features.tolist() == [0, 1, 2, 3]
    assert_same(model, small, graph(20117))


def test_a_layer_without_units_keeps_one():
    model, _ = chain([FEATURES, 6, 3], [6, 0], seed=77261)
    small = compact(model, graph(40277))
    assert [list(p.shape) for p in small.parameters()] == [[1, 1], [3, 1]]
    assert outputs(small, graph(20117)).eq(0).all()
    report = compaction_report(model, graph(40277))
    assert report.groups[1].kept_dead == {"a layer keeps one unit": 1}


def test_masks_are_written_into_the_copy_only():
    torch.manual_seed(61379)
    model = GCN(FEATURES, 8, 2, 3)
    masks = WeightMasks(model)
    keep = torch.ones(8, FEATURES, dtype=torch.bool)
    keep[2:] = False
    masks["convs.0.lin.weight"] = keep
    example = graph(40277, torch.float32)
    small = compact(model, example)
    assert type(small.convs[0].lin).__name__ == "Linear"
    assert [conv.out_channels for conv in small.convs] == [2, 3]
    assert_same(model, small, example)
    assert masks["convs.0.lin.weight"].equal(keep)
    masks.undo()
    assert int((model.convs[0].lin.weight != 0).sum()) == 8 * FEATURES


def test_the_state_loads_into_a_fresh_model_of_that_size():
    torch.manual_seed(18493)
    model = GCN(FEATURES, 8, 3, 3, norm="batch")
    with torch.no_grad():
        for conv in model.convs:
            conv.lin.weight[5:] = 0
    example = graph(40277, torch.float32)
    small = compact(model, example)
    assert (small.in_channels, small.hidden_channels, small.out_channels) == (5, 5, 3)
    fresh = GCN(FEATURES, 5, 3, 3, norm="batch")
    fresh.load_state_dict(small.state_dict())
    assert_same(model, fresh, graph(20117, torch.float32))
    assert str(fresh) == str(small)


def test_training_goes_on_and_frozen_parameters_stay_frozen():
    model, layers = chain([FEATURES, 6, 3], [2, 0], seed=12689)
    layers[0].lin.weight.requires_grad_(False)
    model.train()
    small = compact(model, graph(40277))
    first, second = small.parameters()
    assert (first.requires_grad, second.requires_grad) == (False, True)
    assert small.training
    small(*graph(40277)).sum().backward()
    assert second.grad.shape == (3, 4)


class TestConstants:
    def gcn(self, bias):
        torch.manual_seed(24197)
        model = GCN(FEATURES, 6, 2, 3).double()
        with torch.no_grad():
            model.convs[0].lin.weight[:2] = 0
            model.convs[0].bias[:2] = bias
        return model

    @pytest.mark.parametrize(("bias", "left"), [(0.0, 4), (-0.3, 4), (0.3, 6)])
    def test_of_a_gcn_goes_if_the_activation_makes_it_zero(self, bias, left):
        model = self.gcn(bias)
        small = compact(model, graph(40277))
        assert small.convs[0].out_channels == left
        assert_same(model, small, graph(20117))
        hidden = compaction_report(model, graph(40277)).groups[1]
        assert (hidden.before, hidden.after) == (6, left)
        assert hidden.kept_dead == ({"constant but not 0": 2} if left == 6 else {})

    def test_of_a_linear_map_goes_to_the_next_bias(self):
        torch.manual_seed(90547)
        model = nn.Sequential(
            nn.Linear(FEATURES, 6), nn.Sigmoid(), nn.Linear(6, 3)
        ).double()
        with torch.no_grad():
            model[0].weight[:2] = 0
        x = graph(40277)[:1]
        small = compact(model, x)
        assert small[0].out_features == 4
        shift = small[2].bias - model[2].bias
        made = model[2].weight[:, :2] @ model[0].bias[:2].sigmoid()
        torch.testing.assert_close(shift, made)
        assert_same(model, small, graph(20117)[:1])

    def test_without_a_bias_to_take_it_stays(self):
        model = nn.Sequential(
            nn.Linear(FEATURES, 6), nn.Linear(6, 3, bias=False)
        ).double()
        with torch.no_grad():
            model[0].weight[:2] = 0
        assert compact(model, graph(40277)[:1])[0].out_features == 6

    def test_that_only_the_root_weight_of_sage_reads_goes_to_its_bias(self):
        torch.manual_seed(45989)
        model = GraphSequential(
            "x, edge_index",
            [
                (SAGEConv(FEATURES, 6), "x, edge_index -> x"),
                (SAGEConv(6, 3), "x, edge_index -> x"),
            ],
        ).double()
        first, second = model[0], model[1]
        with torch.no_grad():
            first.lin_l.weight[:2] = 0
            first.lin_r.weight[:2] = 0
            second.lin_l.weight[:, 0] = 0  # unit 0 is read by the root weight only
        small = compact(model, graph(40277))
        assert small[0].out_channels == 5
        assert_same(model, small, graph(20117))

    def test_is_not_added_twice_where_a_unit_stays_for_another_reader(self):
        class Two(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Linear(FEATURES, 4)
                self.plain = nn.Linear(4, 3)
                self.conv = GCNConv(4, 3)

            def forward(self, x, edge_index):
                x = self.first(x)
                return self.plain(x) + self.conv(x, edge_index)

        torch.manual_seed(83701)
        model = Two().double()
        with torch.no_grad():
            model.first.weight[:2] = 0
            model.conv.lin.weight[:, 0] = 0
        small = compact(model, graph(40277))
        assert small.first.out_features == 3  # unit 0 is folded, unit 1 stays
        assert_same(model, small, graph(20117))

    def test_of_a_shared_layer_stays(self):
        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Linear(FEATURES, 4)
                self.again = nn.Linear(4, 4)

            def forward(self, x):
                return self.again(self.again(self.first(x)).relu())

        torch.manual_seed(10133)
        model = Twice().double()
        with torch.no_grad():
            model.first.weight[:2] = 0
        small = compact(model, graph(40277)[:1])
        assert small.first.out_features == 4
        assert_same(model, small, graph(20117)[:1])

    def test_does_not_go_to_a_bias_of_two_layers(self):
        class Shared(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = nn.Linear(FEATURES, 4)
                self.left, self.right = nn.Linear(4, 3), nn.Linear(FEATURES, 3)
                self.right.bias = self.left.bias

            def forward(self, x):
                return self.left(self.first(x)) + self.right(x).relu()

        torch.manual_seed(15737)
        model = Shared().double()
        with torch.no_grad():
            model.first.weight[:2] = 0
        small = compact(model, graph(40277)[:1])
        assert small.first.out_features == 4
        assert small.right.bias is small.left.bias
        assert_same(model, small, graph(20117)[:1])


class TestHeads:
    def test_a_head_of_zeros_goes(self):
        torch.manual_seed(38933)
        model = GraphSequential(
            "x, edge_index",
            [
                (FastGATConv(FEATURES, 4, heads=3), "x, edge_index -> x"),
                nn.ELU(),
                (GATConv(12, 3, heads=2, concat=False), "x, edge_index -> x"),
            ],
        ).double()
        with torch.no_grad():
            model[0].lin.weight[4:8] = 0  # the second head
            model[2].lin.weight[:, 8] = 0  # nothing reads one channel of the third,
            model[0].att_src[0, 2, 0] = model[0].att_dst[0, 2, 0] = 0  # its scores too
            model[0].lin.weight[1] = 0  # and one of the first is zero
        small = compact(model, graph(40277))
        assert (small[0].heads, small[0].out_channels) == (2, 3)
        assert small[0].att_src.shape == (1, 2, 3)
        assert_same(model, small, graph(20117))

    def test_a_channel_that_only_the_scores_read_stays(self):
        torch.manual_seed(70111)
        model = GraphSequential(
            "x, edge_index",
            [
                (GATConv(FEATURES, 4), "x, edge_index -> x"),
                (nn.Linear(4, 3), "x -> x"),
            ],
        ).double()
        with torch.no_grad():
            model[1].weight[:, 0] = 0
        assert compact(model, graph(40277))[0].out_channels == 4
        with torch.no_grad():
            model[0].att_src[0, 0, 0] = model[0].att_dst[0, 0, 0] = 0
        assert compact(model, graph(40277))[0].out_channels == 3

    def test_a_mean_over_heads_is_scaled(self):
        torch.manual_seed(59263)
        model = FastGATConv(FEATURES, 3, heads=4, concat=False).double()
        with torch.no_grad():
            model.lin.weight[3:9] = 0
        small = compact(model, graph(40277))
        assert (small.heads, small.out_channels) == (2, 3)
        assert_same(model, small, graph(20117))


class TestInputs:
    def model(self):
        torch.manual_seed(66797)
        model = GCN(FEATURES, 4, 2, 3)
        with torch.no_grad():
            model.convs[0].lin.weight[:, [0, 3]] = 0
        return model

    def test_selected_in_front_or_by_the_caller(self):
        model, example = self.model(), graph(40277, torch.float32)
        small = compact(model, example)
        assert small.kept_features.tolist() == [1, 2, 4]
        assert str(small).startswith("InputSelection(\n  x=3\n")
        assert_same(model, small, example)
        x, edge_index = example
        by_name = small(x=x, edge_index=edge_index)
        assert by_name.equal(small(x, edge_index))
        bare = compact(model, example, inputs="sliced")
        assert type(bare) is GCN
        assert bare.in_channels == 3
        assert outputs(bare, (x[:, bare.kept_features], edge_index)).equal(
            outputs(small, example)
        )

    def test_without_a_dead_one_nothing_is_in_front(self):
        model = GCN(FEATURES, 4, 2, 3)
        small = compact(model, graph(40277, torch.float32))
        assert type(small) is GCN
        assert small.kept_features.tolist() == list(range(FEATURES))

    def test_sparse_features(self):
        model, (x, edge_index) = self.model(), graph(40277, torch.float32)
        x = x * (x.abs() > 1.2)
        stored = sparse_features(x, threshold=0.9)
        assert type(stored).__name__ == "SparseFeatures"
        small = compact(model, (stored, edge_index))
        expected = outputs(model, (x, edge_index))
        for same in (x, stored):
            torch.testing.assert_close(outputs(small, (same, edge_index)), expected)
        csr = x.to_sparse_csr()
        for same in (stored, csr):  # what is picked is remembered
            picked = select_columns(same, small.kept_features)
            assert select_columns(same, small.kept_features) is picked
            torch.testing.assert_close(picked.to_dense(), x[:, small.kept_features])

    def test_neither_is_refused(self):
        with pytest.raises(ValueError, match=r"'select' or 'sliced' \(got 'drop'\)"):
            compact(self.model(), graph(40277, torch.float32), inputs="drop")


class TestRefusals:
    def test_masks_in_training(self):
        model = GCN(FEATURES, 8, 2, 3)
        masks = WeightMasks(model)
        masks.soften({"convs.0.lin.weight": torch.rand(8, FEATURES)})
        with pytest.raises(ValueError, match=r"'convs\.0\.lin\.weight' must be final"):
            compact(model, graph(40277, torch.float32))

    def test_sparse_layers(self):
        model = GCN(FEATURES, 40, 2, 3)
        Pruner(model, Magnitude(), sparsity=0.95)
        with pytest.raises(ValueError, match=r"'convs\.0\.lin' must be a dense layer"):
            compact(to_sparse(model), graph(40277, torch.float32))

    def test_lazy_layers(self):
        with pytest.raises(ValueError, match="run the model once on its data first"):
            compact(GCN(-1, 8, 2, 3), graph(40277, torch.float32))

    def test_code_that_is_bound_to_widths(self):
        class Bound(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.last = nn.Linear(FEATURES, 4), nn.Linear(4, 3)

            def forward(self, x):
                x = self.first(x)
                return self.last(x if x.size(1) == 4 else x * 2)

        model = Bound()
        with torch.no_grad():
            model.first.weight[:2] = 0
            model.first.bias[:2] = 0
        with pytest.raises(
            RuntimeError, match="random numbers in evaluation and for hard-coded widths"
        ):
            compact(model, graph(40277, torch.float32)[:1])


def test_a_model_without_dead_units_says_so(caplog):
    model = GCN(5, 8, num_layers=2, out_channels=3)
    example = torch.ones(2, 5), torch.tensor([[0, 1], [1, 0]])
    compact(model, example)
    assert "compact removed nothing: no unit is dead" in caplog.text
    caplog.clear()
    with torch.no_grad():
        model.convs[0].lin.weight[:6].zero_()
    compact(model, example)
    assert not caplog.records


def test_propagation_without_weights_has_no_sizes_to_set():
    """The convolutions of GCNII multiply by the adjacency only."""
    torch.manual_seed(81869)
    model = GCNII(6, 8, 3, num_layers=3).eval()
    with torch.no_grad():
        for layer in model.layers[1:-1]:
            layer.lin.weight[:4] = layer.lin.weight[:, :4] = 0.0
        model.layers[0].weight[:4] = model.layers[0].bias[:4] = 0.0
    x, edges = torch.randn(9, 6), torch.randint(0, 9, (2, 30))
    small = compact(model, (x, edges))
    assert small.layers[0].weight.shape == (4, 6)
    torch.testing.assert_close(small(x, edges), model(x, edges))
