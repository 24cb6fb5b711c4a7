"""random_graph: every pair with probability p and at most once."""

import numpy as np
import pytest
import torch

from gsparse.data import random_graph
from gsparse.data.erdos_renyi import _chosen, _pair_of
from gsparse.data.random_stream import RandomStream


def test_pairs_are_numbered_column_by_column():
    expected = [(row, col) for col in range(60) for row in range(col)]
    row, col = _pair_of(np.arange(len(expected)))
    assert list(zip(row.tolist(), col.tolist(), strict=True)) == expected


def test_pair_numbers_are_exact_where_floats_are_not():
    order = np.arange(2**27 - 500, 2**27 + 500)
    first = order * (order - 1) // 2  # the pair (0, order), where the root jumps
    item = np.concatenate([first - 1, first, first + 1])
    row, col = _pair_of(item)
    assert (col * (col - 1) // 2 + row == item).all()
    assert ((row >= 0) & (row < col)).all()


@pytest.mark.parametrize("p", [0.03, 0.5, 0.97])
def test_every_item_has_probability_p(p):
    draws = 4000
    count = np.zeros(40)
    for seed in range(31013, 31013 + draws):
        count[_chosen(40, p, RandomStream(seed))] += 1
    error = (count / draws - p) / np.sqrt(p * (1 - p) / draws)
    assert np.abs(error).max() < 4.5  # 40 normal numbers


@pytest.mark.parametrize("p", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("num_nodes", [0, 1, 2, 30])
def test_graph_is_simple_and_undirected(num_nodes, p):
    data = random_graph(num_nodes, p, seed=15737)
    key = data.edge_index[0] * num_nodes + data.edge_index[1]
    assert (key.diff() > 0).all()
    assert data.is_undirected()
    assert not data.has_self_loops()
    if p == 1:
        assert data.num_edges == num_nodes * (num_nodes - 1)


def test_masks_part_the_nodes():
    data = random_graph(50, 0.1, seed=40063)
    masks = torch.stack([data.train_mask, data.val_mask, data.test_mask])
    assert masks.sum(dim=1).tolist() == [30, 10, 10]
    assert (masks.sum(dim=0) == 1).all()


def test_weights_are_symmetric_and_leave_the_rest_alone():
    data = random_graph(30, 0.3, seed=77249, weighted=True)
    W = torch.zeros(30, 30)
    W[data.edge_index[0], data.edge_index[1]] = data.edge_weight
    assert W.equal(W.t())
    assert (data.edge_weight >= 0.5).all()
    assert (data.edge_weight < 2).all()
    assert len(data.edge_weight.unique()) > data.num_edges // 4
    plain = random_graph(30, 0.3, seed=77249)
    assert plain.edge_index.equal(data.edge_index)
    assert plain.x.equal(data.x)
    assert "edge_weight" not in plain


def test_same_seed_same_graph():
    first, second, other = (random_graph(40, 0.2, seed=s) for s in (9173, 9173, 9174))
    assert first.edge_index.equal(second.edge_index)
    assert first.x.equal(second.x)
    assert not first.x.equal(other.x)


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_probability_out_of_range(p):
    with pytest.raises(ValueError, match=rf"'p' must be in \[0, 1\] \(got {p}\)"):
        random_graph(5, p, seed=1)


@pytest.mark.parametrize(
    ("seed", "error", "message"),
    [
        (-1, ValueError, r"'seed' must be in \[0, 2\*\*64\) \(got -1\)"),
        (1.5, TypeError, r"'seed' must be an int \(got float\)"),
        (None, TypeError, r"'seed' must be an int \(got NoneType\)"),
    ],
)
def test_bad_seed(seed, error, message):
    with pytest.raises(error, match=message):
        random_graph(5, 0.5, seed=seed)


def test_stream_is_philox():
    """The stream is what the paper's algorithm gives: numpy's own raw words."""
    words = np.random.Philox(key=83621).random_raw(5)
    assert (RandomStream(83621).words(5) == words).all()
    assert (RandomStream(83621, stream=1).words(5) != words).any()


def test_normal_numbers_are_normal():
    draws = RandomStream(27653).normal(200_001)
    assert abs(draws.mean()) < 4.5 / np.sqrt(draws.size)
    assert abs(draws.var() - 1) < 4.5 * np.sqrt(2 / draws.size)
    assert abs((np.abs(draws) < 1).mean() - 0.6827) < 0.005
