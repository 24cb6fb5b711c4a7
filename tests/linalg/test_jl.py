"""Random projections: unbiased, with the predicted error, bit-identical everywhere."""

import math

import pytest
import torch

from gsparse.data import barbell, complete, cycle, lollipop, path, random_graph, star
from gsparse.edges import undirected_pairs
from gsparse.linalg import PCG, jl_resistance


def pairs_of(data):
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    return row, col, n


def dense_resistance(row, col, weight, num_nodes):
    """The definition, with a dense pseudo-inverse."""
    w = torch.ones(len(row), dtype=torch.float64) if weight is None else weight.double()
    L = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    L[row, col] = L[col, row] = -w
    L -= torch.diag(L.sum(1))
    Z = torch.linalg.pinv(L, hermitian=True)
    return Z.diagonal()[row] + Z.diagonal()[col] - 2 * Z[row, col]


def random_weight(num_pairs, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_pairs, generator=generator, dtype=torch.float64) * 4 + 0.2


#: Nothing but sampling: no elimination, no pair solved by itself.
TIGHT = {"solver": PCG(rtol=1e-5), "max_degree": 0, "tolerance": 10.0}


@pytest.mark.parametrize("weighted", [False, True])
def test_mean_over_seeds_is_the_resistance(weighted):
    """Unbiased: 100 seeds of 8 columns agree within five standard errors."""
    row, col, n = pairs_of(random_graph(num_nodes=40, p=0.2, seed=58379))
    weight = random_weight(len(row), 27127) if weighted else None
    expected = dense_resistance(row, col, weight, n)
    draws = torch.stack(
        [
            jl_resistance(row, col, weight, n, num_columns=8, seed=seed, **TIGHT)[0]
            for seed in range(91_000, 91_100)
        ]
    )
    error = draws.std(dim=0) / math.sqrt(len(draws))
    assert ((draws.mean(dim=0) - expected).abs() <= 5 * error + 1e-4 * expected).all()


def test_predicted_error_is_the_measured_one():
    row, col, n = pairs_of(random_graph(num_nodes=400, p=0.05, seed=66029))
    expected = dense_resistance(row, col, None, n)
    for columns in (16, 64):
        estimate = jl_resistance(row, col, None, n, num_columns=columns, **TIGHT)
        measured = (estimate.resistance / expected - 1).square().mean().sqrt().item()
        assert measured == pytest.approx(estimate.error, rel=0.15)


def test_few_columns_say_how_far_off_they_are():
    """Over 60 seeds of 8 columns, where 2 / k and 2 / (k + 2) are 25 % apart."""
    row, col, n = pairs_of(random_graph(num_nodes=60, p=0.15, seed=58380))
    expected = dense_resistance(row, col, None, n)
    runs = [
        jl_resistance(row, col, None, n, num_columns=8, seed=seed, **TIGHT)
        for seed in range(91_200, 91_260)
    ]
    predicted = torch.tensor([run.error**2 for run in runs]).mean()
    measured = torch.stack([(run.resistance / expected - 1).square() for run in runs])
    assert measured.mean().item() == pytest.approx(predicted.item(), rel=0.1)


@pytest.mark.parametrize("tolerance", [0.05, 0.01])
def test_tolerance_is_met(tolerance):
    row, col, n = pairs_of(random_graph(num_nodes=300, p=0.08, seed=11519))
    expected = dense_resistance(row, col, None, n)
    estimate = jl_resistance(row, col, None, n, tolerance=tolerance, seed=50951)
    measured = (estimate.resistance / expected - 1).square().mean().sqrt()
    assert measured <= 1.2 * tolerance


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("max_degree", [0, 16])
@pytest.mark.parametrize("p", [0.02, 0.1, 0.3])
def test_foster_before_clipping(p, max_degree, weighted):
    data = random_graph(num_nodes=250, p=p, seed=73999)
    row, col, n = pairs_of(data)
    weight = random_weight(len(row), 40357) if weighted else None
    settings = {"num_columns": 64, "max_degree": max_degree, "seed": 29851}
    estimate = jl_resistance(row, col, weight, n, **settings)
    assert estimate.foster == pytest.approx(1, abs=0.02)
    assert 0 <= estimate.clipped < 0.01


