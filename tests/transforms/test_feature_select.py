"""FeatureSelect: scores against their definitions, for every storage format."""

import pickle
from itertools import pairwise

import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import GCNConv
from torch_geometric.transforms import Compose

from gsparse.data import barbell, path, random_graph
from gsparse.train import sparse_features
from gsparse.transforms import RandomEdge
from gsparse.transforms.columns import column_blocks, cut_features
from gsparse.transforms.feature_select import (
    FeatureSelect,
    feature_select,
    frequency,
    keep_features,
    propagated_energy,
    variance,
)

SCORES = ("variance", "frequency", "propagated")


def features(num_nodes, num_features, seed=40129, density=0.2):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_nodes, num_features, generator=generator)
    there = torch.rand(num_nodes, num_features, generator=generator)
    return x * (there < density * torch.linspace(0.3, 1.7, num_features))


def graph(num_features=150, weighted=False):
    data = random_graph(num_nodes=50, p=0.1, seed=71011, weighted=weighted)
    data.x = features(50, num_features)
    return data


STORAGES = {
    "dense": lambda x: x,
    "csr": lambda x: x.to_sparse_csr(),
    "SparseFeatures": lambda x: sparse_features(x, threshold=1.1),
}


def dense(x):
    return x.to_dense() if hasattr(x, "to_csr") or x.layout != torch.strided else x


def test_variance_and_frequency_in_plain_python():
    x = features(20, 7)
    for j in range(7):
        column = x[:, j].tolist()
        mean = sum(column) / 20
        wanted = sum((value - mean) ** 2 for value in column) / 20
        assert variance(x)[j].item() == pytest.approx(wanted)
        assert frequency(x)[j].item() == sum(value != 0 for value in column)


@pytest.mark.parametrize("weighted", [False, True])
def test_propagated_energy_is_that_of_a_gcn(weighted):
    """A GCN layer whose linear map is the identity computes the propagation."""
    data = graph(num_features=12, weighted=weighted)
    conv = GCNConv(12, 12, bias=False).double()
    with torch.no_grad():
        conv.lin.weight.copy_(torch.eye(12))
        out = conv(data.x.double(), data.edge_index, data.get("edge_weight"))
    found = propagated_energy(data.x, data.edge_index, data.get("edge_weight"))
    torch.testing.assert_close(found, out.square().sum(0))


def test_what_propagation_cancels_has_no_energy():
    """Opposite signs on two joined nodes cancel; equal ones stay as they are."""
    x = torch.tensor([[1.0, 1.0], [-1.0, 1.0]])
    found = propagated_energy(x, path(2).edge_index)
    torch.testing.assert_close(found, torch.tensor([0.0, 2.0], dtype=torch.float64))
    assert variance(x).tolist() == [1.0, 0.0]  # which says the opposite


def test_direction_counts_as_messages_flow():
    x = torch.tensor([[3.0], [0.0]])
    there = propagated_energy(x, torch.tensor([[0], [1]]))
    back = propagated_energy(x, torch.tensor([[1], [0]]))
    assert there.item() > 9 > back.item()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("score", SCORES)
def test_every_storage_has_the_same_scores_and_columns(storage, score):
    data, other = graph(), graph()
    other.x = STORAGES[storage](other.x)
    select = FeatureSelect(0.6, score)
    torch.testing.assert_close(select.importance(other), select.importance(data))
    out = select(other)
    assert type(out.x) is type(other.x)
    assert out.x.layout == other.x.layout
    assert dense(out.x).equal(data.x[:, out.kept_features])
    assert out.x.shape == (50, 60)


def test_blocks_are_the_columns():
    for storage in STORAGES.values():
        blocks = list(column_blocks(storage(features(9, 130))))
        assert [block.size(1) for block in blocks] == [64, 64, 2]
        assert torch.cat(blocks, 1).equal(features(9, 130).double())


@pytest.mark.parametrize("score", SCORES)
def test_the_best_stay_at_the_exact_budget_and_are_nested(score):
    data, kept = graph(), []
    for tenths in range(10):
        select = FeatureSelect(tenths / 10, score)
        out = select(data)
        values = select.importance(data)
        stays = torch.zeros(150, dtype=torch.bool)
        stays[out.kept_features] = True
        assert int(stays.sum()) == 150 - round(tenths / 10 * 150)
        if tenths:
            assert values[stays].min() >= values[~stays].max()
        assert select.cut(data, values).x.equal(out.x)
        kept.append(set(out.kept_features.tolist()))
    assert all(smaller <= larger for larger, smaller in pairwise(kept))


@pytest.mark.parametrize("score", SCORES)
def test_order_of_edges_and_threads_changes_no_bit(score):
    data, shuffled = graph(weighted=True), graph(weighted=True)
    order = torch.randperm(data.num_edges)
    shuffled.edge_index = data.edge_index[:, order]
    shuffled.edge_weight = data.edge_weight[order]
    select, before = FeatureSelect(0.5, score), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        wanted = select.importance(data)
        torch.set_num_threads(2)
        assert select.importance(shuffled).equal(wanted)
    finally:
        torch.set_num_threads(before)


