"""Block conjugate gradients against the pseudo-inverse."""

import pytest
import torch

from gsparse.data import cycle, path, random_graph
from gsparse.edges import undirected_pairs
from gsparse.linalg import PCG, Laplacian, jacobi
from gsparse.linalg.iteration import DELAY


def operator(data, weight_seed=None, dtype=torch.float64):
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    weight = None
    if weight_seed is not None:
        generator = torch.Generator().manual_seed(weight_seed)
        weight = (
            torch.rand(row.numel(), generator=generator, dtype=torch.float64) * 9 + 0.1
        )
    return Laplacian(row, col, weight, n, dtype)


def balanced(L, k, seed):
    """Random right-hand sides in the range of L: L times something."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(L.num_nodes, k, generator=generator, dtype=torch.float64)
    return L.matmul(X.to(L.dtype))


GRAPHS = {
    "random": random_graph(num_nodes=50, p=0.2, seed=86413),
    "disconnected": random_graph(num_nodes=50, p=0.03, seed=86413),
    "no edges": random_graph(num_nodes=5, p=0.0, seed=86413),
    "path": path(30),
}


@pytest.mark.parametrize("weight_seed", [None, 71429])
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)]
)
@pytest.mark.parametrize("graph", GRAPHS)
def test_solution_is_that_of_the_pseudo_inverse(graph, dtype, rtol, weight_seed):
    L = operator(GRAPHS[graph], weight_seed, dtype)
    B = balanced(L, 9, seed=33871)
    solution = PCG(rtol=rtol).solve(PCG(rtol=rtol).init(L), B)
    exact = operator(GRAPHS[graph], weight_seed)
    dense = exact.matmul(torch.eye(L.num_nodes, dtype=torch.float64))
    expected = torch.linalg.pinv(dense, hermitian=True, rtol=1e-9) @ B.double()
    scale = expected.abs().max().item()
    atol = 1e4 * rtol * max(scale, 1e-300)
    torch.testing.assert_close(solution.x.double(), expected, rtol=0, atol=atol)
    assert solution.converged
    assert (solution.residual <= rtol).all()


def test_conjugate_gradients_end_after_as_many_steps_as_eigenvalues():
    """A cycle of 12 has 6 distinct non-zero eigenvalues; D is a multiple of I."""
    L = operator(cycle(12))
    solver = PCG(rtol=1e-12, preconditioner=jacobi)
    solution = solver.solve(solver.init(L), balanced(L, 8, seed=90437))
    assert solution.num_iters <= 6 + DELAY


def test_columns_do_not_depend_on_their_neighbours():
    L = operator(GRAPHS["random"])
    B = balanced(L, 8, seed=21179)
    solver = PCG(rtol=1e-6)
    both = solver.solve(solver.init(L), torch.cat([B, 1e6 * B.flip(1)], dim=1)).x
    alone = solver.solve(solver.init(L), B).x
    assert both[:, :8].equal(alone)


def test_same_bits_with_one_and_two_threads():
    L = operator(random_graph(num_nodes=4000, p=0.02, seed=53623), 67187)
    B = balanced(L, 8, seed=19991)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(PCG(rtol=1e-6).solve(PCG().init(L), B).x)
    finally:
        torch.set_num_threads(before)
    assert results[0].equal(results[1])


def test_another_preconditioner_finds_the_same():
    L = operator(GRAPHS["random"], 45161)
    B = balanced(L, 3, seed=64007)
    plain = PCG(rtol=1e-12, preconditioner=lambda L: lambda R: R.clone())
    diagonal = PCG(rtol=1e-12, preconditioner=jacobi)
    for other in (diagonal, PCG(rtol=1e-12)):
        torch.testing.assert_close(
            plain.solve(plain.init(L), B).x, other.solve(other.init(L), B).x
        )


def test_unbalanced_right_hand_side_names_sum_and_component():
    data = random_graph(num_nodes=3, p=0.0, seed=12347)
    data.edge_index = torch.tensor([[1, 2], [2, 1]])
    L = operator(data)
    B = torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 1.5]], dtype=torch.float64)
    message = r"column 1 got 2.5 on component 1 of 2, that of node 1"
    with pytest.raises(ValueError, match=message):
        PCG().solve(PCG().init(L), B)
    with pytest.raises(ValueError, match=r"shape \[3, k\] \(got \[3\]\)"):
        PCG().solve(PCG().init(L), B[:, 0])


def test_right_sides_that_are_no_numbers_or_of_another_type_are_refused():
    L = operator(path(4))
    B = torch.tensor([[1.0], [torch.nan], [0.0], [-1.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"'B' must be finite \(got nan at \[1, 0\]\)"):
        PCG().solve(PCG().init(L), B)
    with pytest.raises(TypeError, match=r"'B' must be torch.float64 .*torch.float32"):
        PCG().solve(PCG().init(L), torch.zeros(4, 1))


def test_too_few_iterations_raise_or_are_reported():
    L = operator(path(200))
    B = torch.zeros(200, 1, dtype=torch.float64)
    B[0], B[-1] = 1, -1
    solver = PCG(rtol=1e-8, max_iter=7, preconditioner=jacobi)
    with pytest.raises(RuntimeError, match=r"rtol=1e-08 .* after 7 iterations"):
        solver.solve(solver.init(L), B)
    solution = solver.solve(solver.init(L), B, check=False)
    assert not solution.converged
    assert solution.num_iters == 7
    assert solution.residual.item() > 1e-8


def test_out_of_reach_tolerance_stops_instead_of_spinning():
    L = operator(GRAPHS["random"], 57601, torch.float32)
    solver = PCG(rtol=1e-12, max_iter=100_000)
    solution = solver.solve(solver.init(L), balanced(L, 4, seed=30341), check=False)
    assert not solution.converged
    assert solution.num_iters < 1000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rtol": 0.0}, r"'rtol' must be positive \(got 0.0\)"),
        ({"max_iter": 0}, r"'max_iter' must be at least 1 \(got 0\)"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PCG(**settings)
