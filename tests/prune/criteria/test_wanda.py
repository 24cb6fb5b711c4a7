"""Wanda: weights times propagated inputs, row by row."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN, GCNConv, HeteroLinear

from gsparse.data import random_graph
from gsparse.nn import FastGCNConv
from gsparse.prune import Magnitude, Pruner, RoundsSchedule, layer_budgets
from gsparse.prune.criteria.propagated import propagated_norms
from gsparse.prune.criteria.wanda import Wanda, keep_by_row, wanda_importances
from gsparse.train import sparse_features

DATA = random_graph(num_nodes=30, p=0.2, seed=60317)
GENERATOR = torch.Generator().manual_seed(77261)
X = torch.randn(30, 40, generator=GENERATOR) * (
    torch.rand(30, 40, generator=GENERATOR) < 0.2
)
EXAMPLE = (X, DATA.edge_index)


@pytest.fixture
def model():
    torch.manual_seed(41771)
    return GCN(40, 12, num_layers=2, out_channels=4)


def test_scores_are_weights_times_norms(model):
    norms = propagated_norms(model, EXAMPLE)
    weight = model.convs[0].lin.weight.detach()
    pruner = Pruner(model, Wanda(EXAMPLE), sparsity=0.0)
    expected = {"convs.0.lin.weight": weight.abs() * norms["convs.0.lin.weight"]}
    torch.testing.assert_close(pruner.importances(), expected)


def test_a_score_is_the_change_of_the_layers_output():
    """Zeroing one weight moves the output by exactly its score."""
    torch.manual_seed(29873)
    conv = FastGCNConv(40, 5).double()
    x = X.double()
    score = Pruner(conv, Wanda((x, DATA.edge_index)), sparsity=0.0).importances()[
        "lin.weight"
    ]
    out = conv(x, DATA.edge_index)
    for i, j in ((0, 3), (4, 39), (2, 17)):
        weight = conv.lin._parameters["weight"]
        before = weight[i, j].item()
        with torch.no_grad():
            weight[i, j] = 0
            moved = (conv(x, DATA.edge_index) - out).norm()
            weight[i, j] = before
        assert moved.item() == pytest.approx(score[i, j].item())


@pytest.mark.parametrize("scope", ["row", "global", "local", "erk"])
def test_a_feature_that_is_never_there_goes_first(scope, model):
    x = X.clone()
    x[:, 7] = 0
    with torch.no_grad():
        model.convs[0].lin.weight[:, 7] = 100.0
    by_row, scope = scope == "row", "global" if scope == "row" else scope
    criterion = Wanda((x, DATA.edge_index), by_row=by_row)
    pruner = Pruner(model, criterion, sparsity=1 / 40, scope=scope)
    keep = pruner.masks["convs.0.lin.weight"]
    assert not keep[:, 7].any()
    assert keep.sum() == 12 * 39


def test_what_neighbours_mix_away_counts_less():
    """Node 0 and 1 halve their features; node 2 is alone with its own."""
    x, edge_index = torch.eye(3), torch.tensor([[0, 1], [1, 0]])
    conv = GCNConv(3, 1)
    with torch.no_grad():
        conv.lin.weight.copy_(torch.tensor([[1.0, 1.2, 0.9]]))
    # By X alone the last would go.
    pruner = Pruner(conv, Wanda((x, edge_index)), sparsity=0.3)
    assert pruner.masks["lin.weight"].tolist() == [[False, True, True]]
    expected = torch.tensor([[0.5**0.5, 1.2 * 0.5**0.5, 0.9]])
    torch.testing.assert_close(pruner.importances()["lin.weight"], expected)


@pytest.mark.parametrize("seed", [20117, 60443])
@pytest.mark.parametrize("k", [0, 1, 5, 6, 29, 30])
def test_rows_keep_their_best(seed, k):
    generator = torch.Generator().manual_seed(seed)
    score = torch.rand(5, 6, generator=generator)
    keep = keep_by_row(score, k)
    assert keep.sum() == k
    assert keep.sum(1).max() - keep.sum(1).min() <= 1
    for row, kept in zip(score, keep, strict=True):
        if 0 < kept.sum() < 6:
            assert row[kept].min() > row[~kept].max()


def test_every_row_of_every_layer_has_the_same_budget(model):
    report = Pruner(model, Wanda(EXAMPLE), sparsity=0.7, targets="lin.weight").report()
    assert [layer.num_kept for layer in report.layers] == [144, 14]
    keep = model.convs[0].lin.weight != 0
    assert (keep.sum(1) == 12).all()


def test_rows_are_equal_within_layers_of_erdos_renyi_rates(model):
    shapes = {"a": torch.Size([12, 40]), "b": torch.Size([4, 12])}
    wanted = list(layer_budgets(shapes, 0.7, "erk").values())
    options = {"sparsity": 0.7, "scope": "erk", "targets": "lin.weight"}
    pruner = Pruner(model, Wanda(EXAMPLE), **options)
    assert [layer.num_kept for layer in pruner.report().layers] == wanted
    for name in pruner.masks.targets:
        count = pruner.masks[name].sum(1)
        assert count.max() - count.min() <= 1


def test_what_is_gone_stays_gone(model):
    pruner = Pruner(model, Wanda(EXAMPLE), sparsity=0.93, schedule=RoundsSchedule(5))
    kept = pruner.masks["convs.0.lin.weight"].clone()
    for _ in range(5):
        pruner.step()
        now = pruner.masks["convs.0.lin.weight"].clone()
        assert not (now & ~kept).any()
        assert now.sum(1).max() - now.sum(1).min() <= 1
        kept = now
    assert kept.sum() == 480 - round(480 * 0.93)


def test_sparse_features_choose_the_same(model):
    pruner = Pruner(model, Wanda(EXAMPLE), sparsity=0.6)
    keep = pruner.masks["convs.0.lin.weight"].clone()
    pruner.undo()
    pruner = Pruner(model, Wanda((sparse_features(X), DATA.edge_index)), sparsity=0.6)
    assert pruner.masks["convs.0.lin.weight"].equal(keep)


def test_attention_layers():
    torch.manual_seed(29873)
    model = GAT(40, 8, num_layers=2, out_channels=4, heads=2)
    assert Pruner(model, Wanda(EXAMPLE), sparsity=0.9).report().num_kept == 32


def test_refusals(model):
    with pytest.raises(TypeError, match=r"'example' must be the tuple .*got Tensor"):
        Pruner(model, Wanda(X), sparsity=0.5)
    with pytest.raises(ValueError, match="'scope' must be one of"):
        Pruner(model, Wanda(EXAMPLE), sparsity=0.5, scope="column")
    with pytest.raises(ValueError, match=r"'importance' must not be NaN \(got 1\)"):
        keep_by_row(torch.tensor([[1.0, torch.nan]]), 1)
    bad = X.clone()
    bad[0, 0] = torch.nan
    with pytest.raises(ValueError, match="must be finite"):
        Pruner(model, Wanda((bad, DATA.edge_index)), sparsity=0.5)
    hetero = nn.Sequential(HeteroLinear(4, 3, num_types=2))
    hetero.forward = lambda x: hetero[0](x, torch.zeros(len(x), dtype=torch.long))
    with pytest.raises(ValueError, match=r"'0.weight' must be the weight of a Linear"):
        Pruner(hetero, Wanda((torch.ones(2, 4),)), sparsity=0.5)
    Pruner(model, Magnitude(), sparsity=0.5)  # no mask was left behind


def test_the_row_with_the_better_next_weight_keeps_one_more():
    """Four of three rows of two: one each, and the best of 8, 1 and 5."""
    score = torch.tensor([[7.0, 1.0], [9.0, 8.0], [6.0, 5.0]])
    expected = [[True, False], [True, True], [True, False]]
    assert keep_by_row(score, 4).tolist() == expected


def test_the_function_by_hand():
    weight = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    found = wanda_importances({"w": weight}, {"w": torch.tensor([[2.0, 5.0]])})
    assert found["w"].tolist() == [[2.0, 10.0], [6.0, 0.0]]
