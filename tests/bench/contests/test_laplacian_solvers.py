"""The comparison of Laplacian solvers: its graphs, its count and its rows."""

from dataclasses import replace

import pytest
import torch

from gsparse.bench.contests import laplacian_solvers
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.laplacian_solvers import (
    energy_error,
    fewest_iterations,
    makers,
    right_sides,
    solves,
)
from gsparse.bench.contests.planted_pairs import (
    Planted,
    joined,
    pairs_of,
    ring_of_cliques,
)
from gsparse.bench.contests.table import format_rows
from gsparse.data import grid
from gsparse.edges import undirected_pairs
from gsparse.linalg import PCG, Laplacian
from gsparse.linalg.pcg import jacobi


def rows_of(graph, chosen):
    contest = replace(
        laplacian_solvers.CONTEST,
        contenders=lambda _: solves(graph, chosen, "pyamg==0"),
    )
    return compare(contest, Problem("toy", repeats=1))


def exact_inverse(L):
    """The best preconditioner there is."""
    dense = L.matmul(torch.eye(L.num_nodes, dtype=torch.float64))
    inverse = torch.linalg.pinv(dense, hermitian=True)
    return lambda R: inverse @ R


def test_ring_of_cliques():
    row, col, _, n, cut = ring_of_cliques(4, 5)
    assert cut.sum() == 2
    assert (n, len(row)) == (20, 4 * 10 + 4)
    deg = torch.cat([row, col]).bincount()
    assert deg.view(4, 5).tolist() == [[5, 4, 4, 4, 5]] * 4
    L = Laplacian(row, col, None, n)
    assert (L.num_components, int(L.bridges.sum())) == (1, 0)


def test_two_edges_join_the_random_graphs():
    row, col, _, n, across = joined(200, 20, 2)
    assert across.sum() == 2
    assert Laplacian(row, col, None, n).num_components == 1
    apart = Laplacian(row[~across], col[~across], None, n)
    assert apart.num_components == 2


def test_graphs_by_name():
    graph = pairs_of("grid_300x300")
    assert graph.num_nodes == 90_000
    assert len(graph.row) == 2 * 300 * 299
    names = laplacian_solvers.CONTEST.graphs
    assert {"grid_300x300", "ring_of_200_cliques", "two_random_graphs"} < {*names}


def test_the_count_is_the_fewest():
    pairs = undirected_pairs(grid(20, 20).edge_index)
    problem = Planted(pairs.row, pairs.col, None, 400, pairs.row < 0)
    L = Laplacian(problem.row, problem.col, None, problem.num_nodes)
    B = right_sides(problem)
    assert B.sum(dim=0).abs().max() == 0
    exact = exact_inverse(L)(B)
    count = fewest_iterations(L, B, exact, jacobi)

    def error_after(k):
        solver = PCG(rtol=1e-15, max_iter=k, preconditioner=jacobi)
        return energy_error(L, solver.solve(solver.init(L), B, check=False).x, exact)

    assert error_after(count) <= 1e-5 < error_after(count - 1)
    assert fewest_iterations(L, B, exact, exact_inverse) == 1


def test_energy_error_by_hand():
    """On one edge the energy is the square of the difference of the potentials."""
    L = Laplacian(torch.tensor([0]), torch.tensor([1]), None, num_nodes=2)
    exact = torch.tensor([[1.0, 2.0], [-1.0, -2.0]], dtype=torch.float64)
    x = torch.tensor([[1.5, 2.0], [-1.0, -2.2]], dtype=torch.float64)
    assert energy_error(L, x, exact) == pytest.approx(0.5 / 2)


def test_rows_of_all_solvers():
    pyamg = pytest.importorskip("pyamg")
    rows = rows_of(ring_of_cliques(6, 5), makers(pyamg))
    assert [row["method"] for row in rows] == list(makers(pyamg))
    assert [row["is_peer"] for row in rows] == [False, False, True, True, True]
    for row in rows:
        assert 1 <= row["num_iters"] < 40
        assert row["seconds"] > 0
        assert row["setup_seconds"] > 0
        assert (row["columns"], row["energy_error"]) == (8, 1e-5)
        assert row["val_score"] is None


def test_without_pyamg_ours_are_left():
    assert list(makers(None)) == ["Jacobi", "approximate Cholesky"]
    lines = laplacian_solvers.CONTEST.summary([{"peers": ""}])
    assert "pyamg is not installed" in lines


def test_a_solver_that_does_not_get_there(monkeypatch):
    monkeypatch.setattr(laplacian_solvers, "MAX_ITER", 8)
    monkeypatch.setattr(laplacian_solvers, "_cholesky", exact_inverse)
    chosen = {"exact": exact_inverse, "Jacobi": jacobi}
    found, failed = rows_of(ring_of_cliques(40, 5), chosen)
    assert (found["num_iters"], failed["num_iters"]) == (1, None)
    assert failed["seconds"] is None
    assert failed["setup_seconds"] > 0
    assert failed["outcome"] == "more than 8 iterations"
    text = format_rows(laplacian_solvers.CONTEST, [found, failed])
    assert "more than 8 iterations" in text
