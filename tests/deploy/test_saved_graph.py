"""A saved cut is applied to its own graph and to no other."""

import copy

import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData

from gsparse.data import planted_partition, star
from gsparse.deploy import saved_graph
from gsparse.deploy.saved_graph import SavedGraph
from gsparse.train import SparseFeatures, sparse_features
from gsparse.transforms import EffectiveResistance, LocalDegree, RandomEdge

DATA = planted_partition(80, num_classes=2, seed=66103)
THIN = RandomEdge(sparsity=0.6, seed=5)(DATA)


def equal(a, b):
    return {*a.keys()} == {*b.keys()} and all(
        torch.equal(torch.as_tensor(value), torch.as_tensor(b[key])) for key, value in a
    )


def stored(data):
    """Return the record of a graph after the way through a header."""
    saved = SavedGraph.of(data)
    return SavedGraph.from_record(saved.as_record(), saved.kept, saved.edge_weight)


@pytest.mark.parametrize("transform", [RandomEdge(0.6, seed=5), LocalDegree(0.3)])
def test_the_cut_of_the_original_graph_is_the_saved_one(transform):
    thin = transform(DATA)
    saved = stored(thin)
    assert equal(saved.cut(DATA), thin)
    assert equal(saved.cut(thin), thin)  # it may be cut already


def test_a_cut_of_a_cut_keeps_its_first_positions():
    twice = LocalDegree(0.3)(THIN)
    saved = stored(twice)
    assert equal(saved.cut(DATA), twice)
    assert equal(saved.cut(THIN), twice)
    with pytest.raises(ValueError, match=r"all of the \d+ kept edges \(got a graph"):
        saved.cut(RandomEdge(0.9, seed=9)(DATA))


def test_new_weights_are_those_of_the_cut():
    thin = EffectiveResistance(sparsity=0.5, seed=7)(DATA)
    assert thin.edge_weight.unique().numel() > 1
    assert equal(stored(thin).cut(DATA), thin)


def test_a_graph_that_was_not_cut():
    saved = stored(DATA)
    assert saved.kept is None
    out = saved.cut(DATA)
    assert equal(out, DATA)
    assert out is not DATA
    data = DATA.clone()
    data.edge_weight = torch.ones(data.num_edges)
    with pytest.raises(ValueError, match=r"saved \(its 'edge_weight' differs\)"):
        saved.cut(data)


def change(**values):
    data = DATA.clone()
    for key, value in values.items():
        data[key] = value
    return data


FLIPPED = DATA.edge_index.clone()
FLIPPED[:, [0, 1]] = FLIPPED[:, [1, 0]]
OTHER = DATA.x.clone()
OTHER[-1, -1] += 1


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (change(edge_index=DATA.edge_index.flip(1)), r"\(its 'edge_index' differs\)"),
        (change(x=OTHER), r"\(its 'x' differs\)"),
        (change(x=None), r"\(its 'x' differs\)"),
        (change(x=DATA.x.double()), r"\(its 'x' differs\)"),
        (change(x=DATA.x.reshape(-1, 100)), r"\(its 'x' differs\)|nodes"),
        (change(edge_attr=torch.ones(DATA.num_edges, 2)), "its 'edge_attr' differs"),
        (change(num_nodes=81), r"with 80 nodes \(got 81\)"),
        (change(edge_index=DATA.edge_index[:, :9]), r"kept edges \(got a graph of 9 e"),
        (planted_partition(80, num_classes=2, seed=5), r"must be the original graph"),
    ],
    ids=lambda it: "" if isinstance(it, Data) else it[:24],
)
def test_another_graph_is_refused(other, text):
    before = copy.copy(other)
    with pytest.raises(ValueError, match=text):
        stored(THIN).cut(other)
    assert equal(before, other)


def test_removed_edges_do_not_matter():
    """Only what is left decides about predictions."""
    more = DATA.clone()
    more.edge_index = torch.cat([DATA.edge_index, torch.tensor([[0, 5], [5, 0]])], 1)
    assert equal(stored(THIN).cut(more), THIN)


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 24])
def test_marks_of_sparse_and_dense_features_agree(monkeypatch, block):
    whole = SavedGraph.of(DATA).marks
    monkeypatch.setattr(saved_graph, "_BLOCK", block)
    dense = SavedGraph.of(DATA).marks["x"]
    csr = change(x=DATA.x.to_sparse_csr())
    ours = change(x=sparse_features(DATA.x))
    assert isinstance(ours.x, SparseFeatures)
    assert dense == SavedGraph.of(csr).marks["x"] == SavedGraph.of(ours).marks["x"]
    assert dense == whole["x"]


def test_graphs_without_edges_or_features():
    empty = Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=3)
    assert stored(empty).cut(empty).num_edges == 0
    thin = RandomEdge(0.5, seed=3)(star(4))
    assert equal(stored(thin).cut(star(4)), thin)


def test_what_is_no_single_graph_or_out_of_order():
    hetero = HeteroData()
    for other in (Batch.from_data_list([DATA]), hetero, None):
        with pytest.raises(TypeError, match="must be one homogeneous graph, a Data"):
            SavedGraph.of(other)
        with pytest.raises(TypeError, match="must be one homogeneous graph, a Data"):
            stored(THIN).cut(other)
    shuffled = THIN.clone()
    order = torch.randperm(THIN.num_edges)
    shuffled.edge_index, shuffled.e_id = THIN.edge_index[:, order], THIN.e_id[order]
    with pytest.raises(ValueError, match="'e_id' must ascend, as a cut leaves it"):
        SavedGraph.of(shuffled)
    with pytest.raises(TypeError, match="'x' must be dense or CSR"):
        SavedGraph.of(change(x=DATA.x.to_sparse_coo()))
