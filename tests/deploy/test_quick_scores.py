"""Short fits: what the edges are worth, and what a cut costs."""

import pytest
import torch
from torch_geometric.data import Data

from gsparse.data import planted_partition, split
from gsparse.deploy.quick_scores import (
    Gap,
    QuickScore,
    choose_cut,
    is_level,
    quick_scores,
)

OPTIONS = {"spectral": True, "undirected": True, "metric": "accuracy", "seed": 61463}


def scored(gain, std_error, seed, name="DSpar"):
    """A score whose terms have a given mean, and a random noise of given error."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(100, generator=generator, dtype=torch.float64)
    noise = (noise - noise.mean()) / noise.std() * std_error * 10
    return QuickScore(name, 0.8, 0.5 + gain, gain, std_error, (noise + gain,))


def community_graph(informative):
    """Communities are the labels; features say the label of a node, or nothing."""
    made = planted_partition(240, 4, degree=20, homophily=0.9, seed=50221)
    generator = torch.Generator().manual_seed(50221)
    x = torch.randn(240, 8, generator=generator)
    if informative:
        x[torch.arange(240), made.y] += 8
    data = Data(x=x, y=made.y, edge_index=made.edge_index, num_nodes=240)
    return split(data, "60-20-20", seed=3)


def test_the_mlp_is_level_only_if_the_features_say_all():
    for informative in (True, False):
        found = quick_scores(community_graph(informative), **OPTIONS)
        assert is_level(found.mlp.minus(found.dense)) == informative
        assert found.num_nodes == 48
        names = [it.name for it in found.cuts]
        assert names == ["RandomEdge", "DSpar", "EffectiveResistance"]
        assert found.best_cut.name == found.chosen
        lost = not is_level(found.best_cut.minus(found.dense))
        assert (found.milder is not None) == lost
        for it in found.all():
            assert it.gain == pytest.approx(it.score - found.dense.score)


def test_test_labels_change_nothing():
    data = community_graph(False)
    before = quick_scores(data, **OPTIONS)
    data.y = torch.where(data.test_mask, 3 - data.y, data.y)
    assert quick_scores(data, **OPTIONS) == before


def test_a_directed_graph_gets_random_edges_only():
    data = community_graph(False)
    data.edge_index = data.edge_index[:, data.edge_index[0] < data.edge_index[1]]
    directed = OPTIONS | {"spectral": False, "undirected": False}
    found = quick_scores(data, **directed)
    assert [it.name for it in found.cuts] == ["RandomEdge"]
    assert found.chosen == "RandomEdge"


def test_the_default_is_left_only_beyond_two_errors():
    usual, other = scored(0.0, 0.0, 1, "DSpar"), scored(0.05, 0.03, 2, "RandomEdge")
    assert choose_cut((other, usual), "DSpar").name == "DSpar"
    better = scored(0.05, 0.02, 2, "RandomEdge")
    assert choose_cut((better, usual), "DSpar").name == "RandomEdge"
    worse = scored(-0.05, 0.02, 2, "RandomEdge")
    assert choose_cut((worse, usual), "DSpar").name == "DSpar"


def test_level_is_one_error_or_half_a_point():
    assert is_level(Gap(-0.004, 0.0))
    assert not is_level(Gap(-0.006, 0.0))
    assert is_level(Gap(-0.03, 0.03))
    assert not is_level(Gap(-0.031, 0.03))
    assert is_level(Gap(0.2, 0.0))
