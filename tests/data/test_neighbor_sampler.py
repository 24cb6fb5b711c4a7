"""Batches of nodes with some of their neighbours."""

import pickle
from itertools import chain, combinations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import trim_to_layer

from gsparse.data import (
    NeighborSampler,
    chung_lu,
    convert_graph,
    open_neighbors,
    path,
    star,
)
from gsparse.data.neighbor_lists import draw_entries, neighbor_lists, random_key
from gsparse.edges.hashing import mix
from tests.data.folders.messy import messy_graph

LOOP = {"edge_index": torch.zeros(2, 1, dtype=torch.long), "num_nodes": 1}


@pytest.fixture(scope="module")
def data():
    data = chung_lu(120, 600, exponent=2.5, seed=31051)
    data.x = torch.randn(120, 5, generator=torch.Generator().manual_seed(64007))
    data.y = torch.arange(120) % 3
    data.train_mask = torch.arange(120) % 4 == 1
    data.edge_attr = torch.arange(data.num_edges).float().view(-1, 1)
    return data


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory):
    return convert_graph(data, tmp_path_factory.mktemp("sampler") / "g")


def same(one, two):
    assert one.keys() == two.keys()
    for key, value in one.to_dict().items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(two[key])), key


def check_batch(batch, data, nodes, num_neighbors):
    """Check the definition of a batch, in plain Python."""
    n_id = batch.n_id.tolist()
    assert len({*n_id}) == len(n_id) == batch.num_nodes
    assert n_id[: batch.batch_size] == nodes[batch.input_id].tolist()
    source, target = batch.n_id[batch.edge_index]
    assert torch.stack([source, target]).equal(data.edge_index[:, batch.e_id])
    assert batch.e_id.unique().numel() == batch.e_id.numel()  # no edge twice
    assert batch.edge_attr.view(-1).equal(batch.e_id.float())
    for name in ("x", "y", "train_mask"):
        assert batch[name].equal(data[name][batch.n_id])
    into = {u: (data.edge_index[1] == u).nonzero().view(-1).tolist() for u in n_id}
    found = {u: [] for u in n_id}
    for e, u in zip(batch.e_id.tolist(), target.tolist(), strict=True):
        found[u].append(e)
    start = first_edge = 0
    sizes = batch.num_sampled_nodes
    assert len(sizes) == len(batch.num_sampled_edges) + 1 == len(num_neighbors) + 1
    for hop, k in enumerate(num_neighbors):
        expanded = n_id[start : start + sizes[hop]]
        stop = first_edge + batch.num_sampled_edges[hop]
        assert {*target[first_edge:stop].tolist()} <= {*expanded}
        assert sum(len(found[u]) for u in expanded) == stop - first_edge
        for u in expanded:
            assert {*found[u]} <= {*into[u]}
            assert len(found[u]) == (len(into[u]) if k < 0 else min(k, len(into[u])))
        fresh = {*source[first_edge:stop].tolist()} - {*n_id[: start + sizes[hop]]}
        start, first_edge = start + sizes[hop], stop
        assert n_id[start : start + sizes[hop + 1]] == sorted(fresh)
    assert first_edge == batch.num_edges
    assert sum(batch.num_sampled_nodes) == batch.num_nodes


@pytest.mark.parametrize("num_neighbors", [[3, 2], [-1, 1, 4], [0], [-1, -1]])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_batch_is_what_is_asked_for(data, num_neighbors, shuffle):
    nodes = data.train_mask.nonzero().view(-1)
    sampler = NeighborSampler(
        data, num_neighbors, 7, data.train_mask, shuffle, seed=80173
    )
    batches = [*sampler]
    assert len(batches) == len(sampler) == 5
    assert [it.batch_size for it in batches] == [7, 7, 7, 7, 2]
    for batch in batches:
        check_batch(batch, data, nodes, num_neighbors)
    places = torch.cat([it.input_id for it in batches])
    assert places.sort().values.equal(torch.arange(30))
    assert places.equal(torch.arange(30)) != shuffle


