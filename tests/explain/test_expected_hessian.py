"""Interactions of known functions: order, intervals, and refusals."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import Module, Sequential
from torch_geometric import nn as pyg_nn
from torch_geometric.data import Data

from gsparse.bench.papers.interactions import planted_graph
from gsparse.data import karate
from gsparse.explain import BayesianGCN, BayesianMLP, interactions, saliency
from gsparse.explain.expected_hessian import expected_hessian
from gsparse.nn import accelerate
from gsparse.train import FitConfig, fit
from gsparse.train.models import GAT, GCN, MLP


class Function(Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(*x.unbind(1))


class Pairwise(Module):
    """Sum of w_ij x_i x_j over the pairs."""

    def __init__(self, w, f):
        super().__init__()
        self.w, self.upper = w, torch.triu_indices(f, f, 1)

    def forward(self, x):
        return (x[:, self.upper[0]] * x[:, self.upper[1]]) @ self.w


def sample(seed, n=60, f=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n // 2, f, generator=generator, dtype=torch.float64)
    return Data(x=torch.cat([x, -x]))  # symmetric


def scores(function, groups, data, **options):
    return interactions(Function(function), data, groups=groups, seed=3, **options)


def club(f=5):
    data = karate()
    generator = torch.Generator().manual_seed(64217)
    data.x = torch.randn(34, f, generator=generator)
    return data


# Definitions


@pytest.mark.parametrize("groups", [1, 4, "each"])
def test_a_product_is_the_only_interaction(groups):
    def function(a, b, c):
        return a * b + c.sin()

    found = scores(function, groups, sample(52711))
    expected = torch.zeros(3, 3, dtype=torch.float64)
    expected[0, 1] = expected[1, 0] = 1
    torch.testing.assert_close(found.matrix(), expected)
    assert found.pairs(1) == [(0, 1)]
    assert found.units(1).tolist() == [True, True, False]


@pytest.mark.parametrize("groups", [1, 4, "each"])
def test_an_additive_function_has_none(groups):
    found = scores(lambda a, b, c: a.sin() + b**3 + c.exp(), groups, sample(52712))
    assert found.mean.abs().max() == 0


def test_a_linear_function_has_none():
    assert scores(lambda a, b, c: a - 2 * b, 2, sample(52713)).mean.tolist() == [0] * 3


def test_groups_find_what_changes_its_sign():
    """The case that groups exist for: h_12 = 2 x_1 averages to 0."""
    data = sample(52714, n=400)

    def function(a, b, c):
        return a**2 * b + 0 * c

    by_sign = (data.x[:, 0] > 0).long()
    alone, two, each = (
        scores(function, groups, data).mean[0] for groups in (1, by_sign, "each")
    )
    truth = (2 * data.x[:, 0]).abs().mean()
    assert alone < 1e-12
    assert two == pytest.approx(float(truth))
    assert each == pytest.approx(float(truth))


def test_a_group_counts_by_its_share_of_the_nodes():
    """By hand: h_12 = 2 x_1, in groups of 1, 2 and 5 nodes where x_1 averages to
    -3, 1 and 2."""
    first = torch.tensor([-3.0, 0.0, 2.0, 4.0, 1.0, 1.0, 3.0, 1.0]).double()
    data = Data(x=torch.stack([first, torch.linspace(-1, 1, 8).double()], 1))
    group = torch.tensor([0, 1, 1, 2, 2, 2, 2, 2])

    def function(a, b):
        return a**2 * b

    found = scores(function, group, data).mean
    assert found.tolist() == pytest.approx([(1 * 6 + 2 * 2 + 5 * 4) / 8])
    some = torch.arange(8) != 3  # the third group has four nodes, 1.5 on average
    expected = [(1 * 6 + 2 * 2 + 4 * 3) / 7]
    for groups, nodes in ((group, some), (torch.where(some, group, -1), None)):
        found = scores(function, groups, data, nodes=nodes).mean
        assert found.tolist() == pytest.approx(expected)


def test_the_score_of_one_network_is_a_weighted_sum_of_absolute_values():
    """With two readouts, whose absolute values are averaged."""
    generator = torch.Generator().manual_seed(52723)
    hessians = torch.randn(3, 2, 4, 4, generator=generator)
    shares = torch.tensor([0.2, 0.7, 0.1])
    expected = [
        [
            sum(
                float(shares[m]) * abs(float(hessians[m, r, i, j])) / 2
                for m in range(3)
                for r in range(2)
            )
            for j in range(4)
        ]
        for i in range(4)
    ]
    found = expected_hessian(iter(hessians), shares)
    torch.testing.assert_close(found, torch.tensor(expected))


def test_finer_groups_never_score_lower():
    data = sample(52715, n=48, f=4)
    torch.manual_seed(81023)
    model = Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    coarse = torch.arange(48) % 2
    fine = torch.arange(48) % 6  # splits the groups of coarse
    found = [
        interactions(model, data, groups=groups, seed=3).mean
        for groups in (1, coarse, fine, "each")
    ]
    for less, more in pairwise(found):
        assert (less <= more + 1e-12).all()
        assert (less < more - 1e-6).any()


def test_numbers_of_groups_mean_nothing():
    data = sample(52716, f=4)
    torch.manual_seed(81024)
    model = Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    group = torch.randint(5, (60,), generator=torch.Generator().manual_seed(77120))
    other = torch.tensor([40, 7, 0, 12, 3])[group]
    first, second = (interactions(model, data, groups=g).mean for g in (group, other))
    torch.testing.assert_close(first, second)


def test_nodes_left_out_do_not_count():
    data = sample(52717)
    nodes = data.x[:, 0] > 0

    def function(a, b, c):
        return a**2 * b + 0 * c

    found = scores(function, 1, data, nodes=nodes).mean[0]
    assert found == pytest.approx(float(2 * data.x[nodes, 0].mean()))
    negative = torch.where(nodes, 0, -1)
    assert scores(function, negative, data).mean[0] == pytest.approx(float(found))


def test_several_outputs_are_averaged_and_two_are_a_difference():
    data = sample(52718)

    def three(a, b, c):
        return torch.stack([3 * a * b, 0 * a, 0 * a], 1)

    def two(a, b, c):
        return torch.stack([a * b, 3 * a * b], 1)

    # 3 ab less its mean ab, and -ab twice: (2 + 1 + 1) / 3.
    assert scores(three, 1, data).mean[0] == pytest.approx(4 / 3)
    assert scores(three, 1, data, output=0).mean[0] == pytest.approx(3)
    assert scores(three, 1, data, output=1).mean[0] == 0
    assert scores(two, 1, data).mean[0] == pytest.approx(2)


def test_absolute_values_are_taken_within_each_draw():
    """Draws of opposite sign do not cancel."""
    data = sample(52719)
    models = [Function(lambda a, b, c, s=s: s * a * b + 0 * c) for s in (2, -2)]
    found = interactions(models, data, groups=1)
    assert found.draws[:, 0].tolist() == pytest.approx([2, 2])


def test_the_shift_on_a_graph_reaches_every_node():
    """x_u1 times the sum of all x_v2: the Hessian of a common shift has both."""

    class Far(Module):
        def forward(self, x, edge_index):
            return x[:, 0] * x[:, 1].sum()

    data = club(2)
    data.x = data.x.double()
    found = interactions(Far(), data, groups=1)
    assert found.mean[0] == pytest.approx(34)


# Candidates and saliency


def test_saliency_is_the_mean_absolute_gradient():
    data = sample(52720)
    found = saliency(Function(lambda a, b, c: a * b + 2 * c), data)
    expected = [data.x[:, 1].abs().mean(), data.x[:, 0].abs().mean(), 2.0]
    assert found.tolist() == pytest.approx([float(value) for value in expected])


def test_saliency_is_averaged_over_outputs_and_draws():
    data = sample(52724)

    def three(a, b, c):
        return torch.stack([3 * a + b, 0 * a, 0 * c], 1)

    # Less their mean the outputs have slopes 2, -1, -1 and a third of that.
    found = saliency(Function(three), data)
    assert found.tolist() == pytest.approx([4 / 3, 4 / 9, 0.0])
    assert saliency(Function(three), data, output=0).tolist() == [3.0, 1.0, 0.0]
    models = [Function(lambda a, b, c, s=s: s * a + b + 0 * c) for s in (1, -5)]
    assert saliency(models, data).tolist() == pytest.approx([3.0, 1.0, 0.0])


def test_saliency_counts_every_node_as_an_input_and_the_chosen_as_outputs():
    """Of 4 nodes the first 2 are looked at; each passes its feature to the third."""

    class Sums(Module):
        def forward(self, x, edge_index):
            return torch.zeros_like(x).index_add(0, edge_index[1], x[edge_index[0]])

    x = torch.ones(4, 1, dtype=torch.float64)
    data = Data(x=x, edge_index=torch.tensor([[0, 1, 2, 3], [2, 2, 0, 3]]))
    nodes = torch.tensor([True, True, False, False])
    assert saliency(Sums(), data).tolist() == [1.0]
    assert saliency(Sums(), data, nodes=nodes).tolist() == [0.25]


def test_candidates_by_saliency_find_a_product_of_symmetric_features():
    data = sample(52721, f=6)

    def function(a, b, c, d, e, f):
        return a * e + 0.1 * (b + c + d + f)

    found = scores(function, 2, data, candidates=2)
    assert found.pairs(1) == [(0, 4)]
    assert found.num_units == 6
    some = scores(function, 2, data, candidates=[4, 1, 0])
    assert list(zip(some.i.tolist(), some.j.tolist(), strict=True)) == [
        (0, 1),
        (0, 4),
        (1, 4),
    ]
    assert some.mean[1] == pytest.approx(1)


def test_hidden_units_interact_behind_a_layer():
    data = sample(52722, f=4)
    torch.manual_seed(81025)
    model = Sequential(
        nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1)
    ).double()
    hidden = Data(x=model[1](model[0](data.x)).detach())
    group = torch.arange(60) % 3
    found = interactions(model, data, groups=group, layer="2")
    expected = interactions(model[2:], hidden, groups=group)
    torch.testing.assert_close(found.mean, expected.mean)
    assert interactions(model, data, groups=group, layer="4").mean.tolist() == [0] * 10


# Uncertainty


def test_intervals_cover_the_truth():
    """An exact Gaussian posterior of w in sum w_ij x_i x_j, true w from the prior.

    The interval between order statistics of S draws covers a further draw with
    probability 0.9 (S - 1) / (S + 1), and the truth is one.
    """
    f, num, runs = 5, 40, 20
    generator = torch.Generator().manual_seed(90217)
    upper = torch.triu_indices(f, f, 1)
    covered = []
    for _ in range(runs):
        x = torch.randn(40, f, generator=generator, dtype=torch.float64)
        design = x[:, upper[0]] * x[:, upper[1]]
        w = torch.randn(10, generator=generator, dtype=torch.float64)
        noise = 3 * torch.randn(40, generator=generator, dtype=torch.float64)
        precision = design.t() @ design / 9 + torch.eye(10, dtype=torch.float64)
        covariance = precision.inverse()
        mean = covariance @ design.t() @ (design @ w + noise) / 9
        root = torch.linalg.cholesky(covariance)
        z = torch.randn(10, num, generator=generator, dtype=torch.float64)
        posterior = (mean.unsqueeze(1) + root @ z).t()
        models = [Pairwise(draw, f) for draw in posterior]
        found = interactions(models, Data(x=x[:2]), groups=1)
        torch.testing.assert_close(found.draws, posterior.abs())
        covered += ((found.low <= w.abs()) & (w.abs() <= found.high)).tolist()
    share = sum(covered) / len(covered)
    expected = 0.9 * (num - 1) / (num + 1)
    error = (expected * (1 - expected) / len(covered)) ** 0.5
    assert abs(share - expected) < 4 * error


@pytest.mark.parametrize("seed", [48391, 20717])
def test_the_planted_pair_of_aggregated_features_is_first(seed):
    data = planted_graph(seed, num_nodes=600, num_features=8)
    torch.manual_seed(seed)
    model = BayesianGCN(8, 16, 2, num_train=int(data.train_mask.sum()))
    config = FitConfig(lr=0.02, weight_decay=0.0, epochs=100, patience=100)
    fit(model, data, config=config, seed=seed)
    assert interactions(model, data, draws=10, seed=seed).rank(0, 1) == 1


def test_the_same_seed_gives_the_same_scores():
    data = club()
    torch.manual_seed(81026)
    model = BayesianGCN(5, 6, 2, num_train=34)
    first, second, other = (
        interactions(model, data, draws=3, groups=2, seed=seed) for seed in (7, 7, 8)
    )
    assert torch.equal(first.draws, second.draws)
    assert not torch.equal(first.draws, other.draws)
    assert model.training
    assert model.layers[1].lin.drop.fixed is None


def test_progress_is_told():
    told = []
    data = club()
    model = BayesianGCN(5, 6, 2, num_train=34)
    interactions(
        model, data, draws=2, groups=3, seed=5, progress=lambda *call: told.append(call)
    )
    assert told == [(k, 6) for k in range(1, 7)]


def test_sparse_features_score_as_dense_ones():
    data, sparse = club(), club()
    data.x = sparse.x = data.x.relu()
    sparse.x = data.x.to_sparse_csr()
    model = BayesianGCN(5, 6, 2, num_train=34)
    dense, other = (interactions(model, d, draws=2, seed=5) for d in (data, sparse))
    torch.testing.assert_close(dense.draws, other.draws)


# Refusals


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)), "Relu"),
        (MLP(3, 4, 2), "Relu"),
        (Sequential(nn.Linear(3, 4), nn.LeakyReLU(), nn.Linear(4, 1)), "LeakyRelu"),
        (Sequential(nn.Linear(3, 4), nn.Hardtanh(), nn.Linear(4, 1)), "Hardtanh"),
        (Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Tanh()), "Relu"),
    ],
)
def test_relu_is_refused_by_name(model, name):
    data = Data(x=torch.randn(4, 3))
    if isinstance(model, MLP):
        data.edge_index = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=rf"'model' must have smooth.*\(got {name}"):
        interactions(model, data, groups=1)


def test_gcns_with_relu_are_refused():
    for model in (pyg_nn.GCN(5, 4, 2, 2), GCN(5, 4, 2)):
        with pytest.raises(ValueError, match="got Relu"):
            interactions(model, club(), groups=1)
    smooth = pyg_nn.GCN(5, 4, 2, 2, act="tanh")
    assert interactions(smooth, club(), groups=1).mean.min() > 0


def test_fused_attention_gives_way_to_the_reference():
    torch.manual_seed(81027)
    model = GAT(5, 4, 2, heads=2)
    reference = GAT(5, 4, 2, heads=2, attention="reference")
    reference.load_state_dict(model.state_dict())
    found = interactions(reference, club(), groups=1)
    assert found.mean.min() > 0
    for same in (model, accelerate(model, attention="reference")):
        again = interactions(same, club(), groups=1)
        torch.testing.assert_close(found.mean, again.mean)


def test_every_node_alone_is_for_small_data_only():
    data = Data(x=torch.zeros(6000, 20))
    model = BayesianMLP(20, 4, 1, num_train=5)
    with pytest.raises(ValueError, match="6,000 nodes x 20 units = 120,000 rows"):
        interactions(model, data, groups="each")
    few = torch.arange(6000) < 50
    assert interactions(model, data, groups="each", nodes=few, draws=1).score == "EAH"


def test_too_many_units_need_candidates():
    data = Data(x=torch.zeros(3, 3000))
    model = BayesianMLP(3000, 4, 1, num_train=5)
    with pytest.raises(ValueError, match=r"got 3000 units.*candidates=500"):
        interactions(model, data, groups=1)
    assert len(interactions(model, data, groups=1, candidates=4, draws=1)) == 6


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"draws": 5}, "'draws' needs a model with a posterior"),
        ({"candidates": 1}, r"'candidates' must be in \[2, 3\]"),
        ({"candidates": [0, 7]}, "'candidates' must be at least 2 units"),
        ({"output": 4}, r"'output' must be in \[0, 2\)"),
        ({"layer": "nine"}, "'layer' must be one of 0, 1, 2"),
        ({"groups": 99}, r"'groups' must be in \[1, 4\]"),
        ({"groups": torch.zeros(3).long()}, "'groups' must hold one number per node"),
        ({"nodes": torch.ones(4)}, "'nodes' must be a bool vector of length 4"),
        ({"nodes": torch.zeros(4).bool()}, "must include a node"),
        ({"names": ["a"]}, "'names' must name all 3 units"),
        ({"level": 1.0}, r"'level' must be in \(0, 1\)"),
    ],
)
def test_what_is_refused(options, match):
    model = Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=match):
        interactions(model, Data(x=torch.randn(4, 3)), **{"groups": 1, **options})


def test_refused_types_and_inputs():
    model = nn.Linear(3, 2)
    with pytest.raises(TypeError, match="'groups' must be a number, 'each'"):
        interactions(model, Data(x=torch.randn(4, 3)), groups="all")
    with pytest.raises(ValueError, match=r"'data.x' must be a float matrix"):
        interactions(model, Data(x=torch.ones(4, 3).long()))
    with pytest.raises(ValueError, match="'model' not be empty"):
        interactions([], Data(x=torch.randn(4, 3)))
