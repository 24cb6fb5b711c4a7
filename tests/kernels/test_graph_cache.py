"""``graph_of`` caches graphs while the tensor is alive and unchanged."""

import gc

import pytest
import torch
from torch_geometric import EdgeIndex

from gsparse.kernels import cache, clear_graphs, graph_of


@pytest.fixture(autouse=True)
def _empty_memory():
    clear_graphs()
    yield
    clear_graphs()


def ring(num_nodes):
    node = torch.arange(num_nodes)
    return torch.stack([node, (node + 1) % num_nodes])


def test_built_once_per_tensor_and_treatment():
    edge_index = ring(5)
    graph = graph_of(edge_index, 5)
    assert graph_of(edge_index, 5) is graph
    assert graph_of(edge_index, 5, "replace") is not graph
    assert graph_of(edge_index, 6).num_nodes == 6
    assert graph_of(edge_index.clone(), 5) is not graph


def test_write_in_place_builds_anew():
    edge_index = ring(5)
    before = graph_of(edge_index, 5)
    edge_index[1, 0] = 3
    after = graph_of(edge_index, 5)
    assert after is not before
    assert after.edge_index.tolist() != before.edge_index.tolist()
    assert len(cache._GRAPHS) == 1


def test_dead_tensor_frees_its_graph():
    edge_index = ring(5)
    graph_of(edge_index, 5)
    assert len(cache._GRAPHS) == 1
    del edge_index
    gc.collect()
    assert len(cache._GRAPHS) == 0


def test_memory_is_bounded():
    alive = [ring(n) for n in range(2, cache.MAX_GRAPHS + 8)]
    for edge_index in alive:
        graph_of(edge_index, edge_index.size(1))
    assert len(cache._GRAPHS) == cache.MAX_GRAPHS
    assert graph_of(alive[-1], alive[-1].size(1)).num_nodes == alive[-1].size(1)


def test_inference_tensors_are_known_by_content():
    with torch.inference_mode():
        first, same, other = ring(7), ring(7), ring(7).flip(0)
    assert graph_of(first, 7) is graph_of(same, 7)
    assert graph_of(other, 7) is not graph_of(first, 7)


def test_edge_index_subclass():
    edge_index = EdgeIndex(ring(4), sparse_size=(4, 4))
    graph = graph_of(edge_index, 4)
    assert graph_of(edge_index, 4) is graph
    assert type(graph.indices) is torch.Tensor
