"""The Laplacian operator against its definition."""

import networkx as nx
import pytest
import torch

from gsparse.data import barbell, grid, random_graph, star
from gsparse.edges import undirected_pairs
from gsparse.linalg import Laplacian


def pairs_of(data):
    return undirected_pairs(data.edge_index, data.num_nodes)


def dense_laplacian(row, col, weight, num_nodes):
    """The definition, one edge at a time."""
    L = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    for u, v, w in zip(row.tolist(), col.tolist(), weight.tolist(), strict=True):
        L[u, u] += w
        L[v, v] += w
        L[u, v] -= w
        L[v, u] -= w
    return L


def random_weight(num_pairs, seed, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    draw = torch.randn(num_pairs, generator=generator, dtype=torch.float64)
    return 10 ** (spread * draw)


def as_networkx(row, col, num_nodes):
    graph = nx.Graph()
    graph.add_nodes_from(range(num_nodes))
    graph.add_edges_from(zip(row.tolist(), col.tolist(), strict=True))
    return graph


GRAPHS = {
    "random": random_graph(num_nodes=40, p=0.15, seed=61717),
    "isolated nodes": random_graph(num_nodes=40, p=0.03, seed=61717),
    "no edges": random_graph(num_nodes=4, p=0.0, seed=61717),
    "one node": random_graph(num_nodes=1, p=0.0, seed=61717),
    "star": star(30),
    "larger than a block": random_graph(num_nodes=1500, p=0.004, seed=29531),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 5, 8, 19])
@pytest.mark.parametrize("graph", GRAPHS)
def test_product_matches_definition(graph, k, dtype, weighted):
    row, col, _, n = pairs_of(GRAPHS[graph])
    weight = random_weight(row.numel(), 50227, spread=0.3) if weighted else None
    dense = dense_laplacian(
        row, col, torch.ones(len(row)) if weight is None else weight, n
    )
    X = torch.randn(n, k, dtype=dtype, generator=torch.Generator().manual_seed(75193))
    L = Laplacian(row, col, weight, n, dtype)
    torch.testing.assert_close(L.matmul(X), (dense @ X.double()).to(dtype))
    torch.testing.assert_close(L.diagonal, dense.diagonal())


def test_constants_are_in_the_kernel():
    row, col, _, n = pairs_of(GRAPHS["random"])
    L = Laplacian(row, col, random_weight(row.numel(), 38693), n)
    product = L.matmul(torch.ones(n, 3, dtype=torch.float64))
    assert (product.abs() <= 1e-12 * L.diagonal[:, None]).all()


def test_same_bits_with_one_and_two_threads():
    data = random_graph(num_nodes=3000, p=0.03, seed=97771)
    row, col, _, n = pairs_of(data)
    L = Laplacian(row, col, random_weight(row.numel(), 14741), n)
    X = torch.randn(n, 16, dtype=torch.float64)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(L.matmul(X))
    finally:
        torch.set_num_threads(before)
    assert results[0].equal(results[1])


@pytest.mark.parametrize("seed", [11003, 47317, 83207])
@pytest.mark.parametrize("p", [0.01, 0.03, 0.06])
def test_components_and_bridges_match_networkx(p, seed):
    row, col, _, n = pairs_of(random_graph(num_nodes=60, p=p, seed=seed))
    L = Laplacian(row, col, None, n)
    graph = as_networkx(row, col, n)
    expected = sorted(map(sorted, nx.connected_components(graph)))
    found = [
        (L.component == i).nonzero().view(-1).tolist() for i in range(L.num_components)
    ]
    assert found == expected
    bridges = {tuple(sorted(edge)) for edge in nx.bridges(graph)}
    ends = torch.stack([row, col])[:, L.bridges].t().tolist()
    assert set(map(tuple, ends)) == bridges


def test_bridges_by_hand():
    row, col, _, n = pairs_of(barbell(4))
    ends = torch.stack([row, col])[:, Laplacian(row, col, None, n).bridges]
    assert ends.t().tolist() == [[3, 4]]
    row, col, _, n = pairs_of(grid(3, 4))
    assert not Laplacian(row, col, None, n).bridges.any()
    row, col, _, n = pairs_of(star(5))
    assert Laplacian(row, col, None, n).bridges.all()


def test_unweighted_graph_stores_no_values():
    row, col, _, n = pairs_of(GRAPHS["random"])
    L = Laplacian(row, col, None, n)
    assert L.values.numel() == 0
    assert L.indices.dtype == torch.int32


@pytest.mark.parametrize(
    ("row", "col", "message"),
    [
        ([1], [0], r"row < col < num_nodes .*\(got \(1, 0\) at 0 with 3 nodes\)"),
        ([0, 0], [1, 1], r"no duplicates \(got \(0, 1\) at 1"),
        ([1, 0], [2, 1], r"sorted pairs .*\(got \(0, 1\) at 1"),
        ([0], [3], r"\(got \(0, 3\) at 0 with 3 nodes\)"),
        ([0, 1], [1], r"one shape \[M\] \(got \[2\] and \[1\]\)"),
    ],
)
def test_pairs_out_of_order_are_refused(row, col, message):
    with pytest.raises(ValueError, match=message):
        Laplacian(torch.tensor(row), torch.tensor(col), None, num_nodes=3)


@pytest.mark.parametrize("value", [0.0, -2.0, float("nan"), float("inf")])
def test_bad_weight_is_refused(value):
    row, col = torch.tensor([[0, 1], [1, 2]])
    weight = torch.tensor([1.0, value])
    with pytest.raises(ValueError, match=rf"positive and finite \(got {value}\)"):
        Laplacian(row, col, weight, num_nodes=3)


def test_other_shapes_and_dtypes_are_refused():
    row, col = torch.tensor([[0, 1], [1, 2]])
    L = Laplacian(row, col, None, num_nodes=3)
    with pytest.raises(ValueError, match=r"shape \[3, k\] \(got \[4, 1\]\)"):
        L.matmul(torch.ones(4, 1, dtype=torch.float64))
    with pytest.raises(
        TypeError, match=r"must be torch.float64 .*\(got torch.float32\)"
    ):
        L.matmul(torch.ones(3, 1))
    with pytest.raises(TypeError, match=r"float32 or float64 \(got torch.int64\)"):
        Laplacian(row, col, None, 3, torch.int64)
    with pytest.raises(
        ValueError, match=r"'weight' must have shape \[2\] \(got \[3\]\)"
    ):
        Laplacian(row, col, torch.ones(3), 3)
