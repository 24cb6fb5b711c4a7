"""Exchanged edges keep predictions at the exact budget, and change no weight."""

import copy
import itertools

import pytest
import torch
from torch_geometric.nn import GraphSAGE, models
from torch_geometric.utils import add_self_loops, is_undirected

from gsparse.data import planted_partition, split
from gsparse.edges import budget, undirected_pairs
from gsparse.nn.seeded import seeded
from gsparse.train import GCN, EdgeExchange, FitConfig, fit, predict_logits
from gsparse.train.edge_exchange import _Graph, _margin_loss
from gsparse.transforms import RandomEdge

DATA = split(planted_partition(300, num_classes=3, seed=29), "random", seed=29)
PAIRS = undirected_pairs(DATA.edge_index, DATA.num_nodes).num_pairs


def model_of(kind):
    width = DATA.num_features
    with seeded(5):
        model = {
            "GCN": lambda: GCN(width, 16, 3, dropout=0.5),
            "PyG GAT": lambda: models.GAT(width, 16, 2, out_channels=3, heads=2),
            "PyG SAGE": lambda: GraphSAGE(width, 16, 2, out_channels=3),
        }[kind]()
    fit(model, DATA, config=FitConfig(epochs=40))
    model.zero_grad()
    return model


def share(model, cut):
    same = predict_logits(model, cut).argmax(1) == predict_logits(model, DATA).argmax(1)
    return same.double().mean().item()


@pytest.mark.parametrize("kind", ["GCN", "PyG GAT", "PyG SAGE"])
def test_more_predictions_are_kept_than_on_random_edges(kind):
    model = model_of(kind)
    before, noise = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = EdgeExchange(0.8, seed=3).search(model.train(), DATA)
    assert model.training
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(map(torch.equal, model.state_dict().values(), before.values()))
    assert found.data.num_edges == 2 * budget(PAIRS, 0.8)
    assert is_undirected(found.data.edge_index)
    assert found.kept == share(model, found.data)
    random = share(model, RandomEdge(0.8, seed=3)(DATA))
    assert abs(found.kept_before - random) < 0.1
    assert found.kept > random + 0.8 * (1 - random)
    again = EdgeExchange(0.8, seed=3)(model, DATA)
    assert torch.equal(again.edge_index, found.data.edge_index)
    other = EdgeExchange(0.8, seed=4)(model, DATA)
    assert not torch.equal(other.edge_index, found.data.edge_index)


def test_all_edges_and_none():
    model = model_of("GCN")
    found = EdgeExchange(0.0, seed=3).search(model, DATA)
    assert torch.equal(found.data.edge_index, DATA.edge_index)
    assert (found.kept, found.num_steps) == (1.0, 0)
    almost = EdgeExchange(1 - 1e-9, seed=3).search(model, DATA)
    assert almost.data.num_edges == 0


def test_loops_stay_and_both_directions_go_together():
    model, data = model_of("GCN"), copy.copy(DATA)
    data.edge_index = add_self_loops(DATA.edge_index, num_nodes=300)[0]
    cut = EdgeExchange(0.5, seed=3)(model, data)
    loops = cut.edge_index[0] == cut.edge_index[1]
    assert int(loops.sum()) == 300
    assert int((~loops).sum()) == 2 * budget(PAIRS, 0.5)


def test_probabilities_are_kept_for_rankings():
    model = model_of("GCN")
    wanted = predict_logits(model, DATA).softmax(1)
    cuts = (
        EdgeExchange(0.8, seed=3, hard=False)(model, DATA),
        RandomEdge(0.8, seed=3)(DATA),
    )
    off = [(predict_logits(model, it).softmax(1) - wanted).abs().mean() for it in cuts]
    assert off[0] < off[1] / 2


def test_probabilities_are_searched_for_though_all_classes_are_kept():
    """As with labels of which nearly all are negative."""
    model = model_of("GCN")
    with torch.no_grad():
        list(model.parameters())[-1][0] += predict_logits(model, DATA).abs().max()
    found = EdgeExchange(0.8, seed=3, hard=False, max_steps=5).search(model, DATA)
    assert (found.kept_before, found.num_steps) == (1.0, 5)


@pytest.mark.parametrize(
    ("logits", "match"),
    [
        (torch.zeros(300, 1), r"at least two columns, .* \(got \[300, 1\]\)"),
        (torch.full((300, 3), torch.nan), r"'logits' must be finite"),
    ],
    ids=["one column", "NaN"],
)
def test_logits_without_a_class_are_refused(logits, match):
    """All nodes would keep it without any edge."""
    with pytest.raises(ValueError, match=match):
        EdgeExchange(0.5).search(model_of("GCN"), DATA, logits, keep=0.9)


