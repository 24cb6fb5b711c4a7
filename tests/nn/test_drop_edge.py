"""DropEdge removes random edges in training and none in evaluation."""

import pytest
import torch
from torch_geometric.nn import GCNConv, SimpleConv

from gsparse.data import random_graph
from gsparse.edges import apply_edge_mask
from gsparse.nn import DropEdge, edge_weights


def test_evaluation_is_the_plain_model():
    data, conv = random_graph(20, 0.4, seed=71), GCNConv(8, 3)
    data.x = torch.randn(20, 8)
    model = DropEdge(conv, p=0.9).eval()
    out = model(data.x, data.edge_index)
    torch.testing.assert_close(out, conv(data.x, data.edge_index))


def test_training_runs_on_the_graph_without_the_dropped_edges(monkeypatch):
    data, conv = random_graph(20, 0.4, seed=71), GCNConv(8, 3)
    data.x = torch.randn(20, 8)
    seen = []

    def watch(model, edge_index, edge_weight, attention):
        seen.append(edge_weight)
        return edge_weights(model, edge_index, edge_weight, attention)

    monkeypatch.setattr("gsparse.nn.drop_edge.edge_weights", watch)
    model = DropEdge(conv, p=0.6).train()
    outs = [model(data.x, data.edge_index) for _ in range(2)]
    assert not torch.equal(seen[0], seen[1])
    for out, weight in zip(outs, seen, strict=True):
        cut = apply_edge_mask(data, weight.bool())
        assert cut.is_undirected()
        assert cut.num_edges < data.num_edges
        torch.testing.assert_close(out, conv(data.x, cut.edge_index))


def test_the_share_that_goes_is_p(monkeypatch):
    data, seen = random_graph(120, 0.5, seed=71), []

    def watch(model, edge_index, edge_weight, attention):
        seen.append(edge_weight)
        return edge_weights(model, edge_index, edge_weight, attention)

    monkeypatch.setattr("gsparse.nn.drop_edge.edge_weights", watch)
    torch.manual_seed(7)
    DropEdge(GCNConv(8, 3), p=0.3)(torch.randn(120, 8), data.edge_index)
    assert float(seen[0].mean()) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_p_out_of_range(p):
    with pytest.raises(ValueError, match=rf"in \[0, 1\) \(got {p}\)"):
        DropEdge(GCNConv(2, 2), p=p)


def test_layers_that_take_no_weights_are_refused():
    with pytest.raises(TypeError, match="takes no edge weights"):
        DropEdge(SimpleConv())
