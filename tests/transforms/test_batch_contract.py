"""Random batches, changed after collation, through every transform.

Each graph of a batch must be cut as if it were alone, which is checked on a graph that
is built here entry by entry from the stored tensors.
"""

import inspect

import pytest
import torch
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.transforms import AddSelfLoops, ToUndirected

from gsparse import transforms
from gsparse.transforms.by_name import make_sparsifier, sparsifiers

ROUNDS, HETERO_ROUNDS = 40, 10  # times ten instances: 500 random batches
LISTED = [
    transforms.RandomEdge(sparsity=0.4, seed=30011),
    transforms.FeatureCosine(sparsity=0.35),
    transforms.PredictionAgreement(sparsity=0.5),
    transforms.Teddy(sparsity=0.45),
    transforms.DSpar(sparsity=0.3, seed=30011),
    transforms.DSpar(epsilon=0.9, seed=30011),
    transforms.EffectiveResistance(sparsity=0.6, seed=30011),
    transforms.EffectiveResistance(sparsity=0.0, reweight=False, seed=30011),
    transforms.EffectiveResistance(epsilon=0.8, connected=True, seed=30011),
]
OTHERS = [
    make_sparsifier(name, sparsity=0.4, seed=30011)
    for name, kind in sparsifiers().items()
    if kind not in map(type, LISTED)
]
EDGE_CUTS = [*LISTED, *OTHERS]
INSTANCES = [*EDGE_CUTS, transforms.FeatureSelect(sparsity=0.5)]
NODE_LEVEL = ("x", "pred", "h", "y")


def test_every_transform_is_tried():
    names = {n for n in transforms.__all__ if inspect.isclass(getattr(transforms, n))}
    assert {type(instance).__name__ for instance in INSTANCES} == names


def random_edges(num_nodes, generator, num_cols=None):
    """Some pairs, each in one direction and once, without self-loops."""
    there = torch.rand(num_nodes, num_cols or num_nodes, generator=generator) < 0.4
    return (there if num_cols else there.triu(1)).nonzero().t()


def random_graph(generator):
    n = int(torch.randint(1, 9, (), generator=generator))
    data = Data(x=torch.randn(n, 4, generator=generator))
    data.pred, data.y = data.x.softmax(1), torch.arange(n)
    data.edge_index = random_edges(n, generator)
    data.edge_flow = torch.arange(data.num_edges)
    return data


def random_batch(number):
    """A batch of up to four graphs that has been changed after collation."""
    generator = torch.Generator().manual_seed(71000 + number)
    count = 1 + number % 4
    batch = Batch.from_data_list([random_graph(generator) for _ in range(count)])
    ptr = batch.ptr
    batch = ToUndirected(reduce="min")(batch)
    batch.ptr = ptr  # which it takes for edge-level where the lengths agree
    if number % 3 == 1:
        batch = AddSelfLoops(attr="edge_flow")(batch)
    if number % 5 == 2:
        order = torch.randperm(batch.num_edges, generator=generator)
        batch.edge_index, batch.edge_flow = (
            batch.edge_index[:, order],
            batch.edge_flow[order],
        )
    row, col = batch.edge_index
    if number % 2:
        batch.edge_weight = 1 + ((row + 1) * (col + 1) % 7).float()
    batch.edge_attr = torch.stack([row, col], 1)
    batch.h = torch.randn(batch.num_nodes, 3, generator=generator)
    batch.rate = 0.125
    return batch


def entries_of(batch, graph):
    graph_of_node = batch.batch.tolist()
    sources = batch.edge_index[0].tolist()
    return [i for i, u in enumerate(sources) if graph_of_node[u] == graph]


def alone(batch, graph):
    """One graph of a batch, node by node and entry by entry."""
    nodes = [u for u, g in enumerate(batch.batch.tolist()) if g == graph]
    entries = entries_of(batch, graph)
    number = {u: i for i, u in enumerate(nodes)}
    ends = [[number[u] for u in row.tolist()] for row in batch.edge_index[:, entries]]
    data = Data(edge_index=torch.tensor(ends, dtype=torch.long).view(2, -1))
    for key in NODE_LEVEL:
        data[key] = batch[key][nodes]
    for key in ("edge_attr", "edge_weight", "edge_flow"):
        if key in batch:
            data[key] = batch[key][entries]
    data.num_nodes = len(nodes)
    return data


def num_pairs(data):
    return len({frozenset(e) for e in data.edge_index.t().tolist() if e[0] != e[1]})


def assert_untouched(data, before):
    assert data.keys() == before.keys()
    for store, old in zip(data.stores, before.stores, strict=True):
        for key, value in old.items():
            assert torch.as_tensor(store[key]).equal(torch.as_tensor(value)), key


