"""Undirected pairs against their definition."""

import pytest
import torch

from gsparse.edges import (
    check_edge_index,
    check_edge_weight,
    gather_pairs,
    pair_weight,
    spread,
    undirected_pairs,
)


def messy_graph(seed, num_nodes=20, num_entries=70):
    """Both directions, parallel copies and self-loops, in no order."""
    generator = torch.Generator().manual_seed(seed)
    one = torch.randint(num_nodes, (2, num_entries), generator=generator)
    both = torch.cat([one, one.flip(0)], dim=1)
    return both[:, torch.randperm(both.size(1), generator=generator)]


@pytest.mark.parametrize("seed", [20117, 60443, 91019])
@pytest.mark.parametrize("directed", [False, True])
def test_pairs_match_definition(seed, directed):
    edge_index = messy_graph(seed)
    if directed:
        edge_index = edge_index[:, ::3]
    pairs = undirected_pairs(edge_index, 20)
    entries = [tuple(sorted(e)) for e in edge_index.t().tolist()]
    expected = sorted({e for e in entries if e[0] != e[1]})
    assert list(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True)) == expected
    for entry, pair in zip(entries, pairs.pair.tolist(), strict=True):
        if entry[0] == entry[1]:
            assert pair == -1
        else:
            assert expected[pair] == entry


def test_sorted_and_shuffled_entries_give_the_same_pairs():
    edge_index = messy_graph(48817)
    order = (edge_index[0] * 20 + edge_index[1]).argsort()
    pairs, ordered = (
        undirected_pairs(edge_index),
        undirected_pairs(edge_index[:, order]),
    )
    assert ordered.row.equal(pairs.row)
    assert ordered.col.equal(pairs.col)
    assert ordered.pair.equal(pairs.pair[order])


@pytest.mark.parametrize("num_nodes", [0, 1, 5])
def test_no_edges(num_nodes):
    pairs = undirected_pairs(torch.empty(2, 0, dtype=torch.long), num_nodes)
    assert pairs.num_pairs == 0
    assert pairs.pair.shape == (0,)
    assert spread(pairs, torch.empty(0)).shape == (0,)


def test_only_self_loops():
    pairs = undirected_pairs(torch.tensor([[0, 1, 1], [0, 1, 1]]))
    assert pairs.num_pairs == 0
    assert spread(pairs, torch.empty(0), fill=7).tolist() == [7, 7, 7]


def test_parallel_copies_add():
    edge_index = torch.tensor([[0, 1, 0, 1, 1, 2], [1, 0, 1, 0, 2, 1]])
    pairs = undirected_pairs(edge_index)
    assert pair_weight(edge_index, None, pairs).tolist() == [2.0, 1.0]
    weight = torch.tensor([0.5, 0.5, 3.0, 3.0, 0.25, 0.25])
    assert pair_weight(edge_index, weight, pairs).tolist() == [3.5, 0.25]


def test_simple_graphs_have_no_weights():
    edge_index = torch.tensor([[0, 1, 1, 1], [1, 0, 1, 1]])
    assert pair_weight(edge_index, None, undirected_pairs(edge_index)) is None


def test_one_direction_is_refused():
    edge_index = torch.tensor([[0, 1, 2], [1, 0, 1]])
    with pytest.raises(ValueError, match=r"Foo needs .* edges \(1, 2\) and \(2, 1\)"):
        pair_weight(edge_index, None, undirected_pairs(edge_index), name="Foo")


def test_two_weights_of_one_edge_are_refused():
    edge_index = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=r"edge weights \(0, 1\) and \(1, 0\) differ"):
        pair_weight(edge_index, torch.tensor([1.0, 2.0]), undirected_pairs(edge_index))


def test_spread_and_gather_are_inverse():
    pairs = undirected_pairs(messy_graph(73303))
    values = torch.arange(pairs.num_pairs).double()
    assert gather_pairs(pairs, spread(pairs, values)).equal(values)


def test_gather_refuses_two_values_of_one_edge():
    pairs = undirected_pairs(torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match=r"both directions .* same value"):
        gather_pairs(pairs, torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("edge_index", "num_nodes", "error", "text"),
    [
        (torch.rand(2, 3), None, TypeError, r"integer node ids \(got torch.float32\)"),
        (
            torch.zeros(3, 2).long(),
            None,
            ValueError,
            r"shape \[2, E\] \(got \[3, 2\]\)",
        ),
        (torch.tensor([[0], [-2]]), None, ValueError, r"negative ids \(got -2\)"),
        (torch.tensor([[0], [9]]), 9, ValueError, r"below num_nodes=9 \(got 9\)"),
        ([[0], [1]], None, TypeError, r"must be a Tensor \(got list\)"),
    ],
)
def test_bad_edge_index(edge_index, num_nodes, error, text):
    with pytest.raises(error, match=text):
        check_edge_index(edge_index, num_nodes)


@pytest.mark.parametrize(
    ("weight", "error", "text"),
    [
        ([1.0, float("nan")], ValueError, r"finite \(got nan at 1\)"),
        ([float("inf"), 1.0], ValueError, r"finite \(got inf at 0\)"),
        ([1.0, -0.5], ValueError, r"not be negative \(got -0.5 at 1\)"),
        ([1.0], ValueError, r"shape \[2\] \(got \[1\]\)"),
        ([1, 2], TypeError, r"floating point \(got torch.int64\)"),
    ],
)
def test_bad_edge_weight(weight, error, text):
    with pytest.raises(error, match=text):
        check_edge_weight(torch.tensor(weight), 2)
