"""Models, masks and transforms on sampled parts of a graph."""

from copy import deepcopy

import pytest
import torch
from torch_geometric.nn import GAT, GCN

from gsparse.data import ClusterSampler, NeighborSampler, chung_lu
from gsparse.nn import FastGAT, KEdge, accelerate
from gsparse.transforms import EffectiveResistance


@pytest.fixture(scope="module")
def data():
    data = chung_lu(150, 900, exponent=2.5, seed=18181)
    data.x = torch.randn(150, 6, generator=torch.Generator().manual_seed(2203))
    return data


def samplers(data):
    return [
        NeighborSampler(data, [4, 3], 40, seed=77),
        ClusterSampler(data, 6, 2, seed=77),
    ]


def learned(data, **options):
    """Return a mask that keeps some edges and removes others."""
    mask = KEdge(GCN(6, 8, 2, 3), 6, seed=31, **options).eval()
    with torch.no_grad():  # as if fitted: log-odds depend on the features
        for it in mask.scorer.parameters():
            it.mul_(40.0).sub_(0.3)
        mask.scorer.bias.mul_(0.01)
    return mask


class TestKEdge:
    """A mask that is computed from features decides by the two ends of an edge."""

    def test_probabilities_of_a_batch_are_those_of_the_graph(self, data):
        mask = learned(data, sparsity=0.5)
        whole = mask.edge_probability(data)
        assert whole.std() > 0.1
        for batch in (it for sampler in samplers(data) for it in sampler):
            found = mask.edge_probability(batch)
            torch.testing.assert_close(found, whole[batch.e_id])

    def test_edges_with_a_penalty_are_those_of_the_graph(self, data):
        mask = learned(data, penalty=0.1)
        kept = torch.zeros(data.num_edges, dtype=torch.bool)
        kept[mask.sparsify(data).e_id] = True
        assert 0.1 < kept.float().mean() < 0.9
        for batch in (it for sampler in samplers(data) for it in sampler):
            assert {*mask.sparsify(batch).e_id.tolist()} == {
                *batch.e_id[kept[batch.e_id]].tolist()
            }

    def test_a_budget_is_that_of_each_batch(self, data):
        mask = learned(data, sparsity=0.5)
        for batch in ClusterSampler(data, 6, 2, seed=77):
            pairs = batch.num_edges // 2
            assert abs(mask.sparsify(batch).num_edges // 2 - pairs / 2) <= 0.5

    def test_terms_of_single_edges_are_refused(self, data):
        mask = KEdge(GCN(6, 8, 2, 3), 6, 0.5, edge_index=data.edge_index)
        batch = next(iter(ClusterSampler(data, 6, 2, seed=77)))
        with pytest.raises(ValueError, match="was made for the graph of its"):
            mask(batch.x, batch.edge_index)

    def test_the_graph_is_cut_once_and_sampled(self, data):
        mask = learned(data, sparsity=0.5)
        expected = mask(data.x, data.edge_index)
        cut = mask.sparsify(data)
        for batch in NeighborSampler(cut, [-1] * 3, 40, seed=77):
            out = mask.model(batch.x, batch.edge_index)[: batch.batch_size]
            seeds = batch.n_id[: batch.batch_size]
            torch.testing.assert_close(out, expected[seeds], rtol=1e-5, atol=1e-5)


class TestFastGAT:
    def test_batches_of_parts_are_cut_by_a_transform(self, data):
        transform = EffectiveResistance(sparsity=0.6, reweight=False, seed=5)
        model = GAT(6, 8, 2, 3, heads=2).eval()
        fast = FastGAT(model, sparsity=0.6, seed=5).eval()
        plain = ClusterSampler(data, 6, 2, seed=77)
        cut = ClusterSampler(data, 6, 2, seed=77, transform=transform)
        for whole, batch in zip(plain, cut, strict=True):
            pairs = whole.num_edges // 2
            assert batch.num_edges == 2 * (pairs - round(0.6 * pairs))
            edges = batch.n_id[batch.edge_index]
            assert edges.equal(data.edge_index[:, batch.e_id])
            out = fast(whole.x, whole.edge_index)
            expected = model(batch.x, batch.edge_index)
            torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)

    def test_the_graph_is_cut_once_and_sampled(self, data):
        model = GAT(6, 8, 2, 3, heads=2).eval()
        fast = FastGAT(model, sparsity=0.6, seed=5).eval()
        expected = fast(data.x, data.edge_index)
        for batch in NeighborSampler(fast.sparsify(data), [-1, -1], 40, seed=77):
            out = accelerate(model)(batch.x, batch.edge_index)[: batch.batch_size]
            seeds = batch.n_id[: batch.batch_size]
            torch.testing.assert_close(out, expected[seeds], rtol=1e-5, atol=1e-5)

    def test_a_transform_refuses_directed_batches(self, data):
        transform = EffectiveResistance(sparsity=0.5, seed=5)
        sampler = NeighborSampler(data, [2], 40, seed=77, transform=transform)
        with pytest.raises(ValueError, match="undirected"):
            next(iter(sampler))


def test_accelerated_models_run_on_batches(data):
    model = GAT(6, 8, 2, 3, heads=2)
    fast = accelerate(deepcopy(model))
    for batch in (it for sampler in samplers(data) for it in sampler):
        gradients = []
        for it in (model, fast):
            out = it(batch.x, batch.edge_index)
            gradients.append(torch.autograd.grad(out.square().sum(), it.parameters()))
        for one, two in zip(*gradients, strict=True):
            assert one.any()
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)