@pytest.mark.parametrize("transform", EDGE_CUTS, ids=repr)
def test_batches_changed_after_collation(transform):
    for number in range(ROUNDS):
        batch = random_batch(number)
        before = batch.clone()
        out = transform(batch)
        assert_untouched(batch, before)
        assert set(out.keys()) >= set(batch.keys()) | {"e_id"}
        for key in (*NODE_LEVEL, "batch", "ptr"):
            assert out[key].equal(batch[key]), key
        assert out.rate == 0.125
        assert out.num_nodes == batch.num_nodes
        kept = []
        for graph, part in enumerate(out.to_data_list()):
            one, entries = alone(batch, graph), entries_of(batch, graph)
            wanted = transform(one)
            kept += [entries[i] for i in wanted.e_id.tolist()]
            for key in set(wanted.keys()) - {"e_id", "num_nodes"}:
                assert part[key].equal(wanted[key]), (number, graph, key)
            assert part.num_nodes == one.num_nodes
            if transform.sparsity is not None:
                total = num_pairs(one)
                assert num_pairs(part) == total - round(transform.sparsity * total)
            assert out[graph].edge_index.equal(part.edge_index)
        assert out.e_id.tolist() == kept
        assert out.edge_index.equal(batch.edge_index[:, out.e_id])
        assert out.edge_attr.equal(batch.edge_attr[out.e_id])
        assert out.edge_flow.equal(batch.edge_flow[out.e_id])


def relation_alone(batch, graph):
    """One graph of a batch of :func:`random_hetero`."""
    data = HeteroData()
    number = {}
    for kind in batch.node_types:
        graphs = batch[kind].batch.tolist()
        nodes = [u for u, g in enumerate(graphs) if g == graph]
        number[kind] = {u: i for i, u in enumerate(nodes)}
        for key in ("x", "pred", "h"):
            data[kind][key] = batch[kind][key][nodes]
    for kind in batch.edge_types:
        src, _, dst = kind
        found = [
            (number[src][u], number[dst][v], i)
            for i, (u, v) in enumerate(batch[kind].edge_index.t().tolist())
            if u in number[src]
        ]
        entries = torch.tensor(found, dtype=torch.long).view(-1, 3).t()
        data[kind].edge_index, data[kind].edge_flow = entries[:2], entries[2]
    return data


def random_hetero(number):
    generator = torch.Generator().manual_seed(83000 + number)
    graphs = []
    for _ in range(1 + number % 3):
        data = HeteroData()
        sizes = torch.randint(1, 6, (2,), generator=generator).tolist()
        for kind, size in zip("ab", sizes, strict=True):
            data[kind].x = torch.randn(size, 4, generator=generator)
            data[kind].pred = data[kind].x.softmax(1)
        data["a", "to", "b"].edge_index = random_edges(sizes[0], generator, sizes[1])
        data["b", "near", "b"].edge_index = random_edges(sizes[1], generator)
        graphs.append(data)
    batch = ToUndirected()(Batch.from_data_list(graphs))  # adds ("b", "rev_to", "a")
    for kind in batch.node_types:
        n = batch[kind].num_nodes
        batch[kind].h = torch.randn(n, 2, generator=generator)
    for kind in batch.edge_types:
        batch[kind].edge_flow = torch.arange(batch[kind].num_edges)
    return batch


@pytest.mark.parametrize("transform", EDGE_CUTS, ids=repr)
def test_hetero_batches_changed_after_collation(transform):
    for number in range(HETERO_ROUNDS):
        batch = random_hetero(number)
        before = batch.clone()
        out = transform(batch)
        assert_untouched(batch, before)
        wanted = [transform(relation_alone(batch, g)) for g in range(out.num_graphs)]
        for kind in batch.node_types:
            for key in ("x", "pred", "h", "batch", "ptr"):
                assert out[kind][key].equal(batch[kind][key])
        for kind in batch.edge_types:
            store = out[kind]
            assert store.e_id.equal(torch.cat([one[kind].edge_flow for one in wanted]))
            assert store.edge_index.equal(batch[kind].edge_index[:, store.e_id])
            assert store.edge_flow.equal(store.e_id)
        for part, one in zip(out.to_data_list(), wanted, strict=True):
            for kind in batch.edge_types:
                for key in ("edge_index", "edge_flow", "e_id", "edge_weight"):
                    if key in one[kind]:
                        assert part[kind][key].equal(one[kind][key]), (kind, key)
            for kind in batch.node_types:
                assert part[kind].h.equal(one[kind].h)


def test_features_of_batches_changed_after_collation():
    select = INSTANCES[-1]
    for number in range(ROUNDS + HETERO_ROUNDS):
        batch = random_batch(number)
        before = batch.clone()
        out = select(batch)
        assert_untouched(batch, before)
        columns = select(Data(x=batch.x)).kept_features
        for key in set(batch.keys()) - {"x", "rate"}:
            assert out[key].equal(batch[key]), key
        assert out.x.equal(batch.x[:, columns])
        assert out.kept_features.equal(columns.repeat(batch.num_graphs))


def test_features_and_edges_in_turns():
    """Slices are right whichever comes first, and after a second time."""
    cut, select = INSTANCES[0], INSTANCES[-1]
    batch = random_batch(3)
    one = cut(select(batch)).to_data_list()
    two = select(cut(batch)).to_data_list()
    for left, right in zip(one, two, strict=True):
        assert left.edge_index.equal(right.edge_index)
        assert left.x.equal(right.x)
        assert left.kept_features.equal(right.kept_features)
    again = select(select(batch))
    for part in again.to_data_list():
        assert part.kept_features.numel() == part.x.size(1) == 1


