"""KNeighbor against its definition."""

import pytest
import torch
from torch_geometric.utils import degree as degrees

from gsparse.data import random_graph, star
from gsparse.edges import pair_uniform, undirected_pairs
from gsparse.transforms import KNeighbor

DATA = random_graph(num_nodes=40, p=0.2, seed=61001)


def importances(data, seed):
    """One over the place of each pair, from the definition."""
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    ends = torch.stack([pairs.row, pairs.col]).tolist()
    key = [pair_uniform(pairs, seed, stream).tolist() for stream in (0, 1)]
    own = {u: [] for u in range(data.num_nodes)}
    for end in (0, 1):
        for i, u in enumerate(ends[end]):
            own[u].append((key[end][i], i))
    place = [pairs.num_pairs] * pairs.num_pairs
    for edges in own.values():
        for position, (_, i) in enumerate(sorted(edges), 1):
            place[i] = min(place[i], position)
    return [1 / it for it in place], pairs.pair


def test_importance_is_one_over_the_place_at_an_end():
    found = KNeighbor(0.5, seed=3).importance(DATA)
    expected, pair = importances(DATA, seed=3)
    assert found.tolist() == [expected[i] for i in pair.tolist()]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_every_node_keeps_k_edges(k):
    cut = KNeighbor(k=k, seed=3)(DATA)
    left = degrees(cut.edge_index[0], DATA.num_nodes)
    had = degrees(DATA.edge_index[0], DATA.num_nodes)
    assert bool((left >= had.clamp(max=k)).all())
    assert cut.num_edges <= 2 * k * DATA.num_nodes
    fewer = KNeighbor(k=k + 1, seed=3)(DATA)
    assert {*cut.e_id.tolist()} <= {*fewer.e_id.tolist()}


def test_leaves_keep_their_edges():
    assert KNeighbor(k=1, seed=3)(star(6)).num_edges == 12


def test_heavy_edges_are_chosen_in_proportion_to_their_weights():
    """A node with weights 1 and 3 keeps the second three times as often."""
    edge_index = torch.tensor([[0, 1, 0, 2, 1, 3, 2, 3], [1, 0, 2, 0, 3, 1, 3, 2]])
    weight = torch.tensor([1.0, 1.0, 3.0, 3.0, 1e6, 1e6, 1e6, 1e6])
    data = DATA.__class__(edge_index=edge_index, edge_weight=weight, num_nodes=4)
    first = 0
    for seed in range(2000):  # nodes 1 and 2 keep their heavy edges
        kept = {*KNeighbor(k=1, seed=seed)(data).e_id.tolist()}
        assert {4, 6} <= kept
        assert len(kept & {0, 2}) == 1
        first += 2 in kept
    assert first / 2000 == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, r"give exactly one of 'sparsity' and 'k' \(got sparsity=None, k=None\)"),
        ({"sparsity": 0.5, "k": 2}, "give exactly one"),
        ({"k": 0}, r"'k' must be a positive integer \(got 0\)"),
        ({"k": 2.5}, r"'k' must be a positive integer \(got 2.5\)"),
        ({"sparsity": 1.0}, "sparsity"),
    ],
)
def test_bad_numbers_are_refused(given, text):
    with pytest.raises(ValueError, match=text):
        KNeighbor(**given)
