"""Weights follow edges that a model reorders or reverses."""

import pytest
import torch
from torch_geometric.nn import GATConv, GCNConv, HeteroConv, SAGEConv, Sequential
from torch_geometric.utils import add_self_loops, sort_edge_index, to_undirected

from gsparse.nn import edge_weights
from gsparse.nn.edge_alignment import align_weights

DIRECTED = torch.tensor([[3, 0, 2, 1, 4], [1, 2, 1, 0, 0]])
UNDIRECTED = torch.tensor([[0, 1, 0, 2, 3, 2, 4, 3], [1, 0, 2, 0, 2, 3, 3, 4]])
SYMMETRIC = torch.tensor([0.1, 0.1, 0.2, 0.2, 0.3, 0.3, 0.4, 0.4])
ORDERS = {
    "copied": torch.clone,
    "sorted": sort_edge_index,
    "sorted by target": lambda e: sort_edge_index(e, sort_by_row=False),
    "permuted": lambda e: e[:, torch.arange(e.size(1)).flip(0)],
}


def by_pair(edge_index, weight):
    return dict(zip(map(tuple, edge_index.t().tolist()), weight.tolist(), strict=True))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_pair_keeps_its_weight(order):
    for edge_index, weight in ((DIRECTED, torch.rand(5)), (UNDIRECTED, SYMMETRIC)):
        given = order(edge_index)
        found = align_weights(weight, given, edge_index, "conv")
        assert by_pair(given, found) == by_pair(edge_index, weight)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_reversed_pair_keeps_its_weight(order):
    weight, given = torch.rand(5), order(DIRECTED.flip(0))
    found = align_weights(weight, given, DIRECTED, "conv")
    assert by_pair(given.flip(0), found) == by_pair(DIRECTED, weight)


@pytest.mark.parametrize("order", [*list(ORDERS.values())[1:], lambda e: e.flip(0)])
def test_what_may_be_reversed_or_reordered_needs_symmetric_weights(order):
    with pytest.raises(ValueError, match=r"layer 'conv'.*both directions.*different"):
        align_weights(torch.arange(8.0), order(UNDIRECTED), UNDIRECTED, "conv")


def test_parallel_edges_are_followed_in_place_only():
    edge_index, weight = torch.cat([DIRECTED, DIRECTED[:, :1]], 1), torch.arange(6.0)
    for given in (edge_index.clone(), edge_index.flip(0)):
        assert align_weights(weight, given, edge_index, "conv").equal(weight)
    with pytest.raises(ValueError, match="another order and some are parallel"):
        align_weights(weight, edge_index.flip(1), edge_index, "conv")


@pytest.mark.parametrize(
    "change",
    [to_undirected, lambda e: add_self_loops(e)[0], lambda e: (e + 1) % 5],
)
def test_other_edges_are_refused(change):
    with pytest.raises(ValueError, match="'conv' was called with another graph"):
        align_weights(torch.rand(5), change(DIRECTED), DIRECTED, "conv")


@pytest.mark.parametrize("conv", [GCNConv(6, 4), SAGEConv(6, 4), GATConv(6, 4)])
@pytest.mark.parametrize("order", {**ORDERS, "reversed": lambda e: e.flip(0)}.values())
def test_a_model_that_reorders_its_edges_equals_removal(conv, order):
    steps = [(order, "edge_index -> moved"), (conv, "x, moved -> x")]
    model = Sequential("x, edge_index", steps)
    x, keep = torch.randn(5, 6), torch.tensor([1.0, 0, 1, 1, 0])
    with edge_weights(model, DIRECTED, keep):
        masked = model(x, DIRECTED)
    torch.testing.assert_close(masked, model(x, DIRECTED[:, keep > 0]))


def test_edges_that_are_changed_in_place_are_refused():
    conv, edge_index = GCNConv(6, 4), DIRECTED.clone()
    with edge_weights(conv, edge_index, torch.ones(5)):
        edge_index[0, 0] = 2
        with pytest.raises(ValueError, match="changed in place"):
            conv(torch.randn(5, 6), edge_index)


def test_layers_of_relations_with_other_edges_are_refused():
    conv = HeteroConv(
        {("a", "to", "a"): SAGEConv(6, 4), ("a", "of", "a"): GCNConv(6, 4)}
    )
    edges = {("a", "to", "a"): DIRECTED, ("a", "of", "a"): (DIRECTED + 1) % 5}
    with (
        edge_weights(conv, DIRECTED, torch.ones(5)),
        pytest.raises(ValueError, match=r"<a___of___a>.*it has other edges"),
    ):
        conv({"a": torch.randn(5, 6)}, edges)


@pytest.mark.parametrize(
    ("weight", "rule"),
    [(torch.ones(4), r"shape \[5\].*\[4\]"), (torch.ones(5, 1), "one")],
)
def test_there_is_one_weight_an_entry(weight, rule):
    conv = GCNConv(6, 4)
    with pytest.raises(ValueError, match=rule), edge_weights(conv, DIRECTED, weight):
        pass


def test_adjacencies_are_refused():
    conv, adjacency = SAGEConv(2, 4), torch.eye(2).to_sparse()
    with (
        pytest.raises(TypeError, match=r"needs 'edge_index' as a \[2, E\] tensor"),
        edge_weights(conv, adjacency, torch.ones(2)),
    ):
        pass
    with (
        edge_weights(conv, torch.tensor([[0, 1], [0, 1]]), torch.ones(2)),
        pytest.raises(TypeError, match="layer '' needs 'edge_index'"),
    ):
        conv(torch.randn(2, 2), adjacency)


def test_weights_that_a_layer_does_not_take_are_refused():
    conv = GATConv(6, 4)
    with (
        edge_weights(conv, DIRECTED, torch.ones(5)),
        pytest.raises(TypeError, match=r"\(GATConv\) takes no 'edge_weight'"),
    ):
        conv(torch.randn(5, 6), DIRECTED, edge_weight=torch.ones(5))
