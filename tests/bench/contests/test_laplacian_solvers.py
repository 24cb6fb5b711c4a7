"""The comparison of Laplacian solvers: its graphs, its count and its rows."""

import json

import pytest
import torch

from gsparse.bench.contests import laplacian_solvers
from gsparse.bench.contests.laplacian_solvers import (
    SYNTHETIC,
    compare,
    energy_error,
    fewest_iterations,
    main,
    make_system,
    right_sides,
    solvers,
)
from gsparse.bench.contests.planted_pairs import joined, ring_of_cliques
from gsparse.bench.contests.resistance_contenders import Problem
from gsparse.data import grid
from gsparse.edges import undirected_pairs
from gsparse.linalg import PCG, Laplacian
from gsparse.linalg.pcg import jacobi


def small_ring():
    ring = ring_of_cliques(6, 5)
    return Problem("ring", ring.row, ring.col, ring.num_nodes)


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


def test_systems_by_name():
    assert make_system("grid_300x300").num_nodes == 90_000
    assert len(make_system("grid_300x300").row) == 2 * 300 * 299
    assert set(SYNTHETIC) > {"grid_300x300", "ring_of_200_cliques"}


def test_the_count_is_the_fewest():
    pairs = undirected_pairs(grid(20, 20).edge_index)
    problem = Problem("grid", pairs.row, pairs.col, 400)
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
    makers = solvers(pyamg)
    rows = compare(small_ring(), makers, repeats=1)
    assert [row["method"] for row in rows] == list(makers)
    assert len(makers) == 5
    for row in rows:
        assert 1 <= row["num_iters"] < 40
        assert row["seconds"] > 0
        assert row["setup_seconds"] > 0
        assert row["val_score"] is None


def test_a_solver_that_does_not_get_there(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(laplacian_solvers, "MAX_ITER", 8)
    makers = {"exact": exact_inverse, "Jacobi": jacobi}
    monkeypatch.setattr(laplacian_solvers, "solvers", lambda _: makers)
    monkeypatch.setitem(SYNTHETIC, "toy", lambda: ring_of_cliques(40, 5))
    monkeypatch.setattr(laplacian_solvers, "_cholesky", exact_inverse)
    out = tmp_path / "rows.jsonl"
    assert main(["--graphs", "toy", "--repeats", "1", "--out", str(out)]) == 0
    assert "more than 8 iterations" in capsys.readouterr().out
    found, failed = (json.loads(line) for line in out.read_text().splitlines())
    assert (found["num_iters"], failed["num_iters"]) == (1, None)
    assert failed["seconds"] is None
    assert failed["table"] == "laplacian_solvers"
