"""Low-rank layers with shared factors, and the nearest matrix of a rank."""

import copy

import pytest
import torch
from torch.nn.functional import linear

from gsparse.train import sparse_features
from gsparse.train.incremental.low_rank import Factors, LowRankLinear, truncated_svd


def generator(seed):
    return torch.Generator().manual_seed(seed)


def random_layer(n, m, ranks, seed, bias=None):
    torch.manual_seed(seed)
    factors = Factors(n, m)
    for rank in ranks:
        factors.append(rank, torch.empty(0), generator(seed + rank))
    layer = LowRankLinear(factors, len(ranks) - 1, bias)
    torch.nn.init.normal_(layer.s)
    return layer


class TestTruncatedSvd:
    @pytest.mark.parametrize(("m", "n", "rank"), [(6, 9, 2), (9, 6, 5), (4, 4, 4)])
    def test_squared_error_is_the_tail_of_the_singular_values(self, m, n, rank):
        weight = torch.randn(m, n, generator=generator(50213), dtype=torch.float64)
        u, s, v = truncated_svd(weight, rank)
        error = (weight - (u * s) @ v.t()).square().sum()
        tail = torch.linalg.svdvals(weight)[rank:].square().sum()
        torch.testing.assert_close(error, tail, atol=1e-12, rtol=1e-9)

    def test_no_other_matrix_of_the_rank_is_nearer(self):
        weight = torch.randn(7, 5, generator=generator(18077))
        u, s, v = truncated_svd(weight, 2)
        ours = (weight - (u * s) @ v.t()).norm()
        for seed in range(71, 81):
            left = torch.randn(7, 2, generator=generator(seed))
            best = left @ torch.linalg.lstsq(left, weight).solution
            assert ours <= (weight - best).norm()

    @pytest.mark.parametrize("rank", [0, 4])
    def test_refuses_a_rank_out_of_range(self, rank):
        with pytest.raises(ValueError, match=rf"smaller side.*, 3 \(got {rank}\)"):
            truncated_svd(torch.ones(3, 5), rank)


class TestFactors:
    def test_blocks_are_orthonormal_and_never_wider_than_a_side(self):
        factors = Factors(10, 3)
        factors.append(5, torch.empty(0), generator(40993))
        factors.append(2, torch.empty(0), generator(40994))
        u, v = factors.upto(1)
        assert (u.shape, v.shape) == ((3, 5), (10, 5))
        assert (factors.rank(-1), factors.rank(0), factors.rank(1)) == (0, 3, 5)
        for block in (*factors.u, *factors.v):
            torch.testing.assert_close(block.t() @ block, torch.eye(block.size(1)))

    def test_dtype_follows(self):
        factors = Factors(4, 4)
        factors.append(2, torch.empty(0, dtype=torch.float64), generator(1))
        assert factors.u[0].dtype == torch.float64


class TestLowRankLinear:
    @pytest.mark.parametrize("ranks", [[1], [2, 1], [6, 6]])
    def test_is_the_linear_map_of_its_weight(self, ranks):
        layer = random_layer(8, 6, ranks, 29401, torch.ones(6))
        x = torch.randn(5, 8)
        u, v = layer.factors.upto(layer.task)
        weight = u @ torch.diag(layer.s) @ v.t()
        torch.testing.assert_close(layer.weight, weight)
        torch.testing.assert_close(layer(x), linear(x, weight, layer.bias))
        torch.testing.assert_close(layer.product(x), linear(x, weight))

    @pytest.mark.parametrize("ranks", [[2], [4, 4]])
    def test_sparse_features_give_the_same_values_and_gradients(self, ranks):
        layer = random_layer(20, 5, ranks, 61027)
        x = torch.randn(9, 20) * (torch.rand(9, 20) < 0.1)
        found = []
        for features in (x, sparse_features(x)):
            layer.factors.zero_grad()
            out = layer(features)
            out.square().sum().backward()
            found.append((out, layer.factors.v[0].grad.clone()))
        torch.testing.assert_close(found[0], found[1])

    def test_rank_is_at_most_the_number_of_columns(self):
        layer = random_layer(12, 10, [2, 1], 90239)
        assert torch.linalg.matrix_rank(layer.weight) == 3

    def test_factors_are_not_its_own_and_copies_share_them_when_told(self):
        layer = random_layer(4, 3, [2], 10501, torch.zeros(3))
        assert [name for name, _ in layer.named_parameters()] == ["s", "bias"]
        apart = copy.deepcopy(layer)
        assert apart.factors is not layer.factors
        together = copy.deepcopy(layer, {id(layer.factors): layer.factors})
        assert together.factors is layer.factors

    def test_a_task_begins_as_the_one_before_or_with_its_columns_alone(self):
        layer = random_layer(7, 6, [3], 33521)
        before = layer.weight.detach().clone()
        layer.factors.append(2, torch.empty(0), generator(8821))
        layer.begin(1, as_before=True)
        torch.testing.assert_close(layer.weight, before)
        layer.begin(1, as_before=False)
        assert layer.s.tolist() == [0, 0, 0, 1, 1]
        u, v = layer.factors.u[1], layer.factors.v[1]
        torch.testing.assert_close(layer.weight, u @ v.t())

    def test_the_largest_rank_represents_any_weight(self):
        weight = torch.randn(4, 9, generator=generator(77041))
        layer = random_layer(9, 4, [4], 77041)
        layer.approximate(weight)
        torch.testing.assert_close(layer.weight, weight)
