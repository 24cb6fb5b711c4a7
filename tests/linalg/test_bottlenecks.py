"""Sampled resistances with bottlenecks: correct within the stated error."""

import logging

import pytest
import torch

from gsparse.bench.contests.planted_pairs import (
    joined,
    long_grid,
    ring_of_cliques,
    spread_weights,
    weak_cliques,
)
from gsparse.linalg import (
    Laplacian,
    exact_resistance,
    jl_resistance,
    pair_resistance,
)
from gsparse.linalg import jl as jl_module
from gsparse.linalg.certificates import (
    CertificateError,
    check_cuts,
    check_foster,
    check_trees,
)
from gsparse.linalg.flow_sampler import FlowSampler
from gsparse.linalg.pcg import PCG, jacobi
from gsparse.linalg.slow_directions import gram, probe, refine

SEEDS = range(40_100, 40_120)
FAMILIES = {
    "joined by 1": joined(300, 30, 1),
    "joined by 2": joined(300, 30, 2),
    "joined by 8": joined(300, 30, 8),
    "joined by 64": joined(300, 30, 64),
    "20 cliques of 30": ring_of_cliques(20, 30),
    "80 cliques of 18": ring_of_cliques(80, 18),
    "weak links of 1e-2": weak_cliques(1e-2, size=60),
    "weak links of 1e-4": weak_cliques(1e-4, size=60),
    "weak links of 1e-8": weak_cliques(1e-8, size=60),
    "grid": long_grid(60, 20),
    "weights of 0": spread_weights(0, zeros=0.2, num_nodes=150),
    "weights over 1e4": spread_weights(4, num_nodes=150),
    "weights over 1e12, some 0": spread_weights(12, zeros=0.2, num_nodes=150),
}


def rms(x):
    return x.square().mean().sqrt().item()


def degree_part(row, col, weight, num_nodes):
    w = torch.ones(len(row), dtype=torch.float64) if weight is None else weight
    strength = torch.zeros(num_nodes, dtype=torch.float64)
    strength.index_add_(0, row, w).index_add_(0, col, w)
    return 1 / strength[row] + 1 / strength[col]


@pytest.fixture(scope="module", params=FAMILIES)
def estimates(request):
    """A graph, its exact resistances, and an estimate for each seed."""
    *graph, cut = FAMILIES[request.param]
    exact = exact_resistance(*graph)
    found = [jl_resistance(*graph, seed=seed, max_degree=0) for seed in SEEDS]
    return graph, cut, exact, found


def test_reported_error_is_the_true_one(estimates):
    _, _, exact, found = estimates
    joined_pairs = torch.isfinite(exact)
    true = [rms((one.resistance / exact - 1)[joined_pairs]) for one in found]
    for one, error in zip(found, true, strict=True):
        assert error <= 2 * one.error + 1e-9
    mean = sum(one.error for one in found) / len(found)
    # The part of the solver is a bound, and may be far too large.
    solver = sum(one.solver_error for one in found) / len(found)
    assert mean - solver <= 3 * sum(true) / len(true) + 1e-9
    assert solver <= 0.005


def test_two_standard_deviations_cover(estimates):
    """93 % of all pairs, and of the hundred that stand out most from their degrees."""
    graph, _, exact, found = estimates
    ids = torch.isfinite(exact).nonzero().view(-1)
    critical = (exact / degree_part(*graph))[ids].argsort(descending=True)[:100]
    for some in (ids, ids[critical]):
        covered = [
            (one.resistance - exact).abs()[some]
            <= (2 * one.std + 2 * one.solver_error * exact + 1e-9 * exact)[some]
            for one in found
        ]
        assert torch.stack(covered).double().mean() >= 0.93


def test_leverages_over_the_planted_cut(estimates):
    """The sum of each seed, at least 1 - 2 standard deviations, all within 0.05."""
    (_, _, weight, _), cut, exact, found = estimates
    if not cut.any():
        pytest.skip("no planted cut")
    w = torch.ones(len(exact), dtype=torch.float64) if weight is None else weight
    sums = torch.stack([(w * one.resistance)[cut].sum() for one in found])
    expected = (w * exact)[cut].sum()
    assert (sums - expected).square().mean().sqrt() <= 0.05
    assert (sums >= 0.9).all()


