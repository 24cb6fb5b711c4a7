"""Parts of a graph, and batches of them."""

import numpy as np
import pytest
import torch

from gsparse.data import (
    ClusterSampler,
    barbell,
    chung_lu,
    convert_graph,
    partition_nodes,
    planted_partition,
    random_graph,
)
from gsparse.data.neighbor_lists import neighbor_lists, random_key
from gsparse.data.partition import _move, _propagate
from tests.data.folders.messy import messy_graph


def inside(data, parts):
    """Return the fraction of the edges whose ends are in one part."""
    row, col = data.edge_index
    return (parts[row] == parts[col]).float().mean().item()


class TestPartition:
    @pytest.mark.parametrize("num_parts", [1, 2, 7, 60])
    def test_parts_have_similar_sizes(self, num_parts):
        data = messy_graph(20011)
        for rounds in (0, 1, 5):
            parts = partition_nodes(data, num_parts, num_rounds=rounds, seed=3)
            count = parts.bincount()
            assert count.numel() == num_parts
            slack = 0.1 * (60 // num_parts) if rounds else 0
            assert count.max() <= max(-(-60 // num_parts), 60 // num_parts + slack)
            assert count.min() >= 60 // num_parts - slack

    def test_planted_groups_are_found(self):
        """Shuffled ids: consecutive nodes would keep one edge of ten."""
        data = planted_partition(1000, 10, seed=40123)
        order = torch.randperm(1000, generator=torch.Generator().manual_seed(61))
        data.edge_index = order[data.edge_index]
        none = partition_nodes(data, 10, num_rounds=0)
        found = partition_nodes(data, 10, seed=3)
        assert inside(data, none) < 0.15
        assert inside(data, found) > 0.75  # of 0.78 within planted groups

    def test_blocks_are_read_from_memory_and_disk(self, tmp_path, monkeypatch):
        data = chung_lu(200, 900, exponent=2.5, seed=7)
        folder = convert_graph(data, tmp_path / "g")
        monkeypatch.setattr("gsparse.data.partition.BLOCK", 100)
        parts = partition_nodes(folder, 8, seed=5)
        assert parts.equal(partition_nodes(data, 8, seed=5))
        draw = torch.Generator().manual_seed(811)
        order = torch.randperm(data.num_edges, generator=draw)
        data.edge_index = data.edge_index[:, order]
        assert parts.equal(partition_nodes(data, 8, seed=5))
        assert not parts.equal(partition_nodes(data, 8, seed=6))

    def test_labels_fill_up_to_their_bound(self):
        lists = neighbor_lists(barbell(16))
        label = np.arange(32)
        _propagate(lists, label, (0, 5), 6, random_key(11))
        assert np.bincount(label).max() == 5

    def test_sizes_follow_the_labels(self):
        label, size = np.arange(6), np.ones(6, np.int64)
        wishes = np.arange(4), np.full(4, 5), np.array([1, 3, 1, 2])
        _move(label, size, (0, 3), *wishes)
        assert label.tolist() == [0, 5, 2, 5, 4, 5]
        assert np.bincount(label, minlength=6).tolist() == size.tolist()
        _move(label, size, (3, 9), np.array([1]), np.array([2]), np.ones(1, np.int64))
        assert label[1] == 5  # three nodes must stay
        _move(label, size, (2, 9), np.array([1]), np.array([2]), np.ones(1, np.int64))
        assert label[1] == 2
        assert np.bincount(label, minlength=6).tolist() == size.tolist()

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"num_parts": 0}, r"between 1 and the 8 nodes \(got 0\)"),
            ({"num_parts": 9}, r"between 1 and the 8 nodes \(got 9\)"),
            ({"num_parts": 2, "num_rounds": -1}, r"not be negative \(got -1\)"),
        ],
    )
    def test_refusals(self, options, text):
        with pytest.raises(ValueError, match=text):
            partition_nodes(barbell(4), **options)


