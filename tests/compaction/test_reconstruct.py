"""Reconstruction: normal equations, recovered weights, and errors that never grow."""

from importlib import import_module

import pytest
import torch
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, SAGEConv
from torch_geometric.nn.models import GAT, GCN

from gsparse.compaction.reconstruct import gram, least_squares, reconstruct
from gsparse.data import random_graph
from gsparse.nn import FastGCNConv
from gsparse.prune import Magnitude, Pruner, WeightMasks
from gsparse.prune.criteria.propagated import visit_inputs
from gsparse.prune.structured.structures import Columns, Rows
from gsparse.train import sparse_features

MODULE = import_module(
    "gsparse.compaction.reconstruct"
)  # also once a function hides it
DATA = random_graph(num_nodes=60, p=0.1, seed=24317)
EDGES = DATA.edge_index
GENERATOR = torch.Generator().manual_seed(91573)
X = torch.randn(60, 12, generator=GENERATOR)
W = torch.randn(5, 12, generator=GENERATOR, dtype=torch.float64)
KEEP = torch.arange(12) % 3 != 1
H = gram(iter([X]))


def residual(w):
    return float(((w - W) @ H * (w - W)).sum())


def test_products_of_slices_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr(MODULE, "ROWS", 7)
    expected = X.double().t() @ X.double()
    torch.testing.assert_close(gram(iter(X.split(5, dim=1))), expected)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.1])
def test_it_is_a_least_squares_solution(ridge):
    """Of the outputs, and of the change at the price of the ridge."""
    price = (ridge * H.diagonal().mean()).sqrt()
    inputs, target = X.double(), X.double() @ W.t()
    kept = inputs[:, KEEP]
    a = torch.cat([kept, price * torch.eye(int(KEEP.sum()), dtype=torch.float64)])
    b = torch.cat([target, price * W[:, KEEP].t()])
    found = least_squares(W, KEEP, H, ridge)
    expected = torch.linalg.lstsq(a, b).solution.t()
    torch.testing.assert_close(found[:, KEEP], expected)
    assert not found[:, ~KEEP].any()


def test_what_is_missing_is_orthogonal_to_the_kept_inputs():
    missing = X.double() @ (W - least_squares(W, KEEP, H, 0.0)).t()
    assert (X.double().t() @ missing)[KEEP].abs().max() < 1e-9
    assert missing.norm() > 1


@pytest.mark.parametrize("ridge", [0.0, 1e-6, 1e-2, 1.0, 1e3])
def test_it_is_never_worse_than_the_mask_alone(ridge):
    found = residual(least_squares(W, KEEP, H, ridge))
    assert found < residual(torch.where(KEEP, W, 0.0))
    assert found >= residual(least_squares(W, KEEP, H, 0.0)) * (1 - 1e-12)


def test_nothing_gone_changes_nothing():
    assert least_squares(W, torch.ones(12, dtype=torch.bool), H, 1.0).equal(W)
    conv = GCNConv(12, 5)
    before = conv.lin.weight.clone()
    assert reconstruct(Pruner(conv, Magnitude(), sparsity=0.0), (X, EDGES)) == {}
    assert conv.lin.weight.equal(before)


CONVS = {
    "GCN": lambda: GCNConv(12, 6),
    "SAGE": lambda: SAGEConv(12, 6),
    "GAT": lambda: GATConv(12, 3, heads=2),
    "GATv2": lambda: GATv2Conv(12, 3, heads=2),
}


@pytest.mark.parametrize("build", CONVS.values(), ids=CONVS)
def test_sums_of_kept_inputs_are_recovered(build):
    """Also by attention: at every node the linear map gives what it gave."""
    torch.manual_seed(47911)
    x = X.clone()
    x[:, ~KEEP] = x[:, KEEP] @ torch.randn(int(KEEP.sum()), int((~KEEP).sum()))
    conv = build().eval()
    dense = conv(x, EDGES)
    masks = WeightMasks(conv)
    for name in masks.targets:
        masks[name] = KEEP.expand(6, -1)
    found = reconstruct(masks, (x, EDGES), ridge=1e-9)
    assert (conv(x, EDGES) - dense).norm() < 1e-4 * dense.norm()
    for it in found.values():
        assert it.masked_error > 0.05
        assert it.error < 1e-8


