"""Batches are sparsified by their stored tensors, and their slices are correct."""

import pickle

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import AddSelfLoops

from gsparse.data import complete, cycle, path
from gsparse.edges import SplitBatch, apply_edge_mask
from gsparse.transforms import RandomEdge


def three(**options):
    graphs = [cycle(4), path(3), complete(3)]
    for graph in graphs:
        graph.x = torch.randn(graph.num_nodes, 2)
        graph.names = [f"{u}-{v}" for u, v in graph.edge_index.t().tolist()]
        graph.count = graph.num_nodes
    return graphs, Batch.from_data_list(graphs, **options)


def some(batch):
    return torch.arange(batch.num_edges) % 3 != 1


def test_slices_are_those_of_the_single_cuts():
    graphs, batch = three()
    keep = some(batch)
    out = apply_edge_mask(batch, keep)
    assert out.e_id.equal(keep.nonzero().view(-1))
    masks = keep.split([graph.num_edges for graph in graphs])
    for i, (graph, mask) in enumerate(zip(graphs, masks, strict=True)):
        wanted, part = apply_edge_mask(graph, mask), out[i]
        assert part.edge_index.equal(wanted.edge_index)
        assert part.e_id.equal(wanted.e_id)
        assert part.names == wanted.names
        assert part.x.equal(graph.x)
        assert part.num_nodes == graph.num_nodes
        assert int(part.count) == graph.num_nodes
    again = pickle.loads(pickle.dumps(out))
    assert again[2].edge_index.equal(out[2].edge_index)
    assert batch[0].num_edges == graphs[0].num_edges  # the input is untouched


def test_vectors_of_follow_batch_follow():
    _, batch = three(follow_batch=["x", "edge_index"])
    out = apply_edge_mask(batch, some(batch))
    assert out.x_ptr.equal(batch.x_ptr)
    graph = batch.batch[out.edge_index[0]]
    assert out.edge_index_batch.equal(graph)
    assert out.edge_index_ptr.tolist() == [0, *graph.bincount().cumsum(0).tolist()]


def test_entries_lie_graph_after_graph_afterwards():
    _, batch = three()
    batch = AddSelfLoops()(batch)
    del batch.names
    out = apply_edge_mask(batch, torch.ones(batch.num_edges, dtype=torch.bool))
    graph = batch.batch[out.edge_index[0]]
    assert (graph[1:] >= graph[:-1]).all()
    assert out.edge_index.equal(batch.edge_index[:, out.e_id])
    for number in range(3):  # the old order within each graph
        assert (out.e_id[graph == number].diff() > 0).all()
        assert out[number].e_id.equal(out.e_id[graph == number])


def test_edge_index_type_is_kept():
    graphs = [cycle(4), cycle(5)]
    for graph in graphs:
        n = graph.num_nodes
        graph.edge_index = EdgeIndex(
            graph.edge_index, sparse_size=(n, n), is_undirected=True
        )
    batch = Batch.from_data_list(graphs)
    one_pair = (batch.edge_index.as_tensor().sum(0) != 1).view(-1)  # (0, 1), (1, 0)
    out = apply_edge_mask(batch, one_pair)
    assert isinstance(out[1].edge_index, EdgeIndex)
    assert out[1].edge_index.sparse_size() == (5, 5)
    assert out.edge_index.is_undirected
    one_pair[0] = ~one_pair[0]
    assert not apply_edge_mask(batch, one_pair).edge_index.is_undirected


def test_graphs_without_edges_or_nodes():
    none = torch.empty(2, 0, dtype=torch.long)
    graphs = [Data(x=torch.ones(n, 1), edge_index=none) for n in (0, 3, 0)]
    batch = Batch.from_data_list(graphs)
    out = apply_edge_mask(batch, torch.ones(0, dtype=torch.bool))
    assert [part.num_nodes for part in out.to_data_list()] == [0, 3, 0]


def test_a_batch_of_batches_has_the_inner_graphs():
    _, batch = three(exclude_keys=["names", "count"])
    both = Batch.from_data_list([batch, batch])
    out = apply_edge_mask(both, some(both))
    assert out.num_graphs == 6
    graph = both.batch[out.edge_index[0]]
    for number, part in enumerate(out.to_data_list()):
        assert part.num_edges == int((graph == number).sum())
        assert part.x.equal(both.x[both.batch == number])


