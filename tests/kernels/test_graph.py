"""Graph: both structures against their definitions, self-loops against PyG."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.utils import (
    add_remaining_self_loops,
    add_self_loops,
    remove_self_loops,
)

from gsparse.kernels import Graph
from gsparse.kernels.graph_sort import sort_cpu, sort_torch


@st.composite
def edge_lists(draw):
    num_nodes = draw(st.integers(1, 12))
    node = st.integers(0, num_nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=40))
    return torch.tensor(pairs, dtype=torch.long).view(-1, 2).t(), num_nodes


def triples(edge_index, *values):
    """Columns as a sorted list, so that order does not matter."""
    return sorted(zip(*edge_index.tolist(), *values, strict=True))


def assert_is_graph_of(graph, edge_index):
    """Rows by target, each in ascending order of source; the transpose likewise."""
    source, target = graph.edge_index
    assert triples(torch.stack([source, target])) == triples(edge_index)
    assert (target.diff() >= 0).all()
    inside_row = target.diff() == 0
    assert (source.diff()[inside_row] >= 0).all()
    slot = graph.t_perm.long()
    assert slot.sort().values.tolist() == list(range(graph.num_edges))
    assert graph.t_indices.long().equal(target[slot])
    out_deg = graph.t_indptr.diff().long()
    node = torch.arange(graph.num_nodes).repeat_interleave(out_deg)
    assert node.equal(source[slot])
    assert (slot.diff()[node.diff() == 0] > 0).all()


@settings(deadline=None, max_examples=60)
@given(edge_lists())
def test_rows_hold_the_edges(case):
    edge_index, num_nodes = case
    graph = Graph.from_edge_index(edge_index, num_nodes)
    assert_is_graph_of(graph, edge_index)
    assert edge_index[:, graph.edge_id.long()].equal(graph.edge_index)
    assert graph.original_edge_index().equal(edge_index)


@settings(deadline=None, max_examples=60)
@given(edge_lists())
def test_replace_is_what_gat_does(case):
    edge_index, num_nodes = case
    graph = Graph.from_edge_index(edge_index, num_nodes, "replace")
    expected, _ = add_self_loops(remove_self_loops(edge_index)[0], num_nodes=num_nodes)
    assert_is_graph_of(graph, expected)
    source, target = graph.edge_index
    assert (graph.edge_id[source == target] == -1).all()
    kept = graph.edge_id[source != target].long()
    assert edge_index[:, kept].equal(graph.edge_index[:, source != target])


@settings(deadline=None, max_examples=60)
@given(edge_lists())
def test_remaining_is_what_gcn_does(case):
    edge_index, num_nodes = case
    weight = torch.arange(edge_index.size(1)) + 2.0
    graph = Graph.from_edge_index(edge_index, num_nodes, "remaining")
    expected, new = add_remaining_self_loops(edge_index, weight, 1.0, num_nodes)
    padded = torch.cat([weight, torch.ones(1)])
    ours = padded[graph.edge_id.long()]
    assert triples(graph.edge_index, ours.tolist()) == triples(expected, new.tolist())


@settings(deadline=None, max_examples=40)
@given(edge_lists(), st.sampled_from(["replace", "remaining"]))
def test_loops_later_equal_loops_at_once(case, self_loops):
    edge_index, num_nodes = case
    plain = Graph.from_edge_index(edge_index, num_nodes)
    later = plain.with_self_loops(self_loops)
    once = Graph.from_edge_index(edge_index, num_nodes, self_loops)
    for name in ("indptr", "indices", "t_indices", "t_perm"):
        assert getattr(later, name).equal(getattr(once, name))
    assert later.num_entries == edge_index.size(1)
    source, target = once.edge_index
    plain_edge = source != target
    assert later.edge_id[plain_edge].equal(once.edge_id[plain_edge])
    assert plain.with_self_loops(self_loops) is later
    assert plain.with_self_loops("keep") is plain


@settings(deadline=None, max_examples=40)
@given(edge_lists())
def test_both_sorts_agree(case):
    edge_index, num_nodes = case
    entry = torch.arange(edge_index.size(1))
    arguments = (*edge_index, entry, num_nodes, torch.int32)
    for ours, theirs in zip(sort_cpu(*arguments), sort_torch(*arguments), strict=True):
        assert ours.equal(theirs)


def test_order_of_simple_edges_does_not_matter():
    edge_index = torch.tensor([[0, 3, 2, 1, 3], [1, 1, 1, 0, 2]])
    graph = Graph.from_edge_index(edge_index, 5)
    other = Graph.from_edge_index(edge_index[:, [4, 2, 0, 1, 3]], 5)
    assert graph.indices.equal(other.indices)
    assert graph.t_perm.equal(other.t_perm)


def test_blocks_cover_all_rows_evenly():
    edge_index = torch.stack([torch.arange(5000), torch.arange(5000) // 2])
    graph = Graph.from_edge_index(edge_index, 5000)
    assert graph.blocks[0] == 0
    assert graph.blocks[-1] == 5000
    assert (graph.blocks.diff() >= 0).all()
    work = (graph.indptr.long() + torch.arange(5001))[graph.blocks].diff()
    assert work.max() <= 2 * work.float().mean()


def test_copies_and_pickles_hold_tensors_only():
    graph = Graph.from_edge_index(torch.tensor([[0, 1], [1, 1]]), 2)
    graph.with_self_loops("replace")
    for twin in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert twin.indices.equal(graph.indices)
        assert twin._other == {}
    assert graph.to("cpu").indices.equal(graph.indices)
    assert repr(graph) == "Graph(num_nodes=2, num_edges=2, self_loops='keep')"


def test_built_under_inference_it_can_be_trained_with():
    with torch.inference_mode():
        graph = Graph.from_edge_index(torch.tensor([[0, 1, 0], [1, 1, 2]]), 3)
        other = graph.with_self_loops("replace")
    for made in (graph, other):
        tensors = [t for t in vars(made).values() if isinstance(t, torch.Tensor)]
        assert len(tensors) == 8
        assert not any(t.is_inference() for t in tensors)


@pytest.mark.parametrize(
    ("edge_index", "num_nodes", "self_loops", "error", "text"),
    [
        ([[0, 3], [1, 1]], 3, "keep", ValueError, r"ids in \[0, 3\).*from 0 to 3"),
        ([[0, -1], [1, 1]], 3, "keep", ValueError, "from -1 to 1"),
        ([0, 1], 3, "keep", ValueError, r"shape \[2, E\] \(got \[2\]\)"),
        ([[0.0], [1.0]], 3, "keep", TypeError, "integers .got torch.float32"),
        ([[0], [1]], 3, "add", ValueError, "must be one of .*got 'add'"),
    ],
)
def test_refusals(edge_index, num_nodes, self_loops, error, text):
    with pytest.raises(error, match=text):
        Graph.from_edge_index(torch.tensor(edge_index), num_nodes, self_loops)


def test_dropped_self_loops_have_no_original():
    graph = Graph.from_edge_index(torch.tensor([[0], [1]]), 2, "replace")
    with pytest.raises(ValueError, match=r"self_loops='keep' \(got self_loops="):
        graph.original_edge_index()