def test_directed_edges_point_to_the_seeds():
    chain = Data(edge_index=torch.tensor([[0, 1, 2, 3], [1, 2, 3, 3]]), num_nodes=4)
    (batch,) = NeighborSampler(chain, [-1, -1], input_nodes=[2], seed=1)
    assert batch.n_id.tolist() == [2, 1, 0]
    assert batch.edge_index.tolist() == [[1, 2], [0, 1]]
    (batch,) = NeighborSampler(chain, [-1, -1], input_nodes=[3], seed=1)
    assert batch.n_id[batch.edge_index].tolist() == [[2, 3, 1], [3, 3, 2]]


def test_every_set_of_neighbours_is_equally_likely():
    """Pearson's statistic of 10 sets of 5 choose 2 in 5,000 draws, 9 degrees of
    freedom: above 27.9 with probability 0.001.
    """
    lists = neighbor_lists(star(num_leaves=5))
    sets = dict.fromkeys(combinations(range(5), 2), 0)
    for i in range(5000):
        entries, _ = draw_entries(lists, np.array([0]), 2, random_key(90373, i))
        sets[tuple(entries.tolist())] += 1
    assert sum((n - 500) ** 2 / 500 for n in sets.values()) < 27.9


def test_nodes_draw_independently():
    """Two hubs choose one of four edges each: 16 pairs, 15 degrees of freedom."""
    ends = torch.tensor([[*range(2, 6)] * 2, [0] * 4 + [1] * 4])
    hubs = Data(edge_index=ends, num_nodes=6)
    lists = neighbor_lists(hubs)
    seen = np.zeros((4, 4))
    for i in range(4000):
        entries, _ = draw_entries(lists, np.array([0, 1]), 1, random_key(7727, i))
        seen[entries[0], entries[1] - 4] += 1
    assert ((seen - 250) ** 2 / 250).sum() < 37.7  # probability 0.001


def test_draws_of_large_degrees_are_uniform():
    """Every edge of a hub of degree 50 is among 10 drawn with probability 1/5."""
    lists = neighbor_lists(star(num_leaves=50))
    count = np.zeros(50)
    for i in range(2000):
        entries, _ = draw_entries(lists, np.array([0]), 10, random_key(1871, i))
        assert np.unique(entries).size == 10
        count[entries] += 1
    # Counts without replacement have variance 320 and covariance -320/49.
    assert ((count - 400) ** 2 / 320).sum() * 49 / 50 < 85.4  # 49 degrees, 0.001


def test_hash_of_the_largest_number_is_in_range(monkeypatch):
    """A hash whose 53 bits are all set draws the last edge and not the next one."""
    ones = torch.full((1,), -1)
    monkeypatch.setattr("gsparse.data.neighbor_lists.mix", lambda z: ones)
    lists = neighbor_lists(star(num_leaves=5))
    entries, _ = draw_entries(lists, np.array([0]), 2, mix(ones))
    assert entries.tolist() == [3, 4]


class TestFullNeighbourhoods:
    """With -1 a network with one layer per hop has its full-graph outputs."""

    @pytest.mark.parametrize(
        ("model", "more_hops"),
        [
            (GraphSAGE(5, 8, 2, 3), 0),
            (GAT(5, 8, 2, 3, heads=2), 0),
            (GIN(5, 8, 2, 3), 0),
            (GCN(5, 8, 2, 3), 1),
        ],
        ids=lambda it: type(it).__name__,
    )
    def test_outputs_are_those_of_the_full_graph(self, data, folder, model, more_hops):
        expected = model.eval()(data.x, data.edge_index)
        for graph in (data, folder):
            sampler = NeighborSampler(
                graph, [-1] * (2 + more_hops), 9, data.train_mask, x=data.x, seed=3
            )
            for batch in sampler:
                out = model(batch.x, batch.edge_index)[: batch.batch_size]
                seeds = batch.n_id[: batch.batch_size]
                torch.testing.assert_close(out, expected[seeds], rtol=1e-5, atol=1e-5)

    def test_gcn_needs_one_hop_more(self, data):
        model = GCN(5, 8, 2, 3).eval()
        expected = model(data.x, data.edge_index)
        (batch,) = NeighborSampler(data, [-1, -1], 9, range(9), seed=3)
        out = model(batch.x, batch.edge_index)[:9]
        assert (out - expected[batch.n_id[:9]]).abs().max() > 1e-3

    def test_hops_can_be_trimmed(self, data):
        model = GraphSAGE(5, 8, 2, 3).eval()
        expected = model(data.x, data.edge_index)
        for batch in NeighborSampler(data, [-1, -1], 9, range(27), seed=3):
            x, edge_index = batch.x, batch.edge_index
            for i, conv in enumerate(model.convs):
                x, edge_index, _ = trim_to_layer(
                    i, batch.num_sampled_nodes, batch.num_sampled_edges, x, edge_index
                )
                x = conv(x, edge_index)
                x = x.relu() if i == 0 else x
            seeds = batch.n_id[: batch.batch_size]
            torch.testing.assert_close(x[: seeds.numel()], expected[seeds])


