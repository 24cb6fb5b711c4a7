"""Contract tests of transforms.

A new transform is tested here by adding one line to ``INSTANCES``.
"""

import inspect
import pickle
from itertools import pairwise

import pytest
import torch
from torch_geometric import EdgeIndex
from torch_geometric.data import Batch, HeteroData
from torch_geometric.transforms import Compose, RemoveSelfLoops
from torch_geometric.utils import is_undirected

from gsparse import transforms
from gsparse.data import barbell, random_graph
from gsparse.edges import undirected_pairs

INSTANCES = [
    transforms.RandomEdge(sparsity=0.4, seed=30011),
    transforms.FeatureCosine(sparsity=0.4),
    transforms.PredictionAgreement(sparsity=0.4),
    transforms.Teddy(sparsity=0.4),
    transforms.LocalDegree(sparsity=0.4),
    transforms.KNeighbor(sparsity=0.4, seed=30011),
    transforms.KNeighbor(k=2, seed=30011),
    transforms.DSpar(sparsity=0.4, seed=30011),
    transforms.DSpar(epsilon=0.9, seed=30011),
    transforms.EffectiveResistance(sparsity=0.4, seed=30011),
    transforms.EffectiveResistance(sparsity=0.3, reweight=False, seed=30011),
    transforms.EffectiveResistance(epsilon=0.8, connected=True, seed=30011),
]
EXACT = [t for t in INSTANCES if t.sparsity is not None]
GRAPHS = {
    "random": random_graph(num_nodes=30, p=0.2, seed=15737),
    "weighted": random_graph(num_nodes=30, p=0.2, seed=15737, weighted=True),
    "isolated nodes": random_graph(num_nodes=30, p=0.02, seed=15737),
    "no edges": random_graph(num_nodes=5, p=0.0, seed=15737),
    "one node": random_graph(num_nodes=1, p=0.0, seed=15737),
}
for graph in GRAPHS.values():
    graph.pred = graph.x.softmax(1)


def test_every_transform_is_listed():
    """But for the one that removes features and no edges."""
    public = {
        name
        for name in transforms.__all__
        if inspect.isclass(getattr(transforms, name))
    }
    listed = {type(instance).__name__ for instance in INSTANCES}
    assert public == listed | {"FeatureSelect"}


def test_every_transform_has_a_function_twin():
    classes = [n for n in transforms.__all__ if inspect.isclass(getattr(transforms, n))]
    assert len(transforms.__all__) == 2 * len(classes)


@pytest.fixture(params=GRAPHS.values(), ids=GRAPHS)
def data(request):
    return request.param.clone()


def with_loops_and_copies(data):
    """The same graph with self-loops and with every edge listed twice."""
    data = data.clone()
    loops = torch.arange(data.num_nodes).repeat(2, 1)
    data.edge_index = torch.cat([data.edge_index, loops, data.edge_index], dim=1)
    return data


