"""The approximate factor: its expectation, and its effect on conjugate gradients."""

import pytest
import torch

from gsparse.data import barbell, path, random_graph, star
from gsparse.edges import undirected_pairs
from gsparse.linalg import PCG, Laplacian, approximate_cholesky, jacobi

SOLVER = PCG(rtol=1e-10, preconditioner=approximate_cholesky)


def operator(data, dtype=torch.float64, weight_seed=None):
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    weight = None
    if weight_seed is not None:
        generator = torch.Generator().manual_seed(weight_seed)
        weight = torch.rand(row.numel(), generator=generator, dtype=torch.float64)
        weight = 10 ** (12 * weight - 6)
    return Laplacian(row, col, weight, n, dtype)


def ring_of_cliques(num_cliques, size):
    """Cliques in a ring, each joined to the next by one edge."""
    one, other = torch.combinations(torch.arange(size)).t()
    start = size * torch.arange(num_cliques).unsqueeze(1)
    row, col = (one + start).flatten(), (other + start).flatten()
    start = start.flatten()
    ends = torch.stack([start + size - 1, (start + size) % (num_cliques * size)])
    row, col = torch.cat([row, ends.amin(0)]), torch.cat([col, ends.amax(0)])
    order = (row * num_cliques * size + col).argsort()
    return Laplacian(row[order], col[order], None, num_cliques * size)


def dense(L):
    return L.matmul(torch.eye(L.num_nodes, dtype=L.dtype))


def balanced(L, k, seed):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(L.num_nodes, k, generator=generator, dtype=torch.float64)
    return L.matmul(X.to(L.dtype))


@pytest.mark.parametrize("data", [path(40), star(num_leaves=20)], ids=["path", "star"])
def test_a_tree_is_factorised_exactly(data):
    """Leaves are eliminated without a clique: one step of PCG, and two to see it."""
    L = operator(data, weight_seed=6151)
    solution = SOLVER.solve(SOLVER.init(L), balanced(L, 3, seed=911))
    assert solution.num_iters <= 3


def test_factor_is_unbiased():
    """The mean of L' over factors is L, entry by entry, within 5 standard errors."""
    L = operator(random_graph(num_nodes=9, p=0.7, seed=40427))
    n, samples = L.num_nodes, []
    ones = torch.ones(n, n, dtype=torch.float64) / n
    centred = torch.eye(n, dtype=torch.float64) - ones
    for seed in range(400):
        inverse = approximate_cholesky(L, seed)(torch.eye(n, dtype=torch.float64))
        inverse = centred @ inverse @ centred
        torch.testing.assert_close(inverse, inverse.T)
        samples.append(torch.linalg.inv(inverse + ones) - ones)
    sampled = torch.stack(samples)
    spread = sampled.std(0) / len(samples) ** 0.5
    assert ((sampled.mean(0) - dense(L)).abs() <= 5 * spread + 1e-9).all()
    assert (sampled.std(0) > 1e-3).any()


@pytest.mark.parametrize("weight_seed", [None, 23339])
@pytest.mark.parametrize(
    "data",
    [
        random_graph(num_nodes=60, p=0.1, seed=86413),
        random_graph(num_nodes=50, p=0.02, seed=86413),
        random_graph(num_nodes=5, p=0.0, seed=86413),
        barbell(12),
    ],
    ids=["random", "disconnected", "no edges", "barbell"],
)
def test_solution_is_that_of_the_pseudo_inverse(data, weight_seed):
    L = operator(data, weight_seed=weight_seed)
    B = balanced(L, 9, seed=33871)
    solution = SOLVER.solve(SOLVER.init(L), B)
    atol = 1e-8 * float(B.abs().max()) if B.numel() else 0.0
    torch.testing.assert_close(L.matmul(solution.x), B, rtol=0, atol=atol)


def test_float32():
    L = operator(random_graph(num_nodes=60, p=0.2, seed=5501), torch.float32)
    B = balanced(L, 8, seed=33871)
    solver = PCG(rtol=1e-4, preconditioner=approximate_cholesky)
    x = solver.solve(solver.init(L), B).x
    assert x.dtype == torch.float32
    torch.testing.assert_close(L.matmul(x), B, rtol=0, atol=0.05)


def test_a_ring_of_cliques_needs_few_steps():
    """Its spectral gap is of order 1e-5; Jacobi needs more than a hundred steps."""
    L = ring_of_cliques(200, 8)
    B = balanced(L, 8, seed=7027)
    plain = PCG(rtol=1e-8, preconditioner=jacobi)
    quick = PCG(rtol=1e-8, preconditioner=approximate_cholesky)
    assert plain.solve(plain.init(L), B).num_iters > 100
    assert quick.solve(quick.init(L), B).num_iters < 25


@pytest.mark.parametrize("num_threads", [1, 3])
def test_same_bits_for_any_number_of_threads(num_threads):
    L = operator(random_graph(num_nodes=400, p=0.1, seed=733))
    R = balanced(L, 24, seed=8161)
    torch.set_num_threads(num_threads)
    out = approximate_cholesky(L)(R)
    torch.set_num_threads(2)
    assert out.equal(approximate_cholesky(L)(R))
    for column in (0, 7, 23):  # and no column depends on its neighbours
        alone = approximate_cholesky(L)(R[:, column : column + 1].contiguous())
        assert alone.equal(out[:, column : column + 1])