class TestGcnNorm:
    """Batches have the weights of the full graph."""

    @pytest.mark.parametrize("weighted", [False, True])
    def test_outputs_are_those_of_the_full_graph(self, tmp_path, weighted):
        graph = messy_graph(4481, weighted=weighted, copies=weighted)
        folder = convert_graph(graph, tmp_path / "g")
        whole = folder.data()
        draw = torch.Generator().manual_seed(64007)
        x = torch.randn(60, 5, generator=draw)
        model = GCN(5, 8, 2, 3).eval()
        plain = GCN(5, 8, 2, 3, normalize=False).eval()
        plain.load_state_dict(model.state_dict())
        expected = model(x, whole.edge_index, whole.edge_weight)
        directed = whole.clone()
        directed.edge_index = whole.edge_index[:, ::3]
        if weighted:
            directed.edge_weight = whole.edge_weight[::3]
        cuts = model(x, directed.edge_index, directed.edge_weight)
        for source, wanted in ((folder, expected), (whole, expected), (directed, cuts)):
            options = {"x": x, "seed": 3, "gcn_norm": True}
            for batch in NeighborSampler(source, [-1, -1], 9, **options):
                out = plain(batch.x, batch.edge_index, batch.edge_weight)
                seeds = batch.n_id[: batch.batch_size]
                torch.testing.assert_close(
                    out[: batch.batch_size], wanted[seeds], rtol=1e-5, atol=1e-5
                )
                assert "e_id" not in batch

    def test_sums_of_drawn_edges_are_right_on_average(self, tmp_path):
        """Within five standard errors of 2,000 epochs, at every node."""
        folder = convert_graph(messy_graph(4481, weighted=True), tmp_path / "g")
        (full,) = NeighborSampler(folder, [-1], 60, shuffle=False, gcn_norm=True)
        sampler = NeighborSampler(
            folder, [2], 60, shuffle=False, seed=17, gcn_norm=True
        )
        expected = torch.zeros(60).index_add(0, full.edge_index[1], full.edge_weight)
        sums = torch.stack(
            [
                torch.zeros(60).index_add(0, batch.edge_index[1], batch.edge_weight)
                for _ in range(2000)
                for batch in sampler
            ]
        ).double()
        error = 5 * sums.std(dim=0) / 2000**0.5 + 1e-5
        assert ((sums.mean(dim=0) - expected).abs() < error).all()
        assert sums.std(dim=0).max() > 0.1


class TestOnDisk:
    def test_folder_and_memory_have_the_same_bits(self, tmp_path):
        data = messy_graph(4481, weighted=True)
        folder = convert_graph(data, tmp_path / "g")
        whole = folder.data()
        order = torch.randperm(
            whole.num_edges, generator=torch.Generator().manual_seed(811)
        )
        whole.edge_index = whole.edge_index[:, order]
        whole.edge_weight = whole.edge_weight[order]
        x, y = torch.rand(60, 4), torch.arange(60)
        np.save(tmp_path / "x.npy", x.numpy())
        mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
        graphs = [(folder, mapped), (open_neighbors(folder), x), (whole, x)]
        runs = [
            [*NeighborSampler(graph, [3, 2], 11, seed=25_057, x=rows, y=y)]
            for graph, rows in graphs
        ]
        for one, two, three in zip(*runs, strict=True):
            same(one, two)
            source, target = one.n_id[one.edge_index]
            places = three.e_id
            assert whole.edge_index[:, places].equal(torch.stack([source, target]))
            assert whole.edge_weight[places].equal(one.edge_weight)
            del three.e_id
            same(one, three)

    def test_copies_open_mapped_features_again(self, folder, tmp_path, data):
        rows = data.x.repeat(1, 200).numpy()
        np.save(tmp_path / "x.npy", rows)
        mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
        sampler = NeighborSampler(folder, [2], 11, seed=5, x=mapped)
        stored = pickle.dumps(sampler)
        assert len(stored) < rows.nbytes / 10
        for one, two in zip(pickle.loads(stored), sampler, strict=True):
            same(one, two)

    def test_a_part_of_a_mapped_file_is_not_mistaken_for_it(self, tmp_path):
        np.save(tmp_path / "x.npy", np.arange(20.0).reshape(10, 2))
        half = np.load(tmp_path / "x.npy", mmap_mode="r")[5:]
        sampler = NeighborSampler(path(5), [1], 5, shuffle=False, seed=5, x=half)
        for it in (sampler, pickle.loads(pickle.dumps(sampler))):
            (batch,) = it
            assert batch.x[:, 0].tolist() == [10, 12, 14, 16, 18]


