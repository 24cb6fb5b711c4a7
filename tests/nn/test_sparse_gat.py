"""SparseGAT: hard concrete gates that are sums over the end points."""

import pytest
import torch
from torch_geometric.nn.models import GAT

from gsparse.data import random_graph
from gsparse.nn import SparseGAT


def wrap(data, **options):
    torch.manual_seed(4)
    return SparseGAT(GAT(data.num_features, 8, 2), data.num_features, seed=2, **options)


def test_gates_begin_open_and_are_those_of_the_definition():
    data = random_graph(30, 0.3, seed=4409)
    model = wrap(data, penalty=0.1)
    found = model.edge_probability(data)
    own = model.lin(data.x) @ model.ends
    row, col = data.edge_index
    odds = 2.0 + own[row] + own[col]
    torch.testing.assert_close(found, torch.sigmoid(odds), rtol=1e-5, atol=1e-6)
    assert found.mean() > 0.8


def test_one_of_sparsity_and_penalty():
    data = random_graph(10, 0.3, seed=4409)
    with pytest.raises(ValueError, match="one of 'sparsity' and 'penalty'"):
        wrap(data)
