"""Models whose steps depend on the graph: equal on every graph, or refused."""

import warnings

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN, BatchNorm, GCNConv

from gsparse.compaction import compact, compaction_report
from gsparse.compaction.probes import SIZES, other_graphs
from gsparse.prune import CubicSchedule, Magnitude, Pruner
from tests.compaction.models import FEATURES, graph
from tests.compaction.test_compact import assert_same, outputs, size

HIDDEN, DEAD = 6, 3


class Between(nn.Module):
    """A linear map of which some units are constants, a step, another linear map."""

    def __init__(self, step):
        super().__init__()
        self.first, self.last = nn.Linear(FEATURES, HIDDEN), nn.Linear(HIDDEN, 3)
        self.factor = nn.Parameter(torch.tensor([0.7]))
        self.step = step

    def forward(self, x, edge_index, *more):
        return self.last(self.step(self, self.first(x), x, edge_index, *more))


def with_constants(step, bias=(0.0, -1.0, 2.0)):
    torch.manual_seed(71_389)
    model = Between(step).double().eval()
    with torch.no_grad():
        model.first.weight[:DEAD] = 0
        model.first.bias[:DEAD] = torch.tensor(bias)
    return model


def degree(edge_index, x):
    return torch.bincount(edge_index[1], minlength=len(x)).to(x)


def assert_same_everywhere(model, small, *more):
    for seed, num_nodes, num_edges in ((20117, 8, 14), (60443, 1, 0), (91019, 5, 0)):
        x, _ = graph(seed)
        x = 3 * x.repeat(2, 1)[:num_nodes] - 1
        edge_index = torch.randint(max(num_nodes - 2, 1), (2, num_edges))
        assert_same(model, small, (x, edge_index, *more))


VARYING = {
    "mean of the features": lambda m, h, x, e: h + x.mean(),
    "sign of their sum": lambda m, h, x, e: h + (x.sum() > 0),
    "python number of it": lambda m, h, x, e: h + float(x.sum()),
    "mean degree": lambda m, h, x, e: h + degree(e, x).mean(),
    "degree": lambda m, h, x, e: h + degree(e, x).view(-1, 1),
    "number of nodes": lambda m, h, x, e: h + len(x) ** 0.5,
    "tensor of a number": lambda m, h, x, e: h + torch.tensor(float(len(x))),
    "number of edges": lambda m, h, x, e: torch.clamp(h, max=e.size(1) / 9),
    "power": lambda m, h, x, e: (h * h) ** (1 / len(x)),
    "written number": lambda m, h, x, e: h + torch.zeros(1).to(h).fill_(len(x)),
    "written tensor": lambda m, h, x, e: h + torch.zeros(1).to(h).add_(x.mean()),
}


@pytest.mark.parametrize("step", VARYING.values(), ids=VARYING)
@pytest.mark.parametrize("num_nodes", [1, 8])
def test_numbers_of_the_example_are_no_constants(step, num_nodes):
    model = with_constants(step)
    x, edge_index = graph(40277)
    if num_nodes == 1:
        x, edge_index = x[:1], edge_index[:, :2] * 0
    small = compact(model, (x, edge_index))
    assert_same_everywhere(model, small)


@pytest.mark.parametrize(
    "factor", [lambda m, x: x.mean(), lambda m, x: len(x) ** -0.5, lambda m, x: x.std()]
)
def test_a_zero_times_a_number_of_the_example_is_zero(factor):
    model = with_constants(lambda m, h, x, e: h * factor(m, x), (0.0, 0.0, 0.0))
    small = compact(model, graph(40277))
    assert small.first.out_features == HIDDEN - DEAD
    assert_same(model, small, graph(20117))


CONSTANT = {
    "literal": lambda m, h, x, e: (h + 0.25).sigmoid(),
    "parameter": lambda m, h, x, e: h * m.factor,
    "of a parameter": lambda m, h, x, e: h * m.factor.exp(),
    "tensor of a literal": lambda m, h, x, e: h * torch.tensor(1.5),
}


@pytest.mark.parametrize("step", CONSTANT.values(), ids=CONSTANT)
def test_parameters_and_literals_are_constants(step):
    model = with_constants(step)
    small = compact(model, graph(40277))
    assert small.first.out_features == HIDDEN - DEAD
    assert_same_everywhere(model, small)


