"""Attributes that follow the edges, refusals, and the kept ``e_id``."""

import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import AddSelfLoops, ToUndirected, VirtualNode

from gsparse.data import cycle
from gsparse.edges import apply_edge_mask, is_edge_level

EVERY_OTHER = torch.tensor([True, False] * 4)


def shared_names(edge_index, e_id):
    return apply_edge_mask(
        Data(edge_index=edge_index, e_id=e_id, num_nodes=4),
        torch.ones(edge_index.size(1), dtype=torch.bool),
    ).e_id.tolist()


@pytest.mark.parametrize("key", ["edge_attr", "edge_weight", "edge_type"])
@pytest.mark.parametrize("length", [5, 14])
def test_wrong_length_is_refused(key, length):
    data = cycle(4)
    data[key] = torch.ones(length)
    text = rf"'{key}' must have one value per edge, 8 in all \(got {length}\); delete"
    with pytest.raises(ValueError, match=text):
        apply_edge_mask(data, EVERY_OTHER)


def test_wrong_length_of_a_list_and_a_number_are_refused():
    data = cycle(4)
    data.edge_type = ["a"] * 7
    with pytest.raises(ValueError, match=r"'edge_type' .* 8 in all \(got 7\)"):
        apply_edge_mask(data, EVERY_OTHER)
    data.edge_type = torch.tensor(3)
    with pytest.raises(ValueError, match=r"'edge_type' .* 8 in all \(got None\)"):
        apply_edge_mask(data, EVERY_OTHER)


@pytest.mark.parametrize("key", ["adj_t", "adj"])
def test_edges_stored_twice_are_refused(key):
    data = cycle(4)
    data[key] = torch.eye(4).to_sparse_csr()
    with pytest.raises(TypeError, match=rf"twice, as 'edge_index' and '{key}', and"):
        apply_edge_mask(data, EVERY_OTHER)


def test_what_is_no_data_is_refused():
    with pytest.raises(TypeError, match=r"Data or a Batch \(got HeteroData\)"):
        apply_edge_mask(HeteroData(), EVERY_OTHER)


@pytest.mark.parametrize("change", [AddSelfLoops(), ToUndirected(), VirtualNode()])
def test_e_id_that_does_not_fit_is_replaced(change):
    once = apply_edge_mask(cycle(4), torch.tensor([True] * 6 + [False] * 2))
    data = change(once)
    out = apply_edge_mask(data, torch.arange(data.num_edges) % 2 == 0)
    assert out.edge_index.equal(data.edge_index[:, out.e_id])


def test_e_id_that_fits_is_kept():
    """In any order, and with copies: a loader draws an edge twice."""
    edge_index = torch.tensor([[0, 0, 1, 2], [1, 1, 0, 2]])
    assert shared_names(edge_index, torch.tensor([7, 7, 3, 9])) == [7, 7, 3, 9]
    loops = torch.tensor([[1, 1], [1, 1]])
    assert shared_names(loops, torch.tensor([4, 4])) == [4, 4]


@pytest.mark.parametrize(
    "e_id", [[7, 3, 7, 9], [-1, 0, 1, 2], [0.0, 1.0, 2.0, 3.0], [True] * 4]
)
def test_e_id_that_cannot_be_positions_is_replaced(e_id):
    """Both directions of an edge share a number, or it is none of a position."""
    edge_index = torch.tensor([[0, 0, 1, 2], [1, 1, 0, 2]])
    assert shared_names(edge_index, torch.tensor(e_id)) == [0, 1, 2, 3]


def test_outdated_answers_of_pyg_are_not_used():
    data = cycle(4)
    data.flow = torch.arange(8)
    assert data.is_edge_attr("flow")  # which PyG remembers
    data.edge_index = data.edge_index[:, :6]
    assert not is_edge_level(data._store, "flow")


def test_a_batch_knows_the_level_from_its_graphs():
    """Seven nodes and seven edges in all, but not in each graph."""
    graphs = [
        Data(edge_index=torch.tensor([[0, 1, 2, 0], [1, 2, 0, 2]]), num_nodes=3),
        Data(edge_index=torch.tensor([[0, 1, 2], [1, 2, 3]]), num_nodes=4),
    ]
    for graph in graphs:
        graph.flow = torch.arange(graph.num_edges)
        graph.edge_free = torch.arange(graph.num_nodes)
    batch = Batch.from_data_list(graphs)
    assert is_edge_level(batch._store, "flow")
    assert not is_edge_level(batch._store, "edge_free")
    out = apply_edge_mask(batch, torch.arange(7) % 2 == 0)
    assert out.flow.tolist() == [0, 2, 0, 2]
    assert [part.edge_free.numel() for part in out.to_data_list()] == [3, 4]


def test_an_attribute_that_did_not_follow_new_edges_is_refused():
    graphs = [cycle(4), cycle(5)]
    for graph in graphs:
        graph.flow = torch.arange(graph.num_edges)
    batch = AddSelfLoops()(Batch.from_data_list(graphs))
    with pytest.raises(ValueError, match=r"'flow' must .* 27 in all \(got 18\)"):
        apply_edge_mask(batch, torch.ones(27, dtype=torch.bool))