@pytest.mark.parametrize("transform", INSTANCES, ids=repr)
class TestContract:
    def test_input_is_untouched(self, transform, data):
        before = data.clone()
        transform(data)
        assert data.keys() == before.keys()
        for key, value in before:
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(data[key])), key

    def test_nodes_are_kept(self, transform, data):
        out = transform(data)
        assert out.num_nodes == data.num_nodes
        assert out.x.equal(data.x)
        assert out.y.equal(data.y)
        assert out.train_mask.equal(data.train_mask)

    def test_stays_undirected(self, transform, data):
        out = transform(data)
        weight = out.get("edge_weight")
        assert is_undirected(out.edge_index, weight, data.num_nodes)

    def test_edges_are_a_subset(self, transform, data):
        edges = set(map(tuple, data.edge_index.t().tolist()))
        kept = list(map(tuple, transform(data).edge_index.t().tolist()))
        assert set(kept) <= edges
        assert len(kept) == len(set(kept))

    def test_every_edge_attribute_follows(self, transform, data):
        data.edge_id = torch.arange(data.num_edges)
        out = transform(data)
        assert out.edge_index.equal(data.edge_index[:, out.edge_id])
        assert out.e_id.equal(out.edge_id)

    def test_supervision_stays(self, transform, data):
        data.edge_label = torch.arange(data.num_edges)
        data.edge_label_index = data.edge_index.clone()
        out = transform(data)
        assert out.edge_label.equal(data.edge_label)
        assert out.edge_label_index.equal(data.edge_label_index)

    def test_same_seed_same_result(self, transform, data):
        one, two = transform(data), transform(data)
        assert one.edge_index.equal(two.edge_index)
        if "edge_weight" in one:
            assert one.edge_weight.equal(two.edge_weight)

    def test_edge_order_changes_nothing(self, transform, data):
        shuffle = torch.randperm(data.num_edges)
        shuffled = data.clone()
        shuffled.edge_index = data.edge_index[:, shuffle]
        if "edge_weight" in data:
            shuffled.edge_weight = data.edge_weight[shuffle]
        out, expected = transform(shuffled), transform(data)
        assert sorted(shuffle[out.e_id].tolist()) == expected.e_id.tolist()
        if "edge_weight" in expected:
            back = shuffle[out.e_id].argsort()
            assert out.edge_weight[back].equal(expected.edge_weight)

    def test_self_loops_stay_and_copies_share_their_fate(self, transform):
        data = with_loops_and_copies(GRAPHS["random"])
        out = transform(data)
        loops = out.edge_index[:, out.edge_index[0] == out.edge_index[1]]
        assert loops[0].tolist() == list(range(data.num_nodes))
        if "edge_weight" in out:
            is_loop = out.edge_index[0] == out.edge_index[1]
            assert (out.edge_weight[is_loop] == 1).all()
        entries = list(map(tuple, out.edge_index.t().tolist()))
        assert all(entries.count(e) == 2 for e in entries if e[0] != e[1])

    def test_repr_rebuilds_it(self, transform, data):
        clone = eval(repr(transform), vars(transforms))
        assert clone(data).edge_index.equal(transform(data).edge_index)

    def test_pickles(self, transform, data):
        clone = pickle.loads(pickle.dumps(transform))
        assert clone(data).edge_index.equal(transform(data).edge_index)

    def test_in_compose(self, transform, data):
        out = Compose([RemoveSelfLoops(), transform])(data)
        assert out.edge_index.equal(transform(data).edge_index)

    def test_batch_has_a_budget_per_graph(self, transform):
        graphs = [GRAPHS["random"], barbell(6), GRAPHS["no edges"]]
        graphs = [g.clone() for g in graphs]
        for g in graphs:
            for key in set(g.keys()) - {"edge_index"}:
                del g[key]
            g.num_nodes = 40
            g.x = torch.randn(40, 4, generator=torch.Generator().manual_seed(9))
            g.pred = g.x.softmax(1)
        out = transform(Batch.from_data_list(graphs))
        for part, graph in zip(out.to_data_list(), graphs, strict=True):
            expected = transform(graph)
            assert part.edge_index.equal(expected.edge_index)
            assert part.num_nodes == 40

    def test_edge_index_subclass_is_kept(self, transform):
        data = GRAPHS["random"].clone()
        data.edge_index = EdgeIndex(
            data.edge_index, sparse_size=(30, 30), is_undirected=True
        )
        out = transform(data)
        assert isinstance(out.edge_index, EdgeIndex)
        assert out.edge_index.is_undirected
        assert out.edge_index.sparse_size() == (30, 30)

    def test_score_then_cut_is_the_transform(self, transform, data):
        score = transform.importance(data)
        assert score.shape == (data.num_edges,)
        out, expected = transform.cut(data, score), transform(data)
        assert out.edge_index.equal(expected.edge_index)

    def test_weights_of_a_weightless_graph(self, transform):
        out = transform(GRAPHS["random"])
        reweights = getattr(transform, "reweight", False)
        assert ("edge_weight" in out) == reweights
        if reweights:
            assert out.edge_weight.dtype == torch.float32

    def test_hetero_relations_are_cut_one_by_one(self, transform):
        data = hetero_graph()
        out = transform(data)
        writes, back = out["a", "writes", "p"], out["p", "rev_writes", "a"]
        pairs = set(map(tuple, writes.edge_index.t().tolist()))
        assert pairs == set(map(tuple, back.edge_index.flip(0).t().tolist()))
        assert len(pairs) < data["a", "writes", "p"].num_edges
        kept = data["a", "writes", "p"].edge_index[:, writes.e_id]
        assert kept.equal(writes.edge_index)
        assert is_undirected(out["p", "near", "p"].edge_index)
        assert data["a", "writes", "p"].num_edges == 60
        if "edge_weight" in writes:
            weights = dict(zip(sorted(pairs), by_entry(writes), strict=True))
            other = by_entry(back, flip=True)
            assert list(weights.values()) == other


def by_entry(store, flip=False):
    ends = store.edge_index.flip(0) if flip else store.edge_index
    entries = map(tuple, ends.t().tolist())
    return [w for _, w in sorted(zip(entries, store.edge_weight.tolist(), strict=True))]