def lonely(edge_index, x):
    return degree(edge_index, x) == 0


def assigned(h, index, value):
    h = h.clone()
    h[index] = value
    return h


WRITES = {
    "zero for some nodes": lambda m, h, x, e: assigned(h, lonely(e, x), 0.0),
    "two for some nodes": lambda m, h, x, e: assigned(h, lonely(e, x), 2.0),
    "other values": lambda m, h, x, e: assigned(h, [0], h[:1].sigmoid()),
    "one channel": lambda m, h, x, e: assigned(h, (slice(None), 1), 0.5),
    "ellipsis": lambda m, h, x, e: assigned(h, (..., 1), 0.5),
    "where negative": lambda m, h, x, e: assigned(h, h < 0, 0.0),
    "masked_fill_": lambda m, h, x, e: h.masked_fill_(lonely(e, x)[:, None], 0.0),
    "index_fill": lambda m, h, x, e: h.index_fill(0, e[0], 0.0),
    "index_put": lambda m, h, x, e: h.index_put((e[0],), h.new_zeros(())),
    "where": lambda m, h, x, e: torch.where(lonely(e, x)[:, None], 0.0, h),
    "into zeros": lambda m, h, x, e: (
        assigned(torch.zeros_like(x[:, :1] * h), e[0], 1.0) + h
    ),
    "new tensor": lambda m, h, x, e: assigned(
        torch.zeros(h.shape).to(h), slice(1, None), h[1:]
    ),
    "new ones": lambda m, h, x, e: assigned(
        torch.ones(h.shape).to(h), slice(1, None), h[1:]
    ),
    "halves": lambda m, h, x, e: assigned(
        assigned(torch.zeros(h.shape).to(h), (slice(None), slice(3)), h[:, 3:]),
        (slice(None), slice(3, None)),
        h[:, :3],
    ),
    "scatter into ones": lambda m, h, x, e: (
        torch.ones(h.shape).to(h).index_add(0, e[1], h[e[0]])
    ),
    "out": lambda m, h, x, e: torch.sigmoid(h, out=torch.empty_like(h)),
}