@pytest.mark.parametrize("ridge", [1e-9, 0.01])
def test_errors_are_those_of_the_outputs(ridge):
    torch.manual_seed(47911)
    conv = GCNConv(12, 6, bias=False)
    dense = conv(X, EDGES).detach()
    pruner = Pruner(conv, Magnitude(), sparsity=0.5, structure=Columns())

    def error():
        off = conv(X, EDGES).detach() - dense
        return float(off.norm() / dense.norm()) ** 2

    masked = error()
    found = reconstruct(pruner, (X, EDGES), ridge)["lin.weight"]
    assert found.masked_error == pytest.approx(masked, rel=1e-4)
    assert found.error == pytest.approx(error(), rel=1e-4)
    assert found.error < found.masked_error


def test_propagated_inputs_are_better_than_those_of_the_map():
    torch.manual_seed(47911)
    conv = GCNConv(12, 6, bias=False)
    dense, full = conv(X, EDGES), conv.lin.weight.detach().double()
    masks = WeightMasks(conv)
    masks["lin.weight"] = KEEP.expand(6, -1)
    own = least_squares(full, KEEP, H, 1e-9).float()
    reconstruct(masks, (X, EDGES), 1e-9)
    ours = (conv(X, EDGES) - dense).norm()
    conv.lin._parameters["weight"].data.copy_(own)
    assert ours < 0.95 * (conv(X, EDGES) - dense).norm()


def test_every_layer_of_a_model_sees_the_inputs_of_the_full_one():
    torch.manual_seed(47911)
    model = GCN(12, 9, 3, out_channels=4).eval()
    hidden = model.convs[0](X, EDGES).relu().detach()
    dense = model.convs[1](hidden, EDGES).detach()
    pruner = Pruner(
        model, Magnitude(), sparsity=0.4, structure=Columns(), scope="local"
    )
    found = reconstruct(pruner, (X, EDGES), ridge=1e-6)
    assert list(found) == ["convs.0.lin.weight", "convs.1.lin.weight"]
    off = (model.convs[1](hidden, EDGES) - dense).square().sum()
    linear = (dense - model.convs[1].bias).square().sum()
    assert found["convs.1.lin.weight"].error == pytest.approx(
        float(off / linear), rel=1e-3
    )


def test_each_head_has_its_own_least_squares():
    torch.manual_seed(47911)
    conv = GATConv(12, 3, heads=2, bias=False)
    attended = {}

    def take(name, heads, rows):
        attended[name] = [torch.cat(list(head), dim=1).double() for head in heads]

    visit_inputs(conv, (X, EDGES), take)
    full = conv.lin.weight.detach().double()
    masks = WeightMasks(conv)
    masks["lin.weight"] = KEEP.expand(6, -1)
    reconstruct(masks, (X, EDGES), ridge=0.0)
    for head, inputs in enumerate(attended["lin.weight"]):
        part = slice(3 * head, 3 * head + 3)
        target = inputs @ full[part].t()
        expected = torch.linalg.lstsq(inputs[:, KEEP], target).solution.t()
        found = conv.lin.weight[part][:, KEEP].double()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_rows_may_lose_different_inputs_or_all():
    torch.manual_seed(47911)
    conv = GCNConv(12, 6, bias=False)
    full = conv.lin.weight.detach().clone()
    masks = WeightMasks(conv)
    keep = torch.rand(6, 12) < 0.6
    keep[2] = False
    masks["lin.weight"] = keep
    result = reconstruct(masks, (X, EDGES), ridge=0.0)
    propagated = []
    visit_inputs(conv, (X, EDGES), lambda _, heads, rows: propagated.extend(heads[0]))
    a = propagated[0].double()
    for row in range(6):
        target = a @ full[row].double()
        expected = torch.linalg.lstsq(a[:, keep[row]], target[:, None]).solution[:, 0]
        found = conv.lin.weight[row][keep[row]].double()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert not conv.lin.weight[~keep].any()
    behind = conv.lin._parameters["weight"]
    assert behind[~keep].equal(full[~keep])
    assert result["lin.weight"].before.equal(full)
    assert masks["lin.weight"].equal(keep)