class TestRandomness:
    def test_epochs_differ_and_can_be_repeated(self, data):
        sampler = NeighborSampler(data, [2, 2], 30, seed=64_123)
        first, second = [*sampler], [*sampler]
        assert sampler.epoch == 2
        assert not first[0].input_id.equal(second[0].input_id)
        sampler.epoch = 1
        for one, two in zip(sampler, second, strict=True):
            same(one, two)
        again = NeighborSampler(data, [2, 2], 30, seed=64_123)
        for i, batch in enumerate(first):
            same(again[i], batch)

    def test_epochs_draw_anew_without_a_shuffle(self, data):
        sampler = NeighborSampler(data, [2], 120, None, False, seed=64_123)
        (one,), (two,) = sampler, sampler
        assert one.input_id.equal(two.input_id)
        assert not one.edge_index.equal(two.edge_index)

    def test_seeds_give_other_batches(self, data):
        one, two = (
            next(iter(NeighborSampler(data, [2], 120, None, False, seed=seed)))
            for seed in (1, 2)
        )
        assert one.input_id.equal(two.input_id)
        assert not one.edge_index.equal(two.edge_index)

    def test_batches_of_an_epoch_draw_anew(self):
        """Two batches with different seeds expand their common neighbour."""
        data = star(num_leaves=30)
        sampler = NeighborSampler(data, [-1, 5], 1, [1, 2], False, seed=64_123)
        one, two = ({*it.n_id.tolist()} - {0, 1, 2} for it in sampler)
        assert one != two

    def test_threads_and_order_do_not_matter(self, data):
        sampler = NeighborSampler(data, [3, 3], 25, seed=919)
        batches = [*sampler]
        threads = torch.get_num_threads()
        sampler.epoch = 0
        try:
            torch.set_num_threads(4)
            for i in (3, 0, 4):
                same(sampler[i], batches[i])
        finally:
            torch.set_num_threads(threads)

    @pytest.mark.slow
    def test_worker_processes_yield_the_same(self, folder, data):
        sampler = NeighborSampler(folder, [3, 3], 50, seed=919, x=data.x)
        loader = DataLoader(
            sampler, batch_size=None, num_workers=2, multiprocessing_context="spawn"
        )
        found = [*loader]
        for one, two in zip(found, sampler, strict=True):
            same(one, two)

    def test_nothing_is_drawn_from_the_global_generator(self, data):
        state = torch.get_rng_state()
        assert [*NeighborSampler(data, [3], 50, seed=5)]
        assert torch.get_rng_state().equal(state)
        one = NeighborSampler(data, [3], 50)
        assert one.seed != NeighborSampler(data, [3], 50).seed