@pytest.mark.parametrize("name", ["joined by 2", "20 cliques of 30"])
def test_without_slow_directions_the_cut_is_caught(name, monkeypatch):
    """Jacobi stopped by its residual, and nothing known of the cut, must not pass."""
    *graph, _ = FAMILIES[name]

    def careless(self, tolerance, solver):
        self.slow = probe(self.L, 8, 1)
        nothing = torch.zeros(self.L.num_nodes, 1, dtype=torch.float64)
        self.slow = self.slow._replace(currents=nothing.expand_as(self.slow.currents))
        self.slow = self.slow._replace(currents=self.slow.currents.contiguous())
        self.solver = PCG(0.3, preconditioner=jacobi)
        self.state = self.solver.init(self.L)._replace(gap=1.0)

    monkeypatch.setattr(FlowSampler, "_prepare", careless)
    monkeypatch.setattr(FlowSampler, "solve_worst", lambda self, tolerance: None)
    with pytest.raises(CertificateError, match=r"must sum to .* \(got 0\.\d"):
        jl_resistance(*graph, seed=5, max_degree=0, num_columns=16)


def test_degree_parts_are_no_leverages():
    row, col, weight, n, _ = joined(300, 30, 2)
    L = Laplacian(row, col, weight, n)
    part, none = degree_part(row, col, weight, n), torch.zeros(len(row)).double()
    with pytest.raises(CertificateError, match="across a cut of a connected component"):
        check_cuts(L, part, none, probe(L, 8, 3).vectors)
    exact = exact_resistance(row, col, weight, n)
    smallest = check_cuts(L, exact, none, probe(L, 8, 3).vectors)
    assert smallest == pytest.approx(exact[(row < 300) & (col >= 300)].sum().item())
    check_foster(0.995, 0.01)
    with pytest.raises(CertificateError, match=r"\(got 0.900 times as much\)"):
        check_foster(0.9, 0.01)


def test_trees_know_large_leverages():
    row, col, weight, n, _ = long_grid(12, 12)
    L = Laplacian(row, col, weight, n)
    exact, none = exact_resistance(row, col, weight, n), torch.zeros(len(row)).double()
    deviations = [check_trees(L, exact, none, seed) for seed in range(60)]
    assert max(abs(d) for d in deviations) < 3  # the variance is a bound
    with pytest.raises(CertificateError, match="edges in a random spanning tree"):
        check_trees(L, 0.8 * exact, none, seed=0)
    assert check_trees(L, exact * 0.01, none, seed=0) is None


def test_trees_give_up_behind_bottlenecks():
    row, col, weight, n, _ = ring_of_cliques(30, 30)
    L = Laplacian(row, col, weight, n)
    exact, none = exact_resistance(row, col, weight, n), torch.zeros(len(row)).double()
    assert check_trees(L, exact, none, seed=1) is None


def test_a_failing_certificate_draws_more_columns(monkeypatch):
    seen = []

    def strict(sampler, *args):
        seen.append(sampler.num_columns)
        if sampler.num_columns < 64:
            raise CertificateError("not yet")

    monkeypatch.setattr(jl_module, "_certify", strict)
    *graph, _ = joined(100, 20, 2)
    assert jl_resistance(*graph, seed=3).num_columns == 64
    assert seen == [16, 32, 64]