def test_parallel_edges_add():
    data = graph()
    twice = torch.cat([data.edge_index, data.edge_index], dim=1)
    torch.testing.assert_close(
        propagated_energy(data.x, twice),
        propagated_energy(data.x, data.edge_index, torch.full((data.num_edges,), 2.0)),
    )


def test_nothing_else_changes():
    data = graph(weighted=True)
    before = data.clone()
    out = FeatureSelect(0.5)(data)
    assert set(data.keys()) == set(before.keys())
    for key, value in before:
        assert torch.as_tensor(data[key]).equal(torch.as_tensor(value)), key
    assert out.edge_index.equal(data.edge_index)
    assert out.edge_weight.equal(data.edge_weight)
    assert out.y.equal(data.y)
    assert out.num_nodes == 50


def test_a_second_cut_names_the_first_columns():
    data = graph()
    once = FeatureSelect(0.5)(data)
    twice = FeatureSelect(0.8, "frequency")(once)
    assert twice.x.equal(data.x[:, twice.kept_features])
    assert set(twice.kept_features.tolist()) < set(once.kept_features.tolist())


def test_with_a_sparsifier_of_edges_in_any_order():
    """Features are none of the edges' values, even where there are as many."""
    data = barbell(4)
    data.x = features(8, 2 * data.num_edges)
    one = Compose([FeatureSelect(0.5), RandomEdge(0.5, seed=55631)])(data)
    two = Compose([RandomEdge(0.5, seed=55631), FeatureSelect(0.5)])(data)
    assert one.kept_features.numel() == data.num_edges
    assert one.kept_features.equal(two.kept_features)
    assert one.x.equal(two.x)
    assert one.edge_index.equal(two.edge_index)


def test_a_batch_keeps_the_same_features_everywhere():
    graphs = [graph(), graph()]
    graphs[1].x = features(50, 150, seed=80177)
    out = FeatureSelect(0.5)(Batch.from_data_list(graphs))
    wanted = FeatureSelect(0.5)(Data(x=torch.cat([it.x for it in graphs])))
    assert out.x.equal(wanted.x)
    for part, whole in zip(out.to_data_list(), graphs, strict=True):
        assert part.kept_features.equal(wanted.kept_features)
        assert part.x.equal(whole.x[:, wanted.kept_features])
        assert part.edge_index.equal(whole.edge_index)


def test_each_type_of_nodes_has_its_budget():
    data = HeteroData()
    data["a"].x, data["b"].x = features(9, 10), features(5, 40)
    data["c"].num_nodes = 3
    out = FeatureSelect(0.5)(data)
    assert (out["a"].x.size(1), out["b"].x.size(1)) == (5, 20)
    assert out["a"].x.equal(data["a"].x[:, out["a"].kept_features])
    assert data["a"].x.size(1) == 10
    with pytest.raises(ValueError, match=r"a single node type \(got HeteroData\); use"):
        FeatureSelect(0.5, "propagated")(data)


def test_scores_of_one_graph_cut_another():
    train, test = graph(), graph()
    test.x = features(50, 150, seed=80177)
    select = FeatureSelect(0.5)
    out = select.cut(test, select.importance(train))
    assert out.kept_features.equal(select(train).kept_features)
    assert not out.kept_features.equal(select(test).kept_features)


def test_repr_pickle_and_function():
    data, select = graph(), FeatureSelect(0.4, "propagated")
    for twin in (eval(repr(select)), pickle.loads(pickle.dumps(select))):
        assert twin(data).x.equal(select(data).x)
    x, kept = feature_select(data.x, data.edge_index, sparsity=0.4, by="propagated")
    assert x.equal(select(data).x)
    assert kept.equal(select(data).kept_features)
    assert feature_select(data.x, sparsity=0.4)[0].shape == (50, 90)


def test_bad_input_is_refused():
    data = graph()
    with pytest.raises(ValueError, match=r"'sparsity' must be in \[0, 1\) \(got 1\.0"):
        FeatureSelect(1.0)
    with pytest.raises(ValueError, match=r"one of variance, frequency, propagated \(g"):
        FeatureSelect(0.5, "entropy")
    with pytest.raises(
        ValueError, match=r"leave at least one of 2 features \(got 0\.9"
    ):
        FeatureSelect(0.9)(Data(x=torch.eye(2)))
    with pytest.raises(ValueError, match=r"must have features 'x' \(got \['edge_ind"):
        FeatureSelect(0.5)(Data(edge_index=data.edge_index))
    with pytest.raises(ValueError, match=r"\[N, F\] \(got torch.int64, \[3, 2\]\)"):
        FeatureSelect(0.5)(Data(x=torch.ones(3, 2, dtype=torch.long)))
    with pytest.raises(ValueError, match=r"dense or torch.sparse_csr \(got torch.spar"):
        FeatureSelect(0.5)(Data(x=torch.eye(3).to_sparse_coo()))
    with pytest.raises(ValueError, match=r"bool tensor of shape \[150\] \(got .*\[3\]"):
        cut_features(data, torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"finite \(got nan for feature 1\); check"):
        keep_features(torch.tensor([1.0, float("nan")]), 0.5)
    with pytest.raises(ValueError, match=r"must have an 'edge_index'"):
        FeatureSelect(0.5, "propagated")(Data(x=torch.eye(3)))
