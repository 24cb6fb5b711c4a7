"""Exact resistances against their definition, their theorems and rational numbers."""

from fractions import Fraction

import networkx
import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gsparse.data import (
    barbell,
    complete,
    cycle,
    grid,
    house,
    karate,
    path,
    random_graph,
)
from gsparse.edges import undirected_pairs
from gsparse.linalg import dense_core, exact
from gsparse.linalg.exact import exact_resistance, predict_exact


def pairs_of(data):
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return pairs.row, pairs.col


def random_weight(num_pairs, seed, orders=1.0):
    generator = torch.Generator().manual_seed(seed)
    exponent = torch.rand(num_pairs, generator=generator, dtype=torch.float64) - 0.5
    return 10 ** (orders * exponent)


def by_pseudo_inverse(row, col, weight, num_nodes):
    """The definition: (e_u - e_v)^T L^+ (e_u - e_v)."""
    A = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    A[row, col] = weight
    A += A.T.clone()
    Z = torch.linalg.pinv(torch.diag(A.sum(1)) - A, hermitian=True)
    return Z[row, row] + Z[col, col] - 2 * Z[row, col]


def by_fractions(row, col, weight, num_nodes):
    """Ground the last node of a connected graph and solve in rational numbers."""
    L = [[Fraction(0)] * num_nodes for _ in range(num_nodes)]
    for u, v, w in zip(row.tolist(), col.tolist(), weight.tolist(), strict=True):
        L[u][v] -= Fraction(w)
        L[v][u] -= Fraction(w)
        L[u][u] += Fraction(w)
        L[v][v] += Fraction(w)
    n = num_nodes - 1
    Z = [L[i][:n] + [Fraction(i == j) for j in range(n)] for i in range(n)]
    for k in range(n):  # Gauss-Jordan; a grounded Laplacian needs no pivoting
        Z[k] = [x / Z[k][k] for x in Z[k]]
        for i in range(n):
            if i != k and Z[i][k]:
                Z[i] = [x - Z[i][k] * y for x, y in zip(Z[i], Z[k], strict=True)]
    Z = [[*line[n:], Fraction(0)] for line in Z] + [[Fraction(0)] * num_nodes]
    ends = zip(row.tolist(), col.tolist(), strict=True)
    values = [float(Z[u][u] + Z[v][v] - 2 * Z[u][v]) for u, v in ends]
    return torch.tensor(values, dtype=torch.float64)