def test_auto_turns_away_from_what_contradicts_a_theorem(monkeypatch, caplog):
    def contradict(*args):
        raise CertificateError("the leverages must sum to something else")

    monkeypatch.setattr(jl_module, "_certify", contradict)
    monkeypatch.setattr(jl_module, "MOST", 16)
    monkeypatch.setattr("gsparse.linalg.resistance.PATIENCE", 0.0)
    *graph, _ = joined(400, 40, 2)
    with caplog.at_level(logging.INFO, logger="gsparse.linalg.resistance"):
        result = pair_resistance(*graph, seed=1)
    assert result.method in {"exact", "tree"}


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_the_choice_does_not_depend_on_threads(threads):
    """2,500 nodes of degree 120: with more threads another method was quicker."""
    generator = torch.Generator().manual_seed(0)
    ends = torch.randint(2500, (2, 75_000), generator=generator)
    low, high = ends.min(0).values, ends.max(0).values
    key = (low * 2500 + high)[low != high].unique()
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        result = pair_resistance(key // 2500, key % 2500, None, 2500, seed=0)
    finally:
        torch.set_num_threads(before)
    assert result.method == "exact"
    assert result.seconds["exact"] == 0.0


def test_slow_directions_are_the_smallest_eigenvectors():
    row, col, weight, n, _ = ring_of_cliques(6, 12)
    L = Laplacian(row, col, weight, n)
    dense = L.matmul(torch.eye(n, dtype=torch.float64))
    root = L.diagonal.rsqrt()
    expected = torch.linalg.eigvalsh(root[:, None] * dense * root)[1:]
    found = probe(L, 8, seed=7)
    state = PCG().init(L)
    for step in range(3):
        found = refine(state, found, 8, seed=step)
    torch.testing.assert_close(found.values[:5], expected[:5], rtol=1e-3, atol=0)
    assert (found.values >= expected[:8] - 1e-12).all()  # Ritz values are upper bounds
    identity = torch.eye(8, dtype=torch.float64)
    torch.testing.assert_close(gram(found.vectors, found.currents), identity)
    torch.testing.assert_close(found.currents, L.matmul(found.vectors))


def test_signs_that_cancel_hide_no_direction():
    """Two nodes tied strongly and to the rest weakly; for seed 0 their signs cancel."""
    row, col, _, n, _ = joined(200, 40, 0)
    tie = torch.tensor([[n, n, n, n + 1], [n + 1, 3, 5, 7]]).sort(dim=0).values
    pairs = torch.cat([torch.stack([row, col]), tie], dim=1)
    order = (pairs[0] * (n + 2) + pairs[1]).argsort()
    weight = torch.ones(order.numel(), dtype=torch.float64)
    weight[-4] = 1e6
    L = Laplacian(*pairs[:, order], weight[order], n + 2)
    smallest = torch.stack([probe(L, 1, seed).values[0] for seed in range(40)])
    assert (smallest < 0.02).all()


def test_a_clique_has_no_slow_direction_and_components_are_none():
    row, col = torch.combinations(torch.arange(40)).t()
    two = torch.cat([row, row + 40]), torch.cat([col, col + 40])
    assert probe(Laplacian(*two, None, 83), 8, seed=1).values.min() > 0.9


@pytest.mark.parametrize("name", FAMILIES)
def test_estimated_error_of_a_solve(name):
    """In the energy norm, never below a third of the true one."""
    row, col, weight, n, _ = FAMILIES[name]
    keep = slice(None) if weight is None else weight > 0
    weight = None if weight is None else weight[keep]
    L = Laplacian(row[keep], col[keep], weight, n)
    generator = torch.Generator().manual_seed(11)
    X = torch.randn(n, 8, generator=generator, dtype=torch.float64)
    B = L.matmul(X)
    energy = (X * B).sum(dim=0).sqrt()
    for rtol in (1e-2, 1e-4):
        solver = PCG(0.0, atol=rtol * energy.min().item())
        solution = solver.solve(solver.init(L), B)
        difference = X - solution.x
        true = (difference * L.matmul(difference)).sum(dim=0).clamp_(min=0).sqrt()
        assert solution.converged
        assert (true <= 3 * solution.error + 1e-12 * energy).all()
        assert (solution.error <= solver.atol).all()


def test_bits_do_not_depend_on_threads_with_slow_directions():
    before, results = torch.get_num_threads(), []
    *graph, _ = joined(1500, 30, 4)
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            results.append(jl_resistance(*graph, seed=9))
    finally:
        torch.set_num_threads(before)
    assert results[0].num_slow > 0
    for other in results[1:]:
        assert other.resistance.equal(results[0].resistance)
        assert other.std.equal(results[0].std)


def test_auto_answers_whatever_the_weights():
    for seed in range(3):
        row, col, weight, n, _ = spread_weights(12, zeros=0.3, seed=seed)
        result = pair_resistance(row, col, weight, n, seed=seed)
        assert result.method == "exact"
        sampled = pair_resistance(row, col, weight, n, method="jl", seed=seed)
        joined_pairs = torch.isfinite(result.resistance)
        assert sampled.resistance.isfinite().equal(joined_pairs)
        error = rms((sampled.resistance / result.resistance - 1)[joined_pairs])
        assert error <= 2 * sampled.error


def test_strong_edges_leave_rounding_in_the_flows():
    """Flows of 1e6 cancel at three nodes: what is left does not sum to zero exactly."""
    row, col, _, n, _ = joined(50, 40, 0)
    tie = torch.combinations(torch.arange(n, n + 4)).t()
    row, col = torch.cat([row, tie[0]]), torch.cat([col, tie[1]])
    weight = torch.ones(len(row), dtype=torch.float64)
    weight[-6:-3], weight[-3:] = 0.3, 1e12
    exact = exact_resistance(row, col, weight, n + 4)
    for seed in range(10):
        found = jl_resistance(row, col, weight, n + 4, seed=seed)
        assert rms(found.resistance / exact - 1) <= 2 * found.error


def many_blobs(num_blobs, size, num_links):
    """A dense hub, and small dense parts that hang on it by a few edges each."""
    generator = torch.Generator().manual_seed(20_011)
    hub = 300
    ends = [torch.randint(hub, (2, 20 * hub), generator=generator)]
    inner = torch.combinations(torch.arange(size)).t()
    for start in range(hub, hub + num_blobs * size, size):
        links = torch.randint(size, (2, num_links), generator=generator)
        links[0] = torch.randint(hub, (num_links,), generator=generator)
        links[1] += start
        ends += [inner + start, links]
    low, high = torch.cat(ends, dim=1).sort(dim=0).values
    n = hub + num_blobs * size
    key = (low * n + high)[low != high].unique()
    return key // n, key % n, n, hub


@pytest.mark.parametrize(
    ("most", "columns", "worst"), [(256, 16, 0.01), (64, 800, 0.06)]
)
def test_more_parts_than_slow_directions(monkeypatch, most, columns, worst):
    """100 parts of 20 nodes: found all, or sampled by so many columns that each holds.

    With 16 columns and 64 directions sums over single cuts fell to 0.6.
    """
    monkeypatch.setattr("gsparse.linalg.flow_sampler.DIRECTIONS", most)
    row, col, n, hub = many_blobs(100, 20, 3)
    cut = (row < hub) & (col >= hub)
    part = (col[cut] - hub) // 20
    exact = exact_resistance(row, col, None, n)
    expected = torch.zeros(100, dtype=torch.float64).index_add_(0, part, exact[cut])
    for seed in range(3):
        found = jl_resistance(row, col, None, n, seed=seed, max_degree=0)
        sums = torch.zeros(100, dtype=torch.float64)
        sums.index_add_(0, part, found.resistance[cut])
        assert found.num_columns == columns
        assert (sums - expected).square().mean().sqrt() <= worst
        assert (sums >= 1 - 2 * worst).all()


def test_small_graphs_are_solved():
    """On a cycle signs agree or cancel as a whole: most samples see nothing."""
    for size in (4, 5, 6, 9):
        pairs = {(i, i + 1) for i in range(size - 1)} | {(0, size - 1), (0, 2)}
        row, col = torch.tensor(sorted(pairs)).t()
        weight = torch.ones(len(row), dtype=torch.float64)
        weight[sorted(pairs).index((0, 2))] = 0.0
        exact = exact_resistance(row, col, weight, size)
        for seed in range(5):
            found = jl_resistance(row, col, weight, size, seed=seed)
            assert rms(found.resistance / exact - 1) <= found.error + 1e-9
            assert (found.std == 0).all()


def test_weights_that_are_all_zero_join_nothing():
    row, col = torch.tensor([[0, 1], [1, 2]])
    zero = torch.zeros(2, dtype=torch.float64)
    for method in ("exact", "jl", "tree", "auto"):
        found = pair_resistance(row, col, zero, 3, method=method, seed=0)
        assert found.resistance.tolist() == [torch.inf, torch.inf]


@pytest.mark.parametrize("size", [3e-13, 1e-14])
def test_links_lost_in_rounding_are_refused(size):
    *graph, _ = weak_cliques(size, size=50)
    with pytest.raises(
        RuntimeError, match=r"more strongly than 1e-11 .*method='exact'"
    ):
        jl_resistance(*graph, seed=1)
    assert pair_resistance(*graph, seed=1).method == "exact"


@pytest.mark.parametrize("method", ["auto", "exact", "jl", "tree"])
def test_pairs_out_of_order_and_bad_weights_are_refused(method):
    row, col = torch.combinations(torch.arange(6)).t()
    for bad in (torch.nan, torch.inf, -1.0):
        weight = torch.ones(15, dtype=torch.float64)
        weight[4] = bad
        message = rf"'weight' must be non-negative and finite \(got {bad}\)"
        with pytest.raises(ValueError, match=message):
            pair_resistance(row, col, weight, 6, method=method)
    with pytest.raises(ValueError, match="must be sorted pairs"):
        pair_resistance(row.flip(0), col.flip(0), None, 6, method=method)
    with pytest.raises(ValueError, match=r"at \d+ with 5 nodes"):
        pair_resistance(row, col, None, 5, method=method)
