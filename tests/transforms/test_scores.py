"""Scores of the one-shot sparsifiers against their definitions."""

import pytest
import torch

from gsparse.data import random_graph, star
from gsparse.edges import keep_top
from gsparse.train import sparse_features
from gsparse.transforms import FeatureCosine, PredictionAgreement, Teddy


def neighbours(data):
    found = {u: set() for u in range(data.num_nodes)}
    for u, v in data.edge_index.t().tolist():
        found[u].add(v)
    return found


@pytest.mark.parametrize("seed", [20117, 60443])
def test_teddy_by_hand(seed):
    data = random_graph(num_nodes=25, p=0.3, seed=seed)
    near = neighbours(data)

    def own(u):
        return sum(len(near[w]) ** -0.5 for w in near[u]) / len(near[u]) ** 2

    expected = [own(u) * own(v) for u, v in data.edge_index.t().tolist()]
    found = Teddy(0.5).importance(data)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_teddy_takes_from_hubs():
    """A star with a path at a leaf: the edges of the centre go first."""
    data = star(num_leaves=6)
    path = torch.tensor([[6, 7, 7, 8], [7, 6, 8, 7]])
    data.edge_index = torch.cat([data.edge_index, path], dim=1)
    data.num_nodes = 9
    kept = set(map(tuple, Teddy(sparsity=0.75)(data).edge_index.t().tolist()))
    assert kept == {(6, 7), (7, 6), (7, 8), (8, 7)}


@pytest.mark.parametrize("storage", ["dense", "csr", "sparse features"])
def test_cosine_by_hand(storage):
    data = random_graph(num_nodes=25, p=0.3, seed=60443)
    torch.manual_seed(3)
    x = torch.randn(25, 40) * (torch.rand(25, 40) < 0.15)
    x[4] = 0.0
    row, col = data.edge_index
    expected = torch.cosine_similarity(x[row].double(), x[col].double())
    storages = {"dense": x, "csr": x.to_sparse_csr()}
    data.x = storages.get(storage, sparse_features(x))
    torch.testing.assert_close(FeatureCosine(0.5).importance(data), expected)


def test_agreement_by_hand():
    data = random_graph(num_nodes=25, p=0.3, seed=60443)
    torch.manual_seed(3)
    data.pred = torch.randn(25, 3).softmax(1)
    degree = [len(near) for near in neighbours(data).values()]
    expected = [
        float(data.pred[u] @ data.pred[v]) * (1 / degree[u] + 1 / degree[v])
        for u, v in data.edge_index.t().tolist()
    ]
    found = PredictionAgreement(0.5).importance(data)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype))


def test_agreement_wants_probabilities():
    data = random_graph(num_nodes=25, p=0.3, seed=60443)
    with pytest.raises(ValueError, match=r"predictions 'pred' of shape .*got None"):
        PredictionAgreement(0.5)(data)
    data.soft = torch.randn(25, 3)
    with pytest.raises(ValueError, match="rows of 'soft' must be probabilities"):
        PredictionAgreement(0.5, prob="soft")(data)


def test_cosine_wants_features():
    data = random_graph(num_nodes=25, p=0.3, seed=60443)
    del data.x
    with pytest.raises(ValueError, match="needs features 'x'"):
        FeatureCosine(0.5)(data)


def test_equal_scores_do_not_favour_low_node_numbers():
    """In the citation graphs low numbers are the training nodes."""
    data = random_graph(num_nodes=200, p=0.1, seed=60443)
    data.x = torch.ones(200, 2)  # all alike
    kept = FeatureCosine(sparsity=0.8)(data).edge_index
    mean = data.edge_index.double().mean()
    assert kept.double().mean() == pytest.approx(float(mean), rel=0.05)


def test_ties_by_a_second_score():
    score, tie = torch.tensor([1.0, 1, 1, 1, 2]), torch.tensor([0.1, 0.7, 0.3, 0.9, 0])
    assert keep_top(score, 0.4, tie).tolist() == [False, True, False, True, True]
    assert keep_top(score, 0.4).tolist() == [True, True, False, False, True]