def all_dense(monkeypatch, block=4):
    """Send small graphs through the blocked dense elimination."""
    monkeypatch.setattr(exact, "DENSE_SHARE", 0.0)
    monkeypatch.setattr(dense_core, "FORWARD", block)
    monkeypatch.setattr(dense_core, "BACKWARD", block)
    monkeypatch.setattr(dense_core, "STRIP", 3 * block)


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("p", [0.03, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("seed", [20717, 81343])
def test_matches_definition(p, seed, dense, monkeypatch):
    if dense:
        all_dense(monkeypatch)
    row, col = pairs_of(random_graph(num_nodes=60, p=p, seed=seed))
    weight = random_weight(len(row), seed)
    resistance = exact_resistance(row, col, weight, 60)
    expected = by_pseudo_inverse(row, col, weight, 60)
    torch.testing.assert_close(resistance, expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("data", [karate(), grid(7, 9), barbell(6)], ids=repr)
def test_matches_networkx(data):
    row, col = pairs_of(data)
    graph = networkx.Graph(zip(row.tolist(), col.tolist(), strict=True))
    distance = networkx.resistance_distance(graph)
    ends = zip(row.tolist(), col.tolist(), strict=True)
    expected = torch.tensor([distance[u][v] for u, v in ends], dtype=torch.float64)
    resistance = exact_resistance(row, col, None, data.num_nodes)
    torch.testing.assert_close(resistance, expected)


@pytest.mark.parametrize("p", [0.002, 0.01, 0.1])
def test_foster(p):
    """The sum of w R is the number of nodes minus the number of components."""
    row, col = pairs_of(random_graph(num_nodes=700, p=p, seed=33521))
    weight = random_weight(len(row), 33521)
    resistance = exact_resistance(row, col, weight, 700)
    graph = coo_array((np.ones(len(row)), (row, col)), shape=(700, 700))
    num_components, _ = connected_components(graph, directed=False)
    total = (weight * resistance).sum().item()
    assert total == pytest.approx(700 - num_components, rel=1e-12)


@pytest.mark.parametrize("size", [2, 3, 5, 40, 300])
def test_clique_edges_have_two_over_n(size):
    row, col = pairs_of(complete(size))
    resistance = exact_resistance(row, col, None, size)
    torch.testing.assert_close(resistance, torch.full_like(resistance, 2 / size))


def test_series_and_parallel_by_hand():
    """On a path R = 1/w; on a cycle each edge is parallel to all others in series."""
    weight = torch.tensor([0.5, 4.0, 8.0, 0.25], dtype=torch.float64)
    row, col = pairs_of(path(5))
    assert exact_resistance(row, col, weight, 5).equal(1 / weight)
    row, col = pairs_of(cycle(4))
    length = 1 / weight
    others = length.sum() - length
    expected = 1 / (1 / length + 1 / others)
    torch.testing.assert_close(exact_resistance(row, col, weight, 4), expected)


def test_house_by_hand():
    """A square with a roof has 11 spanning trees: 6 through the beam, 7 a rafter."""
    row, col = pairs_of(house())
    resistance = 11 * exact_resistance(row, col, None, 5)
    assert sorted(resistance.tolist()) == pytest.approx([6, 7, 7, 8, 8, 8])


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("data", [grid(4, 4), complete(16)], ids=["grid", "clique"])
@pytest.mark.parametrize("seed", [46199, 90863])
def test_weights_over_many_orders(data, seed, dense, monkeypatch):
    """Every resistance keeps its relative accuracy, whatever weights are beside it."""
    if dense:
        all_dense(monkeypatch)
    row, col = pairs_of(data)
    weight = random_weight(len(row), seed, orders=24)
    resistance = exact_resistance(row, col, weight, 16)
    expected = by_fractions(row, col, weight, 16)
    torch.testing.assert_close(resistance, expected, rtol=1e-13, atol=0)


def test_weak_bridge_between_strong_cliques():
    """Inverting the Laplacian loses all digits of the resistances in the cliques."""
    data = barbell(20)
    row, col = pairs_of(data)
    is_bridge = (row < 20) & (col >= 20)
    bridge, pair = torch.tensor([1e-6, 1e6], dtype=torch.float64)
    weight = torch.where(is_bridge, bridge, pair)
    resistance = exact_resistance(row, col, weight, 40)
    expected = torch.where(is_bridge, 1 / bridge, 2 / 20 / pair)
    torch.testing.assert_close(resistance, expected, rtol=1e-12, atol=0)


def test_removing_a_pair_lowers_no_resistance():
    """Rayleigh's monotonicity law."""
    row, col = pairs_of(random_graph(num_nodes=50, p=0.2, seed=71993))
    weight = random_weight(len(row), 71993)
    before = exact_resistance(row, col, weight, 50)
    for pair in (0, len(row) // 2, len(row) - 1):
        keep = torch.arange(len(row)) != pair
        after = exact_resistance(row[keep], col[keep], weight[keep], 50)
        assert (after >= before[keep] * (1 - 1e-12)).all()


def test_pair_of_weight_zero_measures_what_is_between_its_ends():
    row, col = torch.tensor([[0, 0, 1, 2], [1, 2, 2, 3]])
    weight = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=torch.float64)
    expected = torch.tensor([1.0, 2.0, 1.0, torch.inf], dtype=torch.float64)
    assert exact_resistance(row, col, weight, 4).equal(expected)


def test_weight_zero_between_components_is_infinite(monkeypatch):
    ends = [(u, v) for u in range(12) for v in range(u + 1, 12)]
    row, col = torch.tensor(ends).t()
    apart = (row < 6) != (col < 6)
    weight = (~apart).double()
    expected = torch.full_like(weight, 2 / 6).masked_fill(apart, torch.inf)
    torch.testing.assert_close(exact_resistance(row, col, weight, 12), expected)
    all_dense(monkeypatch)
    torch.testing.assert_close(exact_resistance(row, col, weight, 12), expected)


@pytest.mark.parametrize("num_nodes", [0, 1, 5])
def test_no_pairs(num_nodes):
    empty = torch.empty(0, dtype=torch.long)
    assert exact_resistance(empty, empty, None, num_nodes).shape == (0,)
    assert predict_exact(empty, empty, num_nodes).flops == 0


def test_isolated_nodes_and_several_components():
    """Two triangles, a path, and nodes without edges in between."""
    row, col = torch.tensor([[1, 1, 2, 5, 6, 8, 8, 9], [2, 3, 3, 6, 7, 9, 11, 11]])
    third = 2 / 3
    expected = torch.tensor([third] * 3 + [1.0, 1.0] + [third] * 3).double()
    torch.testing.assert_close(exact_resistance(row, col, None, 14), expected)


def test_input_is_untouched():
    row, col = pairs_of(random_graph(num_nodes=30, p=0.3, seed=16217))
    weight = random_weight(len(row), 16217)
    copies = row.clone(), col.clone(), weight.clone()
    exact_resistance(row, col, weight, 30)
    assert row.equal(copies[0])
    assert col.equal(copies[1])
    assert weight.equal(copies[2])


def test_large_cores_are_refused(monkeypatch):
    monkeypatch.setattr(exact, "MAX_CORE", 100)
    row, col = pairs_of(complete(300))
    message = r"at most 100 nodes \(got 300 of 300 nodes, 0.0 GB\); use method='tree'"
    with pytest.raises(ValueError, match=message):
        exact_resistance(row, col, None, 300)
    row, col = pairs_of(grid(20, 20))
    assert exact_resistance(row, col, None, 400).sum().item() == pytest.approx(399)


def test_prediction():
    """Trees cost nothing, a clique a dense inverse, and more than MAX_CORE is told."""
    row, col = pairs_of(path(1000))
    assert predict_exact(row, col, 1000).flops == 0
    row, col = pairs_of(complete(400))
    cost = predict_exact(row, col, 400)
    assert cost.flops == pytest.approx(2 * 400**3)
    assert 8 * 400**2 < cost.bytes < 16 * 400**2 + 80 * len(row)