class TestRanks:
    @pytest.mark.parametrize("size", [2, 3, 5])
    def test_ranks_share_the_seeds_of_each_batch(self, data, size):
        def sampler(rank, size):
            nodes = range(17)
            return NeighborSampler(
                data, [-1], 8, nodes, seed=401, rank=rank, world_size=size
            )

        shares = zip(*(sampler(rank, size) for rank in range(size)), strict=True)
        for whole, parts in zip(sampler(0, 1), shares, strict=True):
            seeds = [it.n_id[: it.batch_size].tolist() for it in parts]
            assert sorted(chain(*seeds)) == sorted(whole.n_id[: whole.batch_size])
            assert max(map(len, seeds)) - min(map(len, seeds)) <= 1
            assert all(it.num_nodes > 0 for it in parts)
            assert all(it.input_id.numel() == it.batch_size for it in parts)

    def test_an_empty_share_has_zero_gradients(self, data):
        sampler = NeighborSampler(data, [2], 2, [3], seed=401, rank=1, world_size=2)
        (batch,) = sampler
        assert batch.batch_size == 0
        model = GraphSAGE(5, 8, 1, 3)
        model(batch.x, batch.edge_index)[:0].sum().backward()
        assert all(it.grad is not None for it in model.parameters())
        assert all(not it.grad.any() for it in model.parameters())


def test_a_transform_is_applied_to_each_batch(data):
    def double(batch):
        batch.x = 2 * batch.x
        return batch

    sampler = NeighborSampler(data, [2], 50, seed=5, transform=double)
    for batch in sampler:
        assert batch.x.equal(2 * data.x[batch.n_id])


def test_the_graph_stays_as_it_is(data):
    before = {key: torch.as_tensor(value).clone() for key, value in data}
    assert [*NeighborSampler(data, [2, -1], 50, seed=5)]
    for key, value in data:
        assert torch.as_tensor(value).equal(before[key])


def test_the_origin_of_edges_is_passed_on(data):
    cut = data.clone()
    cut.e_id = torch.arange(data.num_edges) + 1000
    for batch in NeighborSampler(cut, [2], 50, seed=5):
        assert batch.edge_attr.view(-1).equal(batch.e_id.float() - 1000)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"num_neighbors": []}, ValueError, "must hold a number for each hop"),
        ({"num_neighbors": [2, -2]}, ValueError, r"\(got \[2, -2\]\)"),
        ({"num_neighbors": [1.5]}, ValueError, r"\(got \[1.5\]\)"),
        ({"batch_size": 0}, ValueError, r"'batch_size' must be positive \(got 0\)"),
        ({"rank": 2, "world_size": 2}, ValueError, r"\(got 2 of 2\)"),
        ({"seed": -1}, ValueError, r"'seed' must be in \[0, 2\*\*64\)"),
        ({"input_nodes": [1, 120]}, ValueError, r"ids below 120 \(got 120\)"),
        ({"input_nodes": [-1]}, ValueError, r"ids below 120 \(got -1\)"),
        ({"input_nodes": [5, 3, 5]}, ValueError, r"every node once \(got 5 again\)"),
        ({"input_nodes": []}, ValueError, r"must hold a node \(got none\)"),
        ({"input_nodes": [0.5]}, TypeError, "integers or booleans"),
        ({"input_nodes": [True] * 7}, ValueError, r"mask of 120 nodes \(got 7\)"),
        ({"x": torch.ones(7, 2)}, ValueError, r"one row per node, 120 .* \(got 7\)"),
        ({"x": torch.eye(120).to_sparse_csr()}, TypeError, "'x' must be a dense"),
        (
            {"graph": Data(edge_weight=-torch.ones(1), **LOOP)},
            ValueError,
            "'edge_weight' must not be negative",
        ),
        (
            {"graph": Data(edge_weight=torch.ones(2), **LOOP)},
            ValueError,
            r"must have shape \[1\]",
        ),
        ({"graph": HeteroData()}, TypeError, r"\(got HeteroData\)"),
        ({"graph": Batch.from_data_list([path(3)])}, TypeError, "must be a Data"),
        ({"graph": Data(x=torch.ones(3, 1))}, ValueError, "must have an 'edge_index'"),
    ],
)
def test_refusals(data, options, error, text):
    with pytest.raises(error, match=text):
        NeighborSampler(**{"graph": data, "num_neighbors": [2]} | options)


def test_a_number_beyond_the_batches_ends_the_epoch(data):
    with pytest.raises(IndexError, match=r"no batch 3 \(there are 3\)"):
        NeighborSampler(data, [2], 50, seed=5)[3]


def test_repr(data):
    text = "NeighborSampler(num_neighbors=[2, -1], batch_size=7, num_seeds=120)"
    assert repr(NeighborSampler(data, [2, -1], 7)) == text
