"""Targets of pruning by default, by name, by class and by function; refusals."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv, GINConv, Linear, SAGEConv
from torch_geometric.nn.models import GAT, GCN, GIN, GraphSAGE

from gsparse.prune import find_targets


def names(model, *args, **kwargs):
    return [target.name for target in find_targets(model, *args, **kwargs)]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (GCN(5, 4, 3, 2), ["convs.0.lin.weight", "convs.1.lin.weight"]),
        (GraphSAGE(5, 4, 2, 2), ["convs.0.lin_l.weight", "convs.0.lin_r.weight"]),
        (GAT(5, 4, 2, 2, heads=2), ["convs.0.lin.weight"]),
        (GIN(5, 4, 2, 2), ["convs.0.nn.lins.0.weight", "convs.0.nn.lins.1.weight"]),
        (
            GCN(5, 4, 2, 3, jk="cat", norm="batch"),
            ["convs.0.lin.weight", "convs.1.lin.weight"],
        ),
        (nn.Sequential(nn.Linear(3, 4), nn.ReLU(), Linear(4, 2)), ["0.weight"]),
    ],
    ids=["GCN", "SAGE", "GAT", "GIN", "JK", "MLP"],
)
def test_default_leaves_out_biases_norms_and_the_output_layer(model, expected):
    assert names(model) == expected


def test_the_only_layer_is_not_left_out():
    assert names(GCNConv(5, 4)) == ["lin.weight"]
    conv = GINConv(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 4)))
    assert names(conv) == ["nn.0.weight", "nn.1.weight"]


def test_by_expression_class_and_function():
    model = GAT(5, 4, 2, 2, heads=2)
    model.head = SAGEConv(2, 2)
    assert names(model, r"convs\.1\.att") == ["convs.1.att_src", "convs.1.att_dst"]
    assert names(model, SAGEConv, exclude=r"bias") == [
        "head.lin_l.weight",
        "head.lin_r.weight",
    ]
    assert names(model, lambda name, p: p.dim() == 2 and "lin" in name) == [
        "convs.0.lin.weight",
        "convs.1.lin.weight",
        "head.lin_l.weight",
        "head.lin_r.weight",
    ]
    assert names(model, ["lin_l.weight", "convs.0.lin"]) == [
        "convs.0.lin.weight",
        "head.lin_l.weight",
    ]


def test_exclude_works_on_the_default():
    assert names(GCN(5, 4, 3, 2), exclude="convs.0") == ["convs.1.lin.weight"]


def test_nothing_left_says_what_there_is():
    with pytest.raises(ValueError, match=r"of GCN \(got none of: convs\.0\.bias, "):
        find_targets(GCN(5, 4, 2, 2), "fc")


def test_lazy_layers_are_refused():
    with pytest.raises(ValueError, match="run the model once on its data first"):
        find_targets(GCN(-1, 4, 2, 2))


def test_tied_weights_are_refused():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    model[1].weight = model[0].weight
    with pytest.raises(ValueError, match=r"one module \(got 0\.weight, 1\.weight\)"):
        find_targets(model)


def test_integers_are_refused():
    model = nn.Linear(4, 4)
    model.weight = nn.Parameter(torch.zeros(4, 4, dtype=torch.long), False)
    with pytest.raises(ValueError, match=r"floats \(got torch\.int64\)"):
        find_targets(model)


def test_embeddings_that_write_their_weight_are_refused():
    with pytest.raises(ValueError, match=r"a forward pass, .* \(got max_norm=0\.5\)"):
        find_targets(nn.Embedding(4, 3, max_norm=0.5), "weight")