def test_a_batch_of_batches_with_a_label_of_each_graph():
    graphs = [cycle(4), cycle(6), cycle(8)]
    for number, graph in enumerate(graphs):
        graph.y = torch.tensor([number])
    inner = Batch.from_data_list(graphs)
    both = Batch.from_data_list([inner, inner])
    assert len(SplitBatch(both).graphs) == 6
    out = RandomEdge(0.5)(both)
    assert out.y.equal(both.y)
    assert [part.num_edges for part in out.to_data_list()] == [4, 6, 8] * 2


def test_positions_of_as_many_edges_as_nodes_count_within_the_graphs():
    batch = Batch.from_data_list([cycle(4), cycle(6)])
    out = RandomEdge(0.5)(RandomEdge(0.0)(batch))
    assert out.num_edges == out.num_nodes
    for part, graph in zip(out.to_data_list(), batch.to_data_list(), strict=True):
        assert part.edge_index.equal(graph.edge_index[:, part.e_id])


class WithStacked(Data):
    """A graph whose ``field`` PyG stacks, as it stacks labels of whole graphs."""

    def __cat_dim__(self, key, value, *args):
        return None if key == "field" else super().__cat_dim__(key, value, *args)


def test_values_that_are_stacked_stay_with_their_graphs():
    graphs = [WithStacked(**cycle(n).to_dict()) for n in (4, 3)]
    for number, graph in enumerate(graphs):
        graph.field = torch.full((3,), number)
    out = RandomEdge(0.5)(Batch.from_data_list(graphs))
    for part, graph in zip(out.to_data_list(), graphs, strict=True):
        assert part.field.equal(graph.field)


def test_edge_values_of_relations_follow():
    """Also those of a name that PyG does not know, of each graph."""
    graphs = []
    for number in (3, 5):
        graph = HeteroData()
        graph["a"].num_nodes, graph["b"].num_nodes = number, 2
        graph["a", "to", "b"].edge_index = torch.stack(
            [torch.arange(number), torch.arange(number) % 2]
        )
        graph["a", "to", "b"].flow = torch.arange(number)
        graphs.append(graph)
    batch = Batch.from_data_list(graphs)
    out = RandomEdge(0.5)(batch)["a", "to", "b"]
    assert out.flow.equal(batch["a", "to", "b"].flow[out.e_id])


@pytest.mark.parametrize("missing", ["batch", "ptr"])
def test_one_of_batch_and_ptr_is_enough(missing):
    graphs, batch = three()
    del batch[missing]
    for part, graph in zip(SplitBatch(batch).graphs, graphs, strict=True):
        assert part.edge_index.equal(graph.edge_index)
        assert part.x.equal(graph.x)
        assert part.num_nodes == graph.num_nodes


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"batch": None, "ptr": None}, r"a Batch must have 'batch' or 'ptr' \(got \["),
        ({"ptr": torch.tensor([0, 3, 7, 10])}, r"\[0, 4, 7, 10\] \(got \[0, 3, 7, 10"),
        ({"ptr": torch.tensor([0, 4, 10])}, r"\[0, 4, 7, 10\] \(got \[0, 4, 10\]\)"),
        ({"batch": torch.zeros(4).long()}, r"each of 10 nodes \(got shape \[4\]\)"),
        ({"batch": torch.full((10,), -1)}, r"'batch' must hold the graph of each"),
        (
            {"edge_index": torch.tensor([[5], [2]])},
            r"\(got \(5, 2\) at 0, from graph 1",
        ),
        ({"edge_index": torch.tensor([[5], [10]])}, r"must hold ids below 10 \(got 10"),
    ],
)
def test_what_is_no_batch_is_refused(change, text):
    _, batch = three(exclude_keys=["names"])
    for key, value in change.items():
        batch[key] = value
    with pytest.raises(ValueError, match=text):
        apply_edge_mask(batch, torch.ones(batch.num_edges, dtype=torch.bool))


@pytest.mark.parametrize("sparse", [False, True])
def test_features_of_a_split_batch(sparse):
    graphs, batch = three()
    order = torch.randperm(10)
    batch.x, batch.batch = batch.x[order], batch.batch[order]
    batch.edge_index = order.argsort()[batch.edge_index]
    expected = [batch.x[batch.batch == number] for number in range(3)]
    if sparse:
        batch.x = batch.x.to_sparse_csr()
    for part, x, graph in zip(SplitBatch(batch).graphs, expected, graphs, strict=True):
        assert part.x.layout == batch.x.layout
        assert part.x.to_dense().equal(x)
        assert part.num_edges == graph.num_edges


def test_split_and_join_are_inverse():
    _, batch = three(exclude_keys=["names"])
    batch = AddSelfLoops()(batch)
    split = SplitBatch(batch)
    values = torch.arange(batch.num_edges).double()
    assert split.join(split.split(values)).equal(values)