def hetero_graph():
    generator = torch.Generator().manual_seed(90407)
    code = torch.randperm(12 * 9, generator=generator)[:60]
    edge_index = torch.stack([code // 9, code % 9])
    data = HeteroData()
    for kind, size in (("a", 12), ("p", 9)):
        data[kind].x = torch.randn(size, 4, generator=generator)
        data[kind].pred = data[kind].x.softmax(1)
    data["a", "writes", "p"].edge_index = edge_index
    order = torch.randperm(60, generator=generator)
    data["p", "rev_writes", "a"].edge_index = edge_index.flip(0)[:, order]
    data["p", "near", "p"].edge_index = barbell(4).edge_index
    return data


@pytest.mark.parametrize("transform", EXACT, ids=repr)
def test_budget_is_exact(transform, data):
    before = undirected_pairs(data.edge_index, data.num_nodes).num_pairs
    out = transform(data)
    after = undirected_pairs(out.edge_index, data.num_nodes).num_pairs
    assert after == before - round(transform.sparsity * before)


@pytest.mark.parametrize("cls", dict.fromkeys(type(t) for t in INSTANCES))
def test_samples_are_nested_in_sparsity(cls):
    takes_seed = "seed" in inspect.signature(cls).parameters
    options = {"seed": 4129} if takes_seed else {}
    kept = [
        set(cls(sparsity=s / 10, **options)(GRAPHS["random"]).e_id.tolist())
        for s in range(10)
    ]
    for larger, smaller in pairwise(kept):
        assert smaller <= larger


def test_one_and_two_threads_agree():
    before = torch.get_num_threads()
    data = random_graph(num_nodes=400, p=0.05, seed=22303)
    data.pred = data.x.softmax(1)
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        results.append([t(data) for t in INSTANCES])
    torch.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert one.edge_index.equal(two.edge_index)
        if "edge_weight" in one:
            assert one.edge_weight.equal(two.edge_weight)


@pytest.mark.parametrize("cls", [transforms.DSpar, transforms.EffectiveResistance])
class TestSampledRefusals:
    def test_neither_or_both_sizes(self, cls):
        with pytest.raises(ValueError, match="exactly one of 'sparsity' and 'epsilon'"):
            cls()
        with pytest.raises(ValueError, match=r"got sparsity=0.5, epsilon=0.3"):
            cls(sparsity=0.5, epsilon=0.3)

    @pytest.mark.parametrize("epsilon", [0.0, -1.0, float("inf"), float("nan")])
    def test_bad_epsilon(self, cls, epsilon):
        with pytest.raises(ValueError, match=rf"positive and finite \(got {epsilon}\)"):
            cls(epsilon=epsilon)

    def test_directed_graph(self, cls):
        data = barbell(4)
        data.edge_index = data.edge_index[:, 1:]
        with pytest.raises(ValueError, match=rf"{cls.__name__} needs an undirected"):
            cls(sparsity=0.5)(data)

    def test_nan_weight(self, cls):
        data = barbell(4)
        data.edge_weight = torch.ones(data.num_edges)
        data.edge_weight[2] = float("nan")
        with pytest.raises(ValueError, match=r"must be finite \(got nan at 2\)"):
            cls(sparsity=0.5)(data)

    def test_connected_needs_the_budget(self, cls):
        with pytest.raises(ValueError, match=r"pairs must be kept, but sparsity=0.9"):
            cls(sparsity=0.9, connected=True)(barbell(4))


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5])
@pytest.mark.parametrize("cls", list(dict.fromkeys(map(type, INSTANCES))))
def test_sparsity_out_of_range(cls, sparsity):
    with pytest.raises(ValueError, match=rf"in \[0, 1\) \(got {sparsity}\)"):
        cls(sparsity=sparsity)


def test_random_edge_takes_directed_graphs():
    data = barbell(4)
    data.edge_index = data.edge_index[:, 1:]
    out = transforms.RandomEdge(sparsity=0.5, seed=7)(data)
    pairs = undirected_pairs(data.edge_index, 8)
    kept = set(pairs.pair[out.e_id].tolist())
    assert len(kept) == 13 - round(0.5 * 13)
    assert all(
        (pairs.pair == p).sum() == (pairs.pair[out.e_id] == p).sum() for p in kept
    )


@pytest.mark.parametrize(("name", "value"), [("when", "train"), ("needs", ("pred",))])
def test_misspelt_declarations_are_refused(name, value):
    with pytest.raises(TypeError, match=rf"'{name}' of Odd must be of '"):
        type("Odd", (transforms.RandomEdge,), {name: value})
