"""Training on receptive fields equals training on the whole graph."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import cross_entropy

from gsparse.data import path, planted_partition, split
from gsparse.nn import KEdge
from gsparse.prune import CubicSchedule, Magnitude, Pruner
from gsparse.train import (
    GAT,
    GCN,
    SAGE,
    Distillation,
    FitConfig,
    evaluate,
    fit,
    receptive_field,
    sparse_features,
)
from gsparse.train.fit import seeded

SHORT = FitConfig(epochs=30, patience=30, lr=0.05)


@pytest.fixture(scope="module")
def data():
    """400 nodes of which 8 train and 12 validate; the rest is far away."""
    data = split(planted_partition(400, num_classes=2, seed=31181), "random", seed=5)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(59009))
    for name, nodes in zip(("train_mask", "val_mask"), order.split(12), strict=False):
        data[name] = torch.zeros(400, dtype=torch.bool)
        data[name][nodes] = True
    data.train_mask[order[8:12]] = False
    return data


def build(kind, data):
    with seeded(40487):
        return kind(data.num_features, 8, 2, dropout=0.0)


def gradients(model, data):
    model.zero_grad()
    out = model(data.x, data.edge_index, data.get("edge_weight"))
    cross_entropy(out[data.train_mask], data.y[data.train_mask]).backward()
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize(("kind", "hops"), [(GAT, 2), (SAGE, 2), (GCN, 3)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("stored", ["dense", "sparse"])
def test_gradients_are_those_of_the_whole_graph(kind, hops, weighted, stored, data):
    data = data.clone()
    if weighted:
        generator = torch.Generator().manual_seed(23857)
        data.edge_weight = torch.rand(data.num_edges, generator=generator) + 0.5
    if stored == "sparse":
        data.x = sparse_features(data.x * (data.x > 1), threshold=1.0)
    part = receptive_field(data, "train_mask", hops)
    assert part.num_nodes < data.num_nodes
    model = build(kind, data)
    wanted, found = gradients(model, data), gradients(model, part)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_field_by_hand():
    """Along a path every hop reaches one node further on either side."""
    data = path(9)
    data.x, data.y = torch.eye(9), torch.arange(9)
    data.asked = torch.arange(9) == 4
    part = receptive_field(data, "asked", hops=2)
    assert part.n_id.tolist() == part.y.tolist() == [2, 3, 4, 5, 6]
    assert part.asked.tolist() == [False, False, True, False, False]
    assert part.edge_index[:, part.edge_index[0] == 0].tolist() == [[0], [1]]


def test_field_follows_edges_backwards():
    data = path(3)
    data.edge_index = torch.tensor([[0, 1], [1, 2]])
    data.x, data.y = torch.eye(3), torch.arange(3)
    data.asked = torch.tensor([False, True, False])
    assert receptive_field(data, "asked", hops=2).n_id.tolist() == [0, 1]


@pytest.mark.parametrize(("kind", "hops"), [(GAT, 2), (GCN, 3)])
def test_fit_ends_where_it_would_on_the_whole_graph(kind, hops, data):
    nets, scores = [], []
    for config in (SHORT, replace(SHORT, hops=hops)):
        nets.append(build(kind, data))
        scores.append(fit(nets[-1], data, config=config, seed=7).val_score)
        assert evaluate(nets[-1], data, "val_mask") == scores[-1]
    assert scores[0] == scores[1]
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-3)


def test_pruner_comes_along(data):
    net = build(GAT, data)
    pruner = Pruner(net, Magnitude(), sparsity=0.9, schedule=CubicSchedule(5, 15))
    fit(net, data, config=replace(SHORT, hops=2), seed=7, pruner=pruner)
    assert pruner.report().sparsity == pytest.approx(0.9, abs=0.01)


def test_too_few_hops_are_refused(data):
    with pytest.raises(ValueError, match=r"got 2, and outputs .* one more for GCN"):
        fit(build(GCN, data), data, config=replace(SHORT, hops=2))


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("kind", [GAT, GCN, SAGE])
def test_one_hop_too_few_is_refused_whatever_the_scale(kind, scale, data):
    """Outputs of features that sum to 1 are far below 1, and so is their error."""
    data, hops = data.clone(), 3 if kind is GCN else 2
    data.x = data.x * scale
    fit(build(kind, data), data, config=replace(SHORT, hops=hops, epochs=1))
    with pytest.raises(ValueError, match=rf"got {hops - 1}, and outputs .* vary by"):
        fit(build(kind, data), data, config=replace(SHORT, hops=hops - 1, epochs=1))


def test_a_last_layer_that_starts_at_zero_hides_nothing(data):
    net = build(GCN, data)
    with torch.no_grad():
        for parameter in net.layers[-1].parameters():
            parameter.zero_()
    before = [p.clone() for p in net.parameters()]
    fit(net, data, config=replace(SHORT, hops=3, epochs=1, lr=1e-12))
    torch.testing.assert_close(list(net.parameters()), before)  # a copy was perturbed
    with pytest.raises(ValueError, match=r"got 2, and outputs"):
        fit(net, data, config=replace(SHORT, hops=2, epochs=1))


def test_models_that_read_all_nodes_are_refused(data):
    net = GCN(data.num_features, 8, 2, batch_norm=True)
    with pytest.raises(ValueError, match=r"reads all nodes .* \(got 3 with BatchNorm"):
        fit(net, data, config=replace(SHORT, hops=3))
    mask = KEdge(build(GCN, data), data.num_features, sparsity=0.5, seed=0)
    with pytest.raises(ValueError, match=r"\(got 3 with KEdge\)"):
        fit(mask, data, config=replace(SHORT, hops=3))


def test_distillation_is_refused(data):
    distill = Distillation(torch.zeros(data.num_nodes, 2))
    with pytest.raises(ValueError, match=r"'distill', which learns at all .*got 2"):
        fit(build(GAT, data), data, config=replace(SHORT, hops=2), distill=distill)


def test_hops_out_of_range(data):
    with pytest.raises(ValueError, match=r"'hops' must be at least 1 or None \(got 0"):
        FitConfig(hops=0)
    with pytest.raises(ValueError, match=r"'hops' must be at least 1 \(got 0\)"):
        receptive_field(data, "train_mask", 0)
