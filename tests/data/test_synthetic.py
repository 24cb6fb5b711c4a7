"""Chung-Lu graphs and planted partitions against their definitions."""

import numpy as np
import pytest
import torch
from torch_geometric.utils import degree

from gsparse.data import chung_lu, planted_partition
from gsparse.data.chung_lu import _LABELS, power_law_degrees
from gsparse.data.features import take_rows
from gsparse.data.random_stream import RandomStream
from gsparse.data.weighted_draw import WeightedNodes


def is_simple_and_undirected(data):
    key = data.edge_index[0] * data.num_nodes + data.edge_index[1]
    return bool((key.diff() > 0).all()) and data.is_undirected()


@pytest.mark.parametrize(
    ("num_nodes", "num_edges"),
    [(1, 0), (5, 10), (300, 0), (300, 2), (300, 3000), (300, 44850), (3000, 20_000)],
)
def test_size_is_exact(num_nodes, num_edges):
    data = chung_lu(num_nodes, num_edges, seed=61561)
    assert (data.num_nodes, data.num_edges) == (num_nodes, num_edges)
    assert is_simple_and_undirected(data)
    assert not data.has_self_loops()


@pytest.mark.parametrize("exponent", [2.1, 2.5, 4.0])
@pytest.mark.parametrize("num_nodes", [50, 5000])
def test_expected_degrees(num_nodes, exponent):
    num_edges = 6 * num_nodes
    deg = power_law_degrees(num_nodes, num_edges, exponent)
    assert deg.sum() == pytest.approx(num_edges)
    assert deg[0] == pytest.approx(np.sqrt(num_edges), rel=1e-3)
    # d_i is a power of i + shift: its logarithm is linear in log(i + shift).
    power = 1 / (1 - exponent)
    line = deg ** (1 / power)
    np.testing.assert_allclose(np.diff(line), line[1] - line[0], rtol=1e-6)


def test_degrees_follow_the_expected_ones():
    """Mean degree by rank over many graphs, of which few pairs are drawn twice."""
    num_nodes, num_edges, draws = 200, 600, 300
    total = np.zeros(num_nodes)
    for seed in range(55001, 55001 + draws):
        row = chung_lu(num_nodes, num_edges, 3.0, seed=seed).edge_index[0]
        deg = degree(row, num_nodes).numpy()
        node_of_rank = RandomStream(seed, _LABELS).permutation(num_nodes)
        total += deg[node_of_rank]
    expected = power_law_degrees(num_nodes, num_edges, 3.0)
    assert np.abs(total / draws / expected - 1).max() < 0.2


def test_same_seed_same_graph():
    first, second, other = (chung_lu(500, 4000, seed=s) for s in (1117, 1117, 1118))
    assert first.edge_index.equal(second.edge_index)
    assert not first.edge_index.equal(other.edge_index)


def test_weighted_nodes_is_the_inverse_of_the_cumulative_weight():
    weight = RandomStream(74017).uniform(1000) ** 9
    weight[[0, 4, 5, 999]] = 0
    nodes = WeightedNodes(weight)
    point = np.concatenate(
        [RandomStream(74018).uniform(10_000) * nodes.total, nodes.cumulative[:-2]]
    )
    expected = np.searchsorted(np.cumsum(weight), point, side="right")
    assert (nodes.at(point) == expected).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chung_lu(10, 7), r"must be even and not negative \(got 7\)"),
        (lambda: chung_lu(10, 60), r"at most half of .* entries, 45 \(got 60\)"),
        (lambda: chung_lu(0, 0), r"'num_nodes' must be at least 1 \(got 0\)"),
        (lambda: chung_lu(10, 4, 2.0), r"'exponent' must be larger than 2 \(got 2.0\)"),
        (
            lambda: planted_partition(10, 11),
            r"'num_classes' must be in \[2, 10\] \(got 11\)",
        ),
        (
            lambda: planted_partition(50, homophily=1.2),
            r"'homophily' must be in \[0, 1\] \(got 1.2\)",
        ),
        (
            lambda: planted_partition(50, num_features=4),
            r"'num_features' must be at least 5 \(got 4\)",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("homophily", [0.0, 0.2, 0.8, 1.0])
def test_homophily(homophily):
    data = planted_partition(3000, 4, degree=8, homophily=homophily, seed=68041)
    row, col = data.edge_index
    inside = (data.y[row] == data.y[col]).double().mean().item()
    error = 4.5 * np.sqrt(homophily * (1 - homophily) / (data.num_edges / 2))
    assert abs(inside - homophily) <= error + 0.01  # pairs drawn twice
    assert data.num_edges == 24_000
    assert is_simple_and_undirected(data)


def test_outside_every_other_class_is_reached():
    data = planted_partition(4000, 4, degree=10, homophily=0.0, seed=23117)
    row, col = data.edge_index
    between = torch.zeros(4, 4).index_put_(
        (data.y[row], data.y[col]), torch.ones(1), accumulate=True
    )
    assert (between.diagonal() == 0).all()
    off = between[~torch.eye(4, dtype=torch.bool)]
    assert (off / off.mean() - 1).abs().max() < 0.1


def test_classes_are_balanced_and_own_their_words():
    data = planted_partition(1003, 5, num_features=53, seed=90863, signal=1.0)
    assert sorted(data.y.bincount().tolist()) == [200, 200, 201, 201, 201]
    for c in range(5):
        words = data.x[data.y == c].any(dim=0).nonzero().flatten().tolist()
        assert words == list(range(c * 53 // 5, (c + 1) * 53 // 5))
    assert set(data.x.unique().tolist()) == {0.0, 1.0}


def test_without_signal_words_say_nothing():
    data = planted_partition(4000, 2, num_features=20, seed=31337, signal=0.0)
    means = torch.stack([data.x[data.y == c].mean(dim=0) for c in range(2)])
    assert (means[0] - means[1]).abs().max() < 4.5 * np.sqrt(2 * 0.25 / 2000)


def test_sparse_features_are_the_same():
    dense = planted_partition(400, seed=12343)
    sparse = planted_partition(400, seed=12343, sparse_features=True)
    assert sparse.x.layout == torch.sparse_csr
    assert sparse.x.to_dense().equal(dense.x)
    rows = torch.tensor([7, 0, 7, 399])
    assert take_rows(sparse.x, rows).to_dense().equal(dense.x[rows])