def test_models_that_return_one_logit_are_refused():
    model = GCN(DATA.num_features, 8, 1)
    with pytest.raises(ValueError, match=r"the model must have at least two columns"):
        EdgeExchange(0.5).search(model, DATA)


def test_predictions_of_another_model():
    model = model_of("GCN")
    wanted = predict_logits(model, DATA).roll(1, dims=1)
    found = EdgeExchange(0.5, seed=3, max_steps=50).search(model, DATA, wanted)
    agree = predict_logits(model, found.data).argmax(1) == wanted.argmax(1)
    assert found.kept == agree.double().mean().item()
    assert found.kept >= found.kept_before


def test_logits_of_other_nodes_are_refused():
    with pytest.raises(ValueError, match=r"one row for each of the 300 nodes"):
        EdgeExchange(0.5).search(model_of("GCN"), DATA, torch.zeros(50, 3))


def test_derivatives_are_those_of_present_and_absent_edges():
    """One-sided differences, in double precision."""
    model, data = model_of("GCN").double().eval(), copy.copy(DATA)
    data.x = DATA.x.double()
    wanted = predict_logits(model, data).argmax(1)
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    loss = lambda out: _margin_loss(out, wanted, 0.5)  # noqa: E731
    graph = _Graph(model, data, pairs, loss, wanted)
    keep = torch.arange(PAIRS) % 3 == 0
    start, _, slope = graph.evaluate(keep)
    found = slope()
    for edge in (0, 1, 2, 3, 50, 52):
        step = 1e-4 if not keep[edge] else -1e-4
        weight = keep.double()
        weight[edge] += step
        after, _, _ = graph.evaluate(weight)
        assert found[edge] == pytest.approx((after - start) / step, rel=2e-2, abs=1e-7)


def test_the_search_ends_after_failures_and_after_steps():
    model = model_of("GCN")
    few = EdgeExchange(0.95, seed=3, max_steps=4).search(model, DATA)
    assert few.num_steps == 4
    losses = itertools.count(1.0)
    search = EdgeExchange(0.95, seed=3, patience=5)
    graph = type("Worse", (), {})()
    graph.wanted = torch.zeros(3)
    graph.evaluate = lambda keep: (next(losses), 0.5, lambda: torch.zeros(len(keep)))
    steps = search._search(graph, 400, None).num_steps
    assert steps == 5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"sparsity": 1.0}, "sparsity"),
        ({"sparsity": 0.5, "max_steps": 0}, r"'max_steps' must be at least 1 \(got 0"),
        ({"sparsity": 0.5, "patience": 0}, r"'patience' must be at least 1 \(got 0"),
    ],
)
def test_numbers_that_there_are_not(options, text):
    with pytest.raises(ValueError, match=text):
        EdgeExchange(**options)


@pytest.mark.parametrize(("keep", "start"), [(0.99, 0.8), (0.9, 0.0), (0.9, 0.99)])
def test_the_sparsity_follows_from_the_predictions_to_keep(keep, start):
    model = model_of("GCN")
    found = EdgeExchange(start, seed=3).search(model, DATA, keep=keep)
    assert found.kept == share(model, found.data)
    assert keep <= found.kept < keep + 2 / DATA.num_nodes
    removed = 1 - found.data.num_edges / DATA.num_edges
    assert removed > 0.5
    assert share(model, RandomEdge(removed, seed=3)(DATA)) < keep - 0.05
    again = EdgeExchange(start, seed=3).search(model, DATA, keep=keep)
    assert torch.equal(again.data.edge_index, found.data.edge_index)


def test_what_cannot_be_kept_is_refused():
    model = model_of("GCN")
    with pytest.raises(ValueError, match=r"in \(0, 1\] \(got 0\)"):
        EdgeExchange(0.8).search(model, DATA, keep=0)
    with pytest.raises(TypeError, match=r"must be a number in \(0, 1\] \(got '1'\)"):
        EdgeExchange(0.8).search(model, DATA, keep="1")
    other = predict_logits(model, DATA).roll(1, 1)
    with pytest.raises(
        ValueError, match=r"at most 0, which .* \(got 0.9\); check 'log"
    ):
        EdgeExchange(0.8).search(model, DATA, logits=other, keep=0.9)
