"""Counts before and after compaction, and reasons to keep dead units."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATConv, GCNConv, SAGEConv
from torch_geometric.nn.models import GCN

from gsparse.compaction import compact, compaction_report, multiply_adds
from gsparse.nn import FastGATConv, FastSAGEConv, to_sparse
from gsparse.prune import Magnitude, Pruner
from gsparse.train import sparse_features
from tests.compaction.models import FEATURES, graph

X, EDGES = graph(40277, torch.float32)  # 8 nodes, 14 edges


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (GCNConv(5, 4), 8 * 5 * 4 + (14 + 8) * 4),
        (GCNConv(5, 4, add_self_loops=False), 8 * 5 * 4 + 14 * 4),
        (SAGEConv(5, 4), 2 * 8 * 5 * 4 + 14 * 5),
        (FastSAGEConv(5, 4), 2 * 8 * 5 * 4 + 14 * 4),
        (GATConv(5, 4, heads=3), 8 * 5 * 12 + (14 + 8) * 12),
        (FastGATConv(5, 4, heads=3), 8 * 5 * 12 + (14 + 8) * 12),
    ],
    ids=lambda it: str(it),
)
def test_multiply_adds_by_hand(layer, expected):
    assert multiply_adds(layer, (X, EDGES)) == expected


def test_multiply_adds_of_what_is_stored_sparse():
    model = nn.Sequential(nn.Linear(5, 40), nn.ReLU(), nn.Linear(40, 3))
    assert multiply_adds(model, (X,)) == 8 * (5 * 40 + 40 * 3)
    pruner = Pruner(model, Magnitude(), sparsity=0.95, exclude=r"2\.")
    stored = to_sparse(model)
    assert multiply_adds(stored, (X,)) == 8 * (pruner.report().num_kept + 40 * 3)
    thin = X * (X > 1)
    expected = int((thin != 0).sum()) * 4 + (14 + 8) * 4
    features = sparse_features(thin, threshold=0.9)
    assert multiply_adds(GCNConv(5, 4), (features, EDGES)) == expected


def test_counts_are_those_of_the_two_models():
    torch.manual_seed(73303)
    model = GCN(FEATURES, 8, 3, 3)
    with torch.no_grad():
        model.convs[0].lin.weight[3:] = 0
        model.convs[1].lin.weight[:, :1] = 0
    report = compaction_report(model, (X, EDGES))
    small = compact(model, (X, EDGES))
    assert [(g.name, g.before, g.after) for g in report.groups] == [
        ("x", 5, 5),
        ("convs.0.lin", 8, 2),
        ("convs.1.lin", 8, 8),
        ("convs.2.lin", 3, 3),
    ]
    count = [sum(p.numel() for p in m.parameters()) for m in (model, small)]
    assert [report.parameters_before, report.parameters_after] == count
    flops = [multiply_adds(m, (X, EDGES)) for m in (model, small)]
    assert [report.multiply_adds_before, report.multiply_adds_after] == flops
    assert all(len(line) <= 80 for line in str(report).split("\n"))


def test_reasons():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = FastGATConv(FEATURES, 3, heads=2)
            self.norm, self.mid = nn.LayerNorm(6), nn.Linear(6, 4)
            self.last = nn.Linear(4, 3)

        def forward(self, x, edge_index):
            x = self.mid(self.norm(self.conv(x, edge_index))).relu()
            return self.last(x)

    torch.manual_seed(48817)
    model = Two()
    with torch.no_grad():
        model.conv.lin.weight[0] = 0
        model.mid.weight[1] = 0
        model.mid.bias[1] = -1.0
    report = compaction_report(model, (X, EDGES))
    assert [g.kept_dead for g in report.groups] == [
        {},
        {"layer norm reads every channel": 1},
        {},
        {},
    ]
    assert report.groups[2].after == 3
    model.norm = nn.Identity()
    report = compaction_report(model, (X, EDGES))
    assert report.groups[1].kept_dead == {"heads keep equal widths": 1}


def test_long_names_are_cut():
    inner = nn.Sequential(nn.Linear(FEATURES, 3))
    model = nn.Sequential()
    model.add_module("a_module_with_a_name_that_fills_a_line_of_the_table", inner)
    text = str(compaction_report(model, (X,)))
    assert all(len(line) <= 80 for line in text.split("\n"))
    assert "…" in text