def test_a_batch_that_is_intact_equals_its_graphs():
    """Also the positions: ``e_id`` counts in each graph, and over all in the batch."""
    generator = torch.Generator().manual_seed(40009)
    graphs = [ToUndirected()(random_graph(generator)) for _ in range(5)]
    batch = Batch.from_data_list(graphs)
    for transform in EDGE_CUTS:
        out = transform(batch)
        assert batch.edge_index[:, out.e_id].equal(out.edge_index)
        for part, graph in zip(out.to_data_list(), graphs, strict=True):
            wanted = transform(graph)
            for key in wanted.keys():  # noqa: SIM118 (Data iterates over pairs)
                assert torch.as_tensor(part[key]).equal(torch.as_tensor(wanted[key]))


def test_a_seed_is_drawn_for_every_graph():
    generator = torch.Generator().manual_seed(40009)
    graphs = [ToUndirected()(random_graph(generator)) for _ in range(5)]
    transform = transforms.DSpar(sparsity=0.5)
    torch.manual_seed(6)
    out = transform(Batch.from_data_list(graphs))
    torch.manual_seed(6)
    for part, graph in zip(out.to_data_list(), graphs, strict=True):
        assert part.edge_index.equal(transform(graph).edge_index)


@pytest.mark.parametrize("transform", EDGE_CUTS, ids=repr)
def test_score_then_cut_has_the_budget_of_every_graph(transform):
    batch = random_batch(7)
    score = transform.importance(batch)
    out, wanted = transform.cut(batch, score), transform(batch)
    assert out.edge_index.equal(wanted.edge_index)
    assert out[2].edge_index.equal(wanted[2].edge_index)
    for graph in range(batch.num_graphs):
        entries = entries_of(batch, graph)
        assert score[entries].equal(transform.importance(alone(batch, graph)))
    with pytest.raises(
        ValueError, match=r"'importance' must have shape \[\d+\] \(got \[3"
    ):
        transform.cut(batch, score[:3])


def test_nodes_in_any_order():
    """The budget is per graph, but the result cannot be taken apart."""
    batch = random_batch(7)
    order = torch.randperm(batch.num_nodes)
    number = order.argsort()
    batch.edge_index = number[batch.edge_index]
    for key in (*NODE_LEVEL, "batch"):
        batch[key] = batch[key][order]
    transform = transforms.Teddy(sparsity=0.5)
    out = transform(batch)
    for graph in range(batch.num_graphs):
        one = alone(batch, graph)
        wanted = transform(one)
        assert alone(out, graph).edge_index.equal(wanted.edge_index)
    with pytest.raises(RuntimeError, match="Cannot reconstruct"):
        out.to_data_list()


def test_data_with_a_batch_vector_is_one_graph():
    batch = random_batch(7)
    data = Data(edge_index=batch.edge_index, batch=batch.batch, x=batch.x)
    out = transforms.Teddy(sparsity=0.5)(data)
    assert num_pairs(out) == num_pairs(data) - round(0.5 * num_pairs(data))
    assert out.batch.equal(batch.batch)


@pytest.mark.parametrize("data", [torch.ones(2, 3), None, [Data()], "graph"])
def test_what_is_no_graph_is_refused(data):
    for transform in INSTANCES:
        name, got = type(transform).__name__, type(data).__name__
        text = rf"{name} takes Data, HeteroData or a Batch of either \(got {got}\)"
        with pytest.raises(TypeError, match=text):
            transform(data)
    with pytest.raises(TypeError, match=r"call the transform for HeteroData\) \(got"):
        INSTANCES[0].importance(data)


def test_a_failing_relation_and_graph_are_named():
    batch = random_hetero(1)
    kind = ("b", "near", "b")
    batch[kind].edge_index = torch.tensor([[0], [1]])
    batch[kind].edge_flow = torch.zeros(1)
    batch["b"].batch, batch["b"].ptr = batch["b"].batch * 0, None
    text = r"graph 0 of the Batch: relation \('b', 'near', 'b'\): DSpar needs an und"
    for other in (("a", "to", "b"), ("b", "rev_to", "a")):
        batch[other].edge_index = torch.empty(2, 0, dtype=torch.long)
        batch[other].edge_flow = torch.empty(0)
    with pytest.raises(ValueError, match=text):
        transforms.DSpar(sparsity=0.5)(batch)


def test_a_relation_stored_twice_or_with_wrong_attributes_is_named():
    batch = random_hetero(1)
    batch["a", "to", "b"].adj_t = torch.eye(2)
    with pytest.raises(TypeError, match=r"\('a', 'to', 'b'\): the edges are stored tw"):
        transforms.RandomEdge(sparsity=0.5)(batch)
    batch = random_hetero(1)
    batch["a", "to", "b"].edge_attr = torch.ones(999, 1)
    with pytest.raises(
        ValueError, match=r"'edge_attr' of \('a', 'to', 'b'\) must .*999"
    ):
        transforms.RandomEdge(sparsity=0.5)(batch)