def test_sparse_features_give_the_weights_of_dense_ones():
    found = []
    for x in [X.relu(), sparse_features(X.relu())]:
        torch.manual_seed(47911)
        conv = FastGCNConv(12, 6)
        reconstruct(
            Pruner(conv, Magnitude(), sparsity=0.5, structure=Columns()), (x, EDGES)
        )
        found.append(conv.lin.weight)
    torch.testing.assert_close(*found)


def test_only_the_named_weights_change():
    torch.manual_seed(47911)
    model = GCN(12, 9, 3, out_channels=4)
    before = {name: p.clone() for name, p in model.named_parameters()}
    pruner = Pruner(
        model, Magnitude(), sparsity=0.4, structure=Columns(), scope="local"
    )
    assert list(reconstruct(pruner, (X, EDGES), names=["convs.1.lin.weight"])) == [
        "convs.1.lin.weight"
    ]
    changed = {n for n, p in model.named_parameters() if not p.equal(before[n])}
    assert changed == {"convs.1.lin.weight"}


class TestRefusals:
    def pruner(self, **options):
        torch.manual_seed(47911)
        return Pruner(
            GCNConv(12, 6), Magnitude(), sparsity=0.5, structure=Columns(), **options
        )

    def test_too_many_inputs(self, monkeypatch):
        monkeypatch.setattr(MODULE, "MAX_INPUTS", 11)
        with pytest.raises(ValueError, match=r"'lin.weight' must have at most 11 inp"):
            reconstruct(self.pruner(), (X, EDGES))
        rows = Pruner(GCNConv(11, 6), Magnitude(), sparsity=0.5, structure=Rows())
        reconstruct(rows, (X[:, :11], EDGES))

    def test_dependent_inputs_without_a_ridge(self):
        twice = torch.cat([X, X], dim=1)
        masks = WeightMasks(GCNConv(24, 6))
        masks["lin.weight"] = (torch.arange(24) != 3).expand(6, -1)
        before = masks.parameters()["lin.weight"].clone()
        constant = torch.ones(60, 24)
        with pytest.raises(ValueError, match=r"at 'ridge'=0\.0 .* increase 'ridge'"):
            reconstruct(masks, (constant, EDGES), ridge=0.0)
        assert masks.parameters()["lin.weight"].equal(before)
        reconstruct(masks, (twice, EDGES))

    def test_a_ridge_below_zero(self):
        with pytest.raises(
            ValueError, match=r"'ridge' must not be negative \(got -1\)"
        ):
            reconstruct(self.pruner(), (X, EDGES), ridge=-1)

    def test_what_is_no_linear_map(self):
        model = GAT(12, 4, 2, out_channels=3, heads=2)
        pruner = Pruner(model, Magnitude(), sparsity=0.5, targets=r"convs\.0\.att_src")
        with pytest.raises(ValueError, match=r"'convs\.0\.att_src' must be the weight"):
            reconstruct(pruner, (X, EDGES))

    def test_infinite_inputs(self):
        bad = X.clone()
        bad[4, 5] = torch.inf
        with pytest.raises(ValueError, match=r"inputs of 'lin\.weight' must be finite"):
            reconstruct(self.pruner(), (bad, EDGES))

    def test_an_example_that_is_no_tuple(self):
        with pytest.raises(TypeError, match="'example' must be the tuple"):
            reconstruct(self.pruner(), X)
