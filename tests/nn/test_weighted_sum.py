"""Normalised weights are shared within one call of a model only."""

import pytest
import torch
from torch_geometric.nn import GCNConv
from torch_geometric.nn.models import GCN

from gsparse.data import random_graph
from gsparse.nn import KEdge, edge_weights, weighted_sum
from gsparse.nn.weighted_sum import aggregate_normalised, sharing_normalised

DATA = random_graph(num_nodes=20, p=0.3, seed=50263)
X = torch.randn(20, 4, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def calls(monkeypatch):
    """How often weights were normalised."""
    made, true = [], weighted_sum.normalised_values
    note = lambda *args: (made.append(args), true(*args))[1]  # noqa: E731
    monkeypatch.setattr(weighted_sum, "normalised_values", note)
    return made


def test_layers_of_a_masked_model_share_them(calls):
    mask = KEdge(GCN(4, 8, num_layers=3, out_channels=2), 4, sparsity=0.5, seed=1)
    out = mask(X, DATA.edge_index)
    assert len(calls) == 1
    mask(X, DATA.edge_index).sum().backward()
    assert len(calls) == 2  # drawn anew
    out.sum().backward()


def test_other_weights_and_loops_are_kept_apart(calls):
    one, two = torch.rand(2, DATA.num_edges)
    with sharing_normalised():
        for weight, loop in ((one, 1.0), (two, 1.0), (one, 2.0), (one, None)):
            found = [
                aggregate_normalised(X, DATA.edge_index, weight, loop) for _ in "ab"
            ]
            assert found[0].equal(found[1])
    assert len(calls) == 4
    aggregate_normalised(X, DATA.edge_index, one, 1.0)
    assert len(calls) == 5


def test_a_loop_of_steps_within_one_context_meets_fresh_weights():
    """The context of a user may last over many steps and changes in place."""
    layer = GCNConv(4, 2)
    weight = torch.ones(DATA.num_edges, requires_grad=True)
    optimizer, seen = torch.optim.SGD([weight], lr=0.1), []
    with edge_weights(layer, DATA.edge_index, weight):
        for _ in range(3):
            optimizer.zero_grad()
            out = layer(X, DATA.edge_index).square().sum()
            out.backward()
            optimizer.step()
            seen.append(out.item())
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 3
