"""DSpar and RandomEdge against their definitions."""

import pytest
import torch

from gsparse.data import random_graph, star
from gsparse.edges import undirected_pairs
from gsparse.transforms import (
    DSpar,
    EffectiveResistance,
    RandomEdge,
    d_spar,
    random_edge,
)


@pytest.mark.parametrize("seed", [20117, 60443])
def test_score_matches_definition(seed):
    data = random_graph(num_nodes=25, p=0.2, seed=seed, weighted=True)
    edges = list(zip(*data.edge_index.tolist(), strict=True))
    weight = dict(zip(edges, data.edge_weight.tolist(), strict=True))
    degree = [sum(w for (u, _), w in weight.items() if u == v) for v in range(25)]
    expected = [weight[u, v] * (1 / degree[u] + 1 / degree[v]) for u, v in edges]
    score = DSpar(sparsity=0.5).importance(data)
    torch.testing.assert_close(score, torch.tensor(expected, dtype=torch.float64))


def test_half_the_score_is_below_the_resistance():
    """Lovász: R is at least half of 1/d_u + 1/d_v."""
    data = random_graph(num_nodes=40, p=0.2, seed=48817)
    half = DSpar(sparsity=0.5).importance(data) / 2
    R = EffectiveResistance(sparsity=0.5, method="exact", seed=1).importance(data)
    assert (half <= R + 1e-9).all()


def test_leaves_of_a_star_are_equal():
    score = DSpar(sparsity=0.5).importance(star(num_leaves=4))
    assert score.tolist() == [1.25] * 8


def test_random_edge_is_uniform():
    data = random_graph(num_nodes=12, p=0.5, seed=60443)
    pairs = undirected_pairs(data.edge_index, 12)
    count = torch.zeros(pairs.num_pairs)
    for seed in range(2000):
        kept = pairs.pair[RandomEdge(sparsity=0.7, seed=seed)(data).e_id].unique()
        count[kept] += 1
    p = 1 - round(0.7 * pairs.num_pairs) / pairs.num_pairs
    error = (p * (1 - p) / 2000) ** 0.5
    assert (count / 2000 - p).abs().max() < 4 * error


def test_random_edge_leaves_weights_alone():
    data = random_graph(num_nodes=12, p=0.5, seed=60443, weighted=True)
    out = RandomEdge(sparsity=0.5, seed=8)(data)
    assert out.edge_weight.equal(data.edge_weight[out.e_id])


@pytest.mark.parametrize(("twin", "cls"), [(d_spar, DSpar), (random_edge, RandomEdge)])
def test_function_twins(twin, cls):
    data = random_graph(num_nodes=12, p=0.5, seed=60443)
    edge_index, weight, e_id = twin(data.edge_index, sparsity=0.5, seed=17)
    out = cls(sparsity=0.5, seed=17)(data)
    assert edge_index.equal(out.edge_index)
    assert e_id.equal(out.e_id)
    assert weight is None if "edge_weight" not in out else weight.equal(out.edge_weight)