@pytest.mark.parametrize("step", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("bias", [(0.0, -1.0, 2.0), (0.0, 0.0, 0.0)])
def test_writes_are_seen(step, bias):
    model = with_constants(step, bias)
    small = compact(model, graph(40277))
    assert_same_everywhere(model, small)


def test_zeros_written_to_some_nodes_keep_zeros():
    model = with_constants(WRITES["zero for some nodes"], (0.0, 0.0, 0.0))
    assert compact(model, graph(40277)).first.out_features == HIDDEN - DEAD


def test_a_write_through_another_view_is_refused():
    def step(m, h, x, e):
        part = h[: len(h) // 2]
        part[:] = 0.0
        return h

    with pytest.raises(ValueError, match="after it was written to through another"):
        compact(with_constants(step), graph(40277))


def test_channels_are_not_gathered_by_position():
    flip = lambda m, h, x, e: h.gather(  # noqa: E731
        1, torch.arange(h.size(1)).flip(0).expand_as(h)
    )
    with pytest.raises(ValueError, match="picks channels by their positions"):
        compact(with_constants(flip), graph(40277))


class Guarded(nn.Module):
    """A batch norm that one node skips, and a second head."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = GCNConv(FEATURES, HIDDEN), nn.BatchNorm1d(HIDDEN)
        self.head, self.other = nn.Linear(HIDDEN, 3), nn.Linear(HIDDEN, 2)

    def forward(self, x, edge_index, task=0, guard=True):
        h = self.conv(x, edge_index)
        if h.size(0) > 1 or not guard:
            h = self.norm(h)
        return self.head(h.relu()) if task == 0 else self.other(h.relu())


@pytest.fixture
def guarded():
    torch.manual_seed(15_643)
    model = Guarded().double().eval()
    with torch.no_grad():
        model.norm.weight[:DEAD] = model.norm.bias[:DEAD] = 0
    return model


def test_a_branch_on_one_node_is_seen(guarded):
    with pytest.warns(UserWarning, match="no example uses other: not compacted"):
        small = compact(guarded, graph(40277))
    assert_same_everywhere(guarded, small)


def test_a_head_that_no_example_uses_is_named(guarded):
    example = (*graph(40277), 0, False)
    report = compaction_report(guarded, example)
    assert report.unread == ("other",)
    assert "not used by any example: other" in str(report)
    with pytest.warns(UserWarning, match="no example uses other"):
        small = compact(guarded, example)
    assert small.conv.out_channels == HIDDEN - DEAD
    with pytest.raises(RuntimeError, match=r"'other' was not used when .*reads 6 .*3"):
        small(*graph(40277), 1, False)


def test_more_examples_cover_more_heads(guarded):
    with torch.no_grad():
        guarded.other.weight[:, 4:] = guarded.head.weight[:, 3:5] = 0
    ways = [(*graph(40277), task, False) for task in (0, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small = compact(guarded, ways[0], more=ways[1:])
    assert small.conv.out_channels == 2  # one is read by either head
    for way in ways:
        assert_same(guarded, small, (*graph(20117), *way[2:]))


def test_graphs_that_the_model_does_not_take_are_reported():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.own, self.lin = nn.Parameter(torch.ones(8, 1)), nn.Linear(FEATURES, 3)

        def forward(self, x):
            return self.lin(x) * self.own

    model = Fixed().double()
    report = compaction_report(model, graph(40277)[:1])
    assert len(report.skipped) == len(SIZES) - 1  # one node fits any number of rows
    assert "not checked on 7 nodes and 9 edges: RuntimeError" in str(report)


def test_outputs_that_differ_on_another_graph_are_refused():
    def step(m, h, x, e):  # draws at random for one node only
        return h if len(h) > 1 else h + torch.rand(1, 1).to(h)

    match = r"on any graph \(got others on one with 1 node and 0 edges: there it does"
    with pytest.raises(RuntimeError, match=match):
        compact(with_constants(step), graph(40277))


class TestWidths:
    def test_a_view_of_literal_width_is_named(self):
        model = with_constants(lambda m, h, x, e: h.view(-1, 6), (0.0, 0.0, 0.0))
        match = r"hard-coded widths \(got torch\.Tensor\.view of \[8, 3\] in Between"
        with pytest.raises(ValueError, match=match):
            compact(model, graph(40277))

    def test_a_view_of_the_same_width_is_followed(self):
        step = lambda m, h, x, e: h.view(-1, h.size(1))  # noqa: E731
        model = with_constants(step, (0.0, 0.0, 0.0))
        assert compact(model, graph(40277)).first.out_features == HIDDEN - DEAD

    def test_a_number_made_of_the_width_is_named(self):
        step = lambda m, h, x, e: h / h.size(1) ** 0.5  # noqa: E731
        model = with_constants(step, (0.0, 0.0, 0.0))
        with pytest.raises(RuntimeError, match=r"another number in '.*div.*'"):
            compact(model, graph(40277))


class TestPruners:
    def test_in_mid_schedule_is_refused(self):
        model = GCN(FEATURES, 8, 2, 3).double()
        pruner = Pruner(
            model, Magnitude(), sparsity=0.75, schedule=CubicSchedule(0, 10)
        )
        for _ in range(3):
            pruner.step()
        match = r"'convs\.0\.lin\.weight' must be final \(got one that Pruner"
        with pytest.raises(ValueError, match=match):
            compact(model, graph(40277))
        pruner.finalize()
        assert_same(model, compact(model, graph(40277)), graph(20117))

    def test_a_pruner_that_is_gone_holds_nothing(self):
        model = GCN(FEATURES, 8, 2, 3).double()
        Pruner(model, Magnitude(), sparsity=0.75, schedule=CubicSchedule(0, 10)).step()
        assert_same(model, compact(model, graph(40277)), graph(20117))


@pytest.mark.parametrize("parameters", [1, 8])
def test_prelu(parameters):
    torch.manual_seed(12_953)
    model = GCN(FEATURES, 8, 2, 3, act=nn.PReLU(parameters)).double()
    with torch.no_grad():
        model.convs[0].lin.weight[:3] = 0
    small = compact(model, graph(40277))
    assert small.convs[0].out_channels == 5
    assert small.act.num_parameters == small.act.weight.numel() == min(parameters, 5)
    assert_same(model, small, graph(20117))


def test_a_zero_made_of_constants_stays_zero_as_the_last_of_its_layer():
    torch.manual_seed(80_221)
    layers = nn.Linear(2, 2), nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 3)
    model = nn.Sequential(*layers).double()
    with torch.no_grad():  # relu(2 - 5) = 0; of these two units one is left
        model[0].weight.zero_()
        model[0].bias.fill_(1.0)
        model[1].weight.copy_(torch.tensor([[2.0, -5.0]]))
        model[1].bias.zero_()
    x, _ = graph(40277)
    small = compact(model, (x[:, :2],))
    assert size(small) < size(model)
    assert_same(model, small, (3 * x[:, 1:3],))


def test_a_zero_made_of_constants_stays_zero_if_it_is_tied_to_another_unit():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.left = nn.Linear(FEATURES, 2), nn.Linear(2, 2)
            self.right, self.last = nn.Linear(FEATURES, 2), nn.Linear(2, 3)

        def forward(self, x):
            return self.last(self.left(self.one(x)).relu() + self.right(x))

    torch.manual_seed(64_849)
    model = Two().double()
    with torch.no_grad():  # relu(1 - 5) = 0, with a bias of 1 of its own
        model.one.weight[1], model.one.bias[1] = 0.0, 1.0
        model.left.weight[:, 0], model.left.weight[:, 1] = 0.0, -5.0
        model.left.bias.fill_(1.0)
    small = compact(model, graph(40277)[:1])
    assert small.one.out_features == 1
    assert_same(model, small, graph(20117)[:1])


class TestOtherGraphs:
    def test_every_argument_fits(self):
        x, edge_index = graph(40277)
        batch = torch.arange(8) // 3
        example = x, edge_index, torch.rand(14), batch, 8, 2.0, "mean", None
        for made_of, ways in other_graphs(example, [x]):
            for new in ways:
                assert new[0].shape == (made_of.nodes, FEATURES)
                assert new[1].shape == (2, made_of.edges)
                assert new[2].shape == (made_of.edges,)
                assert new[3].shape == (made_of.nodes,)
                assert bool((new[3].diff() >= 0).all())
                assert int(new[3][-1]) == 2
                assert new[4] == made_of.nodes
                assert new[6:] == ("mean", None)
                if made_of.edges:
                    assert int(new[1].max()) < made_of.nodes
            assert not bool(torch.isin(ways[0][0], x).any())
            assert bool(torch.isin(ways[1][0], x).all())
            assert (ways[0][5], ways[1][5]) == (2.5, 2.0)

    def test_dictionaries_follow_the_types(self):
        x = {"a": torch.rand(6, 5), "b": torch.rand(7, 4)}
        ends = {("a", "to", "b"): torch.tensor([[5, 0], [6, 1]])}
        weights = {("a", "to", "b"): torch.rand(2)}
        for made_of, ways in other_graphs((x, ends, weights), list(x.values())):
            for new, edges, weight in ways:
                shapes = [tuple(it.shape) for it in new.values()]
                assert shapes == [(made_of.nodes, 5), (made_of.nodes, 4)]
                assert edges["a", "to", "b"].shape == (2, made_of.edges)
                assert weight["a", "to", "b"].shape == (made_of.edges,)


def test_a_layer_with_a_cache_is_compacted_without_it():
    torch.manual_seed(27_329)
    model = GCN(FEATURES, 8, 2, 3, cached=True).double()
    with torch.no_grad():
        model.convs[0].lin.weight[:3] = model.convs[0].bias[:3] = 0
    small = compact(model, graph(40277))
    assert small.convs[0].out_channels == 5
    other = GCN(FEATURES, 8, 2, 3).double()
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(
        outputs(small, graph(20117)), outputs(other, graph(20117))
    )


def test_a_layer_also_used_on_what_is_not_followed_stays_whole():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(FEATURES, 6), nn.Linear(6, 3)
            self.norm = BatchNorm(6)

        def forward(self, x):
            prior = self.last(torch.ones(1, 6).to(x)).softmax(dim=-1)
            return self.last(self.norm(self.first(x))), prior

    torch.manual_seed(39_119)
    model = Both().double().eval()
    with torch.no_grad():
        model.first.weight[:3] = model.first.bias[:3] = 0
    small = compact(model, graph(40277)[:1])
    for old, new in zip(
        model(*graph(20117)[:1]), small(*graph(20117)[:1]), strict=True
    ):
        torch.testing.assert_close(new, old)