class TestBatches:
    @pytest.fixture
    def data(self):
        data = random_graph(num_nodes=60, p=0.1, seed=9377)
        data.x = torch.rand(60, 3)
        data.y = torch.arange(60)
        data.edge_weight = torch.arange(data.num_edges).float()
        return data

    @pytest.mark.parametrize("batch_size", [1, 3, 7])
    def test_a_batch_is_an_induced_subgraph(self, data, batch_size):
        parts = torch.arange(60) % 7
        sampler = ClusterSampler(data, parts, batch_size, seed=431)
        assert sampler.num_parts == 7
        batches = [*sampler]
        assert len(batches) == len(sampler) == -(-7 // batch_size)
        nodes = torch.cat([it.n_id for it in batches])
        assert nodes.sort().values.equal(torch.arange(60))
        for batch in batches:
            chosen = torch.zeros(60, dtype=torch.bool)
            chosen[batch.n_id] = True
            assert parts[batch.n_id].unique().numel() <= batch_size
            expected = data.subgraph(chosen)
            edges = batch.n_id[batch.edge_index]
            assert edges.equal(data.edge_index[:, batch.e_id])
            assert batch.e_id.sort().values.equal(
                chosen[data.edge_index].all(dim=0).nonzero().view(-1)
            )
            assert batch.x.equal(expected.x)
            assert batch.y.equal(batch.n_id)
            assert batch.edge_weight.equal(batch.e_id.float())
            assert batch.is_undirected()

    def test_folder_and_memory_have_the_same_bits(self, tmp_path):
        folder = convert_graph(messy_graph(4481, weighted=True), tmp_path / "g")
        x = torch.rand(60, 4)
        pairs = zip(
            ClusterSampler(folder, 6, 2, seed=7, x=x.numpy()),
            ClusterSampler(folder.data(), 6, 2, seed=7, x=x),
            strict=True,
        )
        for one, two in pairs:
            assert two.edge_weight.numel() == two.e_id.numel() > 0
            del two.e_id
            assert one.keys() == two.keys()
            for key, value in one.to_dict().items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(two[key]))

    def test_epochs_differ_and_can_be_repeated(self, data):
        sampler = ClusterSampler(data, 12, 2, seed=7)
        one, two = ([it.n_id.tolist() for it in sampler] for _ in range(2))
        assert one != two
        sampler.epoch = 0
        assert [it.n_id.tolist() for it in sampler] == one
        sampler.epoch = 1
        assert [sampler[i].n_id.tolist() for i in range(6)] == two
        fixed = ClusterSampler(data, torch.arange(60) // 5, 2, shuffle=False)
        assert next(iter(fixed)).n_id.tolist() == [*range(10)]

    def test_parts_join_with_the_edges_between_them(self):
        data = barbell(3)
        (batch,) = ClusterSampler(data, torch.arange(6) // 3, 2, seed=7)
        assert batch.num_edges == data.num_edges
        single = ClusterSampler(data, torch.arange(6) // 3, 1, seed=7)
        assert [it.num_edges for it in single] == [6, 6]

    @pytest.mark.parametrize(
        ("parts", "error", "text"),
        [
            (torch.arange(5), ValueError, r"one part per node, 6 .* \(got \[5\]\)"),
            (torch.arange(6) - 1, ValueError, "numbered from 0"),
            (torch.arange(6) * 2, ValueError, "numbered from 0, each with a node"),
            (torch.arange(6).float(), TypeError, r"\(got torch.float32\)"),
            (0, ValueError, r"between 1 and the 6 nodes \(got 0\)"),
        ],
    )
    def test_refusals(self, parts, error, text):
        with pytest.raises(error, match=text):
            ClusterSampler(barbell(3), parts)
        with pytest.raises(ValueError, match=r"'batch_size' must be positive"):
            ClusterSampler(barbell(3), 2, 0)
        with pytest.raises(IndexError, match=r"no batch 2 \(there are 2\)"):
            ClusterSampler(barbell(3), 2)[2]
