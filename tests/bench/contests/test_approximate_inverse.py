"""The approximate inverse of a Cholesky factor: its exact limit and its two errors."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from gsparse.bench.contests import approximate_inverse
from gsparse.bench.contests.approximate_inverse import approximate_inverse_resistance
from gsparse.bench.contests.approximate_inverse_kernels import threshold
from gsparse.data import grid, lollipop, path, random_graph, star
from gsparse.edges import undirected_pairs
from gsparse.linalg import exact_resistance


def ends_of(data):
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return pairs.row, pairs.col, data.num_nodes


def two_parts():
    """A random graph, a cycle apart from it, and isolated nodes."""
    row, col, _ = ends_of(random_graph(num_nodes=40, p=0.2, seed=71933))
    far = torch.arange(50, 60)
    row = torch.cat([row, far[:-1], far[:1]])
    col = torch.cat([col, far[1:], far[-1:]])
    order = (row * 100 + col).argsort()
    return row[order], col[order], 65


GRAPHS = {
    "path": ends_of(path(9)),
    "star": ends_of(star(12)),
    "lollipop": ends_of(lollipop(8, 5)),
    "grid": ends_of(grid(7, 9)),
    "random": ends_of(random_graph(num_nodes=150, p=0.06, seed=90217)),
    "two parts": two_parts(),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_exact_without_dropping(name):
    row, col, n = GRAPHS[name]
    found = approximate_inverse_resistance(row, col, n, epsilon=0.0, drop=0.0)
    exact = exact_resistance(row, col, None, n)
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=0)


def reference_resistance(row, col, n, epsilon, drop):
    """The definition in plain Python, on dense matrices."""
    adjacency = csr_array((np.ones(len(row)), (row.numpy(), col.numpy())), (n, n))
    adjacency = (adjacency + adjacency.T).tocsr()
    limit = 16 if drop >= 1e-4 else n
    order = approximate_inverse._elimination_order(adjacency, limit)
    dense = adjacency.toarray()[np.ix_(order, order)]
    deg = dense.sum(axis=1)
    A = np.diag(deg) - dense
    largest = np.lexsort((order, -deg))[0]  # connected: a single ground
    A[largest, largest] += 0.1
    L = np.zeros((n, n))
    for j in range(n):
        column = A[j:, j].copy()
        column[1:] *= np.abs(column[1:]) > drop * column[0]
        L[j:, j] = column / np.sqrt(column[0])
        A[j:, j:] -= np.outer(L[j:, j], L[j:, j])
    Z = np.zeros((n, n))
    for j in reversed(range(n)):
        z = (np.eye(n)[j] - Z[:, j + 1 :] @ L[j + 1 :, j]) / L[j, j]
        if (z > 0).sum() > int(np.log2(n)):
            by_size = z.argsort()
            z[by_size[np.cumsum(z[by_size]) <= epsilon * z.sum()]] = 0
        Z[:, j] = z
    place = order.argsort()
    return ((Z[:, place[row]] - Z[:, place[col]]) ** 2).sum(axis=0)


@pytest.mark.parametrize("name", ["lollipop", "grid", "random"])
@pytest.mark.parametrize(
    ("epsilon", "drop"), [(0.0, 0.05), (0.05, 1e-3), (1e-3, 0.02), (0.02, 1e-5)]
)
def test_follows_its_definition(name, epsilon, drop):
    row, col, n = GRAPHS[name]
    found = approximate_inverse_resistance(row, col, n, epsilon=epsilon, drop=drop)
    expected = reference_resistance(row, col, n, epsilon, drop)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)


def test_error_shrinks_with_epsilon():
    row, col, n = GRAPHS["random"]
    exact = exact_resistance(row, col, None, n)
    largest = []
    for epsilon in (0.3, 0.03, 0.003):
        found = approximate_inverse_resistance(row, col, n, epsilon=epsilon, drop=0.0)
        largest.append(float((found / exact - 1).abs().max()))
    assert largest[0] > 3 * largest[1] > 9 * largest[2] > 0


def test_error_shrinks_with_the_drop_tolerance():
    row, col, n = GRAPHS["random"]
    exact = exact_resistance(row, col, None, n)
    largest = []
    for drop in (1e-1, 1e-2, 1e-4):
        found = approximate_inverse_resistance(row, col, n, epsilon=0.0, drop=drop)
        largest.append(float((found / exact - 1).abs().max()))
    assert largest[0] > 3 * largest[1] > 9 * largest[2] > 0


def test_leaks_reach_no_hub():
    """Dropped entries leak to the ground; no node of the graph may stand in for it."""
    row, col, n = GRAPHS["random"]
    exact = exact_resistance(row, col, None, n)
    found = approximate_inverse_resistance(row, col, n, epsilon=0.0, drop=0.01)
    hub = torch.cat([row, col]).bincount().argmax()
    at_hub = (row == hub) | (col == hub)
    error = (found / exact - 1).abs()
    assert error[at_hub].max() < 2 * error[~at_hub].max() < 0.02


@pytest.mark.parametrize("size", [1, 5, 400])
@pytest.mark.parametrize("share", [0.0, 1e-3, 0.1, 0.9])
def test_threshold_is_the_rule(size, share):
    """The longest prefix of the sorted values whose sum is within the budget."""
    value = np.random.default_rng(51787).lognormal(sigma=4.0, size=size)
    budget = share * value.sum()
    dropped = np.cumsum(np.sort(value)) <= budget
    sums = np.zeros(2048)
    bound = threshold(value, budget, sums)
    assert (value <= bound).sum() == dropped.sum()
    assert not sums.any()


def test_stores_grow(monkeypatch):
    """Chunks of columns and growing stores change no number."""
    row, col, n = GRAPHS["grid"]
    settings = {"epsilon": 0.01, "drop": 1e-3}
    whole = approximate_inverse_resistance(row, col, n, **settings)
    monkeypatch.setattr(approximate_inverse, "CHUNK", 1)
    assert torch.equal(approximate_inverse_resistance(row, col, n, **settings), whole)


def test_gives_up_where_time_or_memory_end():
    row, col, n = GRAPHS["random"]
    settings = {"epsilon": 0.0, "drop": 0.0}
    with pytest.raises(TimeoutError, match="factor: 64 of 150 columns"):
        approximate_inverse_resistance(row, col, n, **settings, max_seconds=0.0)
    with pytest.raises(MemoryError, match="more than 900 entries"):
        approximate_inverse_resistance(row, col, n, **settings, max_entries=900)


def test_no_pairs():
    none = torch.empty(0, dtype=torch.long)
    for n in (0, 3):
        found = approximate_inverse_resistance(none, none, n, epsilon=0.1, drop=0.1)
        assert found.shape == (0,)