def test_columns_grow_with_the_square_of_the_error_to_be_lost():
    """16 * 2.4 ** 2 = 92.2 columns, and so 96, for an error 2.4 times smaller."""
    row, col, n = pairs_of(random_graph(num_nodes=300, p=0.3, seed=11520))
    settings = {"max_degree": 0, "seed": 50952, "solver": PCG(rtol=1e-9)}
    first = jl_resistance(row, col, None, n, num_columns=16, **settings)
    found = jl_resistance(row, col, None, n, tolerance=first.error / 2.4, **settings)
    assert (first.num_columns, found.num_columns) == (16, 96)


def test_foster_counts_the_components():
    """30 cliques of 5 nodes: w R sums to 150 - 30."""
    first, second = torch.combinations(torch.arange(5)).t()
    shift = 5 * torch.arange(30).repeat_interleave(10)
    row, col = first.repeat(30) + shift, second.repeat(30) + shift
    settings = {"num_columns": 64, "max_degree": 0, "seed": 29852}
    estimate = jl_resistance(row, col, None, 150, **settings)
    assert estimate.foster == pytest.approx(1, abs=0.05)


def test_never_below_the_grounded_value_nor_above_one_over_w():
    row, col, n = pairs_of(cycle(90))
    w = random_weight(len(row), 92317)
    estimate = jl_resistance(row, col, w, n, num_columns=8, seed=18521, **TIGHT)
    deg = (
        torch.zeros(n, dtype=torch.float64).index_add_(0, row, w).index_add_(0, col, w)
    )
    low = (deg[row] + deg[col] - 2 * w) / (deg[row] * deg[col] - w * w)
    assert (estimate.resistance >= (1 - 1e-12) * low).all()
    assert (estimate.resistance <= 1 / w).all()
    assert 0.2 < estimate.clipped < 0.8  # the truth is close to the upper end


@pytest.mark.parametrize("max_degree", [0, 16])
@pytest.mark.parametrize("data", [star(9), path(40), barbell(20), lollipop(20, 15)])
def test_bridges_are_exact(data, max_degree):
    row, col, n = pairs_of(data)
    w = random_weight(len(row), 86729)
    expected = dense_resistance(row, col, w, n)
    bridge = (expected * w - 1).abs() < 1e-9
    assert bridge.any()
    estimate = jl_resistance(row, col, w, n, max_degree=max_degree, seed=44189)
    assert estimate.resistance[bridge].equal((1 / w)[bridge])


def test_a_clique_is_nearly_known_from_its_degrees():
    row, col, n = pairs_of(complete(150))
    estimate = jl_resistance(row, col, None, n, seed=70489)
    assert (estimate.resistance * n / 2 - 1).abs().max() < 2e-3


def test_weakly_attached_corner_is_solved():
    """Two cliques joined by two edges: slow to sample, so these pairs are solved."""
    row, col, n = pairs_of(barbell(30))
    row, col = (
        torch.cat([row, row.new_tensor([0])]),
        torch.cat([col, col.new_tensor([59])]),
    )
    order = (row * n + col).argsort()
    row, col = row[order], col[order]
    expected = dense_resistance(row, col, None, n)
    estimate = jl_resistance(row, col, None, n, max_degree=0, seed=26993)
    assert (estimate.resistance - expected).abs().max() < 0.02


def test_same_bits_for_any_thread_count():
    row, col, n = pairs_of(random_graph(num_nodes=2500, p=0.02, seed=99023))
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            estimate = jl_resistance(row, col, None, n, seed=15061)
            results.append(estimate.resistance)
    finally:
        torch.set_num_threads(before)
    assert results[0].equal(results[1])


def test_seeds_differ_and_repeat():
    row, col, n = pairs_of(random_graph(num_nodes=100, p=0.2, seed=61403))
    first, again, other = (
        jl_resistance(row, col, None, n, seed=seed).resistance for seed in (5, 5, 6)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_unconverged_solve_says_what_to_do():
    row, col, n = pairs_of(random_graph(num_nodes=100, p=0.2, seed=61403))
    solver = PCG(rtol=1e-6, max_iter=2)
    with pytest.raises(
        RuntimeError, match=r"1e-06 .* after 2 iterations; .*method=.exact"
    ):
        jl_resistance(row, col, None, n, solver=solver)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": 0.0}, r"'tolerance' must be positive \(got 0.0\)"),
        ({"num_columns": 0}, r"'num_columns' must be at least 1 \(got 0\)"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    row, col, n = pairs_of(star(3))
    with pytest.raises(ValueError, match=message):
        jl_resistance(row, col, None, n, **settings)
