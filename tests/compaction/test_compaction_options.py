"""The table of layers and operations supported by compaction."""

import pytest
from torch import nn

from tests.compaction import compaction_options
from tests.compaction.compaction_options import (
    FOLLOWED,
    KEPT,
    REFUSED,
    alone,
    outcome,
)

SUPPORTED = [
    "GCNConv",
    "SAGEConv(aggr='mean')",
    "GINConv",
    "GraphConv",
    "GATConv",
    "GATv2Conv",
]


@pytest.mark.parametrize(
    "name", [*SUPPORTED, "TransformerConv", "SGConv", "FastGATConv"]
)
def test_layers_of_the_documentation_are_followed(name):
    make, step = compaction_options.CONVS[name]
    assert outcome(make(), step) == FOLLOWED


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("h[mask of nodes] = 0", FOLLOWED),
        ("h[:, 3] = 0", KEPT),
        ("h[:, :3]", KEPT),
        ("view(-1, 6)", REFUSED),
        ("write through a view", REFUSED),
    ],
)
def test_operations(name, expected):
    function = compaction_options.OPERATIONS[name]
    assert outcome(nn.Identity(), lambda m, h, *e: function(h, *e)) == expected


def test_every_row_has_one_of_three_outcomes(monkeypatch):
    monkeypatch.setattr(compaction_options, "CONVS", {})
    monkeypatch.setattr(compaction_options, "OPERATIONS", {})
    found = compaction_options.rows()
    assert {outcome for _, _, outcome in found} == {FOLLOWED, KEPT, REFUSED}
    assert len({name for name, _, _ in found}) == len(found)
    assert outcome(nn.PReLU(6), alone) == FOLLOWED
