"""The contenders of the resistance benchmark that use pyamg's multigrid."""

import math

import pytest
import torch

from gsparse.bench.contests.multigrid import (
    KINDS,
    Multigrid,
    hierarchy,
    multigrid_resistance,
    to_scipy,
)
from gsparse.data import grid, random_graph
from gsparse.edges import undirected_pairs
from gsparse.linalg import (
    PCG,
    Laplacian,
    exact_resistance,
    jacobi,
    jl_resistance,
)

pyamg = pytest.importorskip("pyamg")


def ends_of(data):
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return pairs.row, pairs.col, data.num_nodes


def random_ends():
    return ends_of(random_graph(num_nodes=150, p=0.08, seed=33581))


def test_matrix_is_the_laplacian_and_regular_at_isolated_nodes():
    row, col = torch.tensor([[0, 1], [1, 3]])
    weight = torch.tensor([2.0, 0.5], dtype=torch.float64)
    L = Laplacian(row, col, weight, num_nodes=4)
    expected = L.matmul(torch.eye(4, dtype=torch.float64))
    expected[2, 2] = 1
    assert to_scipy(L).toarray().tolist() == expected.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_preconditions_our_solver(kind):
    """Symmetric, and better than the diagonal: fewer iterations to the same answer."""
    row, col, n = ends_of(grid(30, 30))
    L = Laplacian(row, col, None, n)
    b = torch.randn(n, 3, generator=torch.Generator().manual_seed(60611)).double()
    b -= b.mean(dim=0)
    plain = PCG(rtol=1e-9, preconditioner=jacobi)
    solver = PCG(rtol=1e-9, preconditioner=Multigrid(pyamg, kind))
    state = solver.init(L)
    found, expected = solver.solve(state, b), plain.solve(plain.init(L), b)
    torch.testing.assert_close(found.x, expected.x, rtol=1e-6, atol=1e-6)
    assert found.num_iters < expected.num_iters / 2
    cycle = state.precondition(torch.eye(n, dtype=torch.float64))
    torch.testing.assert_close(cycle, cycle.T, rtol=1e-8, atol=1e-8)
    assert cycle.abs().max() < 100  # nothing inverts the singular direction


@pytest.mark.parametrize("kind", KINDS)
def test_plain_estimator_has_the_error_of_its_columns(kind):
    row, col, n = random_ends()
    exact = exact_resistance(row, col, None, n)
    found = multigrid_resistance(
        pyamg, row, col, n, num_columns=64, seed=15401, kind=kind
    )
    rms = float((found / exact - 1).square().mean().sqrt())
    assert rms == pytest.approx(math.sqrt(2 / 64), rel=0.35)


def test_our_estimator_does_not_mind_the_solver():
    row, col, n = random_ends()
    solver = PCG(1e-8, preconditioner=Multigrid(pyamg, "plain"))
    settings = {"num_columns": 16, "seed": 48073, "tolerance": 1e-4}
    found = jl_resistance(row, col, None, n, **settings, solver=solver)
    expected = jl_resistance(row, col, None, n, **settings, solver=PCG(1e-8))
    torch.testing.assert_close(found.resistance, expected.resistance, rtol=1e-5, atol=0)


def test_gives_up_where_time_ends():
    row, col, n = random_ends()
    with pytest.raises(TimeoutError, match="1 of 8 columns"):
        multigrid_resistance(pyamg, row, col, n, num_columns=8, seed=1, max_seconds=0.0)


def test_unknown_kind():
    L = to_scipy(Laplacian(*random_ends()[:2], None, 150))
    with pytest.raises(ValueError, match=r"'kind' must be one of .* \(got 'magic'\)"):
        hierarchy(pyamg, L, "magic")
