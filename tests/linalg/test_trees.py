"""Spanning-tree estimates: trees, single-tree estimates, and theorems."""

from collections import Counter
from itertools import combinations

import networkx
import numpy as np
import pytest
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gsparse.data import barbell, complete, cycle, grid, lollipop, path, random_graph
from gsparse.edges import undirected_pairs
from gsparse.kernels.resistance.forest_estimate import add_forest
from gsparse.kernels.resistance.wilson import empty_forest, grow_forest, number_forest
from gsparse.linalg import trees
from gsparse.linalg.elimination import peel
from gsparse.linalg.exact import exact_resistance
from gsparse.linalg.trees import WalkBudgetError, make_walk, tree_resistance


def pairs_of(data):
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return pairs.row, pairs.col


def random_weight(num_pairs, seed, orders=1.0):
    generator = torch.Generator().manual_seed(seed)
    exponent = torch.rand(num_pairs, generator=generator, dtype=torch.float64) - 0.5
    return 10 ** (orders * exponent)


def rank(row, col, num_nodes):
    graph = coo_array((np.ones(len(row)), (row, col)), shape=(num_nodes, num_nodes))
    return num_nodes - connected_components(graph, directed=False)[0]


def walk_on(row, col, weight, num_nodes):
    """A network without leaves, ready to walk on."""
    net = peel(row, col, weight, num_nodes)
    assert not net.peeled.any()
    assert net.num_nodes == num_nodes
    return net, make_walk(net.ptr, net.nbr, net.pair, net.weight)


def draw(walk, seed):
    forest = empty_forest(len(walk.strength))
    assert grow_forest(walk, forest, np.uint64(seed), 10**7) >= 0
    number_forest(walk, forest)
    return forest


def tree_pairs(walk, forest):
    return [int(walk.pair[s]) for s in forest.parent_slot[forest.parent >= 0]]


GRAPHS = {
    "grid": grid(6, 7),
    "random": random_graph(num_nodes=40, p=0.3, seed=24683),
    "dense": random_graph(num_nodes=40, p=0.7, seed=24683),
    "clique": complete(70),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("weighted", [False, True])
def test_forests_span(name, weighted):
    """N - 1 different pairs without a cycle, and numbers that are a preorder."""
    row, col = pairs_of(GRAPHS[name])
    weight = random_weight(len(row), 57719) if weighted else None
    _, walk = walk_on(row, col, weight, GRAPHS[name].num_nodes)
    for seed in (11213, 86453, 30011):
        forest = draw(walk, seed)
        pairs = tree_pairs(walk, forest)
        tree = networkx.Graph([(int(row[e]), int(col[e]), {"pair": e}) for e in pairs])
        assert networkx.is_tree(tree)
        assert len(tree) == GRAPHS[name].num_nodes
        rooted = networkx.bfs_tree(tree, int(walk.roots[0]))
        for u in rooted:
            below = networkx.descendants(rooted, u) | {u}
            first = forest.position[u]
            numbered = forest.node[first : first + forest.size[u]].tolist()
            assert set(numbered) == below


def test_every_tree_of_a_weighted_graph_has_its_probability():
    """The product of the weights over the sum of all products, within 5 sigma."""
    row, col = pairs_of(complete(4))
    weight = torch.tensor([0.3, 2.0, 1.0, 0.7, 5.0, 0.1], dtype=torch.float64)
    ends = list(zip(row.tolist(), col.tolist(), strict=True))
    product = {}
    for chosen in combinations(range(6), 3):
        tree = networkx.Graph([ends[e] for e in chosen])
        if len(tree) == 4 and networkx.is_tree(tree):
            product[chosen] = weight[list(chosen)].prod().item()
    assert len(product) == 16  # Cayley
    _, walk = walk_on(row, col, weight, 4)
    draws = 8000
    count = Counter(
        tuple(sorted(tree_pairs(walk, draw(walk, 700001 * seed))))
        for seed in range(draws)
    )
    for tree, value in product.items():
        p = value / sum(product.values())
        assert abs(count[tree] - draws * p) <= 5 * (draws * p * (1 - p)) ** 0.5 + 1


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("weighted", [False, True])
def test_one_forest_against_the_definition(name, weighted):
    """Average over the parents each node could have, all other parents given."""
    row, col = pairs_of(GRAPHS[name])
    n = GRAPHS[name].num_nodes
    weight = random_weight(len(row), 40037, orders=6) if weighted else None
    net, walk = walk_on(row, col, weight, n)
    forest = draw(walk, 19477)
    bulk, less = np.zeros(n), np.zeros(len(net.nbr))
    add_forest(walk, forest, bulk, less)
    u, v = row.numpy(), col.numpy()
    estimate = bulk[u] + bulk[v] - np.bincount(net.pair, less, len(row))

    conductance = np.ones(len(row)) if weight is None else weight.numpy()
    expected = np.zeros(len(row))
    for child in np.flatnonzero(forest.parent >= 0):
        below = set(
            forest.node[forest.position[child] :][: forest.size[child]].tolist()
        )
        entries = range(net.ptr[child], net.ptr[child + 1])
        possible = [net.pair[k] for k in entries if net.nbr[k] not in below]
        expected[possible] += 1 / conductance[possible].sum()
    np.testing.assert_allclose(estimate, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("max_degree", [0, 3, 8])
@pytest.mark.parametrize("p", [0.004, 0.02, 0.1])
@pytest.mark.parametrize("orders", [0.0, 3.0])
def test_foster_holds_for_two_trees(p, max_degree, orders):
    row, col = pairs_of(random_graph(num_nodes=400, p=p, seed=61583))
    weight = random_weight(len(row), 61583, orders) if orders else None
    resistance, variance, num_trees = tree_resistance(
        row, col, weight, 400, num_trees=2, seed=10937, max_degree=max_degree
    )
    total = (resistance if weight is None else weight * resistance).sum().item()
    assert total == pytest.approx(rank(row, col, 400), rel=1e-12)
    assert num_trees == 2
    assert (variance >= 0).all()


@pytest.mark.parametrize("max_degree", [0, 6])
@pytest.mark.parametrize("orders", [0.0, 2.0])
def test_unbiased_and_so_is_the_variance(max_degree, orders):
    """The mean of 200 estimates within 4.5 standard errors; variances within 8 %."""
    row, col = pairs_of(random_graph(num_nodes=45, p=0.2, seed=93133))
    weight = random_weight(len(row), 93133, orders) if orders else None
    exact = exact_resistance(row, col, weight, 45)
    runs = [
        tree_resistance(
            row, col, weight, 45, num_trees=200, seed=seed, max_degree=max_degree
        )
        for seed in range(50000, 50200)
    ]
    estimates = torch.stack([run.resistance for run in runs])
    error = (estimates.mean(0) - exact).abs()
    spread = estimates.var(0)
    assert (error <= 4.5 * (spread / 200).sqrt() + 1e-12).all()
    reported = torch.stack([run.variance for run in runs]).mean(0)
    assert reported.sum().item() == pytest.approx(spread.sum().item(), rel=0.08)


def test_one_tree_says_more_than_counting():
    """On a clique of 100 counting has relative variance 49 a tree."""
    row, col = pairs_of(complete(100))
    run = tree_resistance(row, col, None, 100, num_trees=200, seed=77839)
    assert 200 * run.variance.mean().item() < 0.05 * (49 * (2 / 100) ** 2)
    assert (run.resistance * 50 - 1).square().mean().sqrt().item() < 0.1


def test_hanging_trees_and_bridges_are_exact():
    row, col = pairs_of(lollipop(12, 5))
    run = tree_resistance(row, col, None, 17, num_trees=9, seed=35107, max_degree=0)
    in_tail = col >= 12
    assert (run.resistance[in_tail] == 1).all()
    assert (run.variance[in_tail] == 0).all()
    assert (run.variance[~in_tail] > 0).all()

    row, col = pairs_of(barbell(12))
    run = tree_resistance(row, col, None, 24, num_trees=9, seed=35107, max_degree=0)
    bridge = (row < 12) & (col >= 12)
    assert run.resistance[bridge].item() == pytest.approx(1, rel=1e-14)


@pytest.mark.parametrize("data", [path(30), cycle(30), grid(3, 10)], ids=repr)
def test_graphs_without_a_core_are_exact(data):
    row, col = pairs_of(data)
    weight = random_weight(len(row), 68863, orders=12)
    run = tree_resistance(row, col, weight, 30, num_trees=2, seed=1)
    exact = exact_resistance(row, col, weight, 30)
    torch.testing.assert_close(run.resistance, exact, rtol=1e-12, atol=0)
    assert (run.variance == 0).all()


@pytest.mark.parametrize("num_nodes", [0, 1, 6])
def test_no_pairs(num_nodes):
    empty = torch.empty(0, dtype=torch.long)
    run = tree_resistance(empty, empty, None, num_nodes, num_trees=4, seed=29443)
    assert run.resistance.shape == run.variance.shape == (0,)


def test_pair_of_weight_zero_is_estimated_too():
    ends = list(combinations(range(12), 2))
    row, col = torch.tensor(ends).t()
    weight = torch.ones(len(ends), dtype=torch.float64)
    weight[0] = 0.0
    exact = exact_resistance(row, col, weight, 12)
    run = tree_resistance(row, col, weight, 12, num_trees=2000, seed=84121)
    error = (run.resistance - exact).abs()
    assert (error <= 6 * run.variance.sqrt()).all()

    weight = ((row < 6) == (col < 6)).double()  # two cliques and nothing between
    run = tree_resistance(row, col, weight, 12, num_trees=2, seed=84121, max_degree=0)
    assert run.resistance.isinf().equal(weight == 0)
    assert (run.variance[weight == 0] == 0).all()
    assert run.resistance[weight > 0].sum().item() == pytest.approx(10)


def test_same_bits_for_any_number_of_threads():
    row, col = pairs_of(random_graph(num_nodes=500, p=0.05, seed=15401))
    threads = torch.get_num_threads()
    try:
        runs = []
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            runs.append(tree_resistance(row, col, None, 500, num_trees=50, seed=44543))
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert run.resistance.equal(runs[0].resistance)
        assert run.variance.equal(runs[0].variance)


def test_same_bits_when_little_memory_is_used(monkeypatch):
    row, col = pairs_of(random_graph(num_nodes=100, p=0.3, seed=26177))
    options = {"num_trees": 20, "seed": 50969}
    free = tree_resistance(row, col, None, 100, **options)
    monkeypatch.setattr("gsparse.linalg.trees.SLOT_BYTES", 1)
    tight = tree_resistance(row, col, None, 100, **options)
    assert tight.resistance.equal(free.resistance)


def test_tolerance_stops_early():
    row, col = pairs_of(random_graph(num_nodes=300, p=0.1, seed=97103))
    exact = exact_resistance(row, col, None, 300)
    run = tree_resistance(
        row, col, None, 300, num_trees=10**6, seed=31069, tolerance=0.02
    )
    assert run.num_trees < 2000
    error = (run.resistance / exact - 1).square().mean().sqrt().item()
    assert error == pytest.approx(0.02, abs=0.012)
    capped = tree_resistance(
        row, col, None, 300, num_trees=30, seed=31069, tolerance=1e-9
    )
    assert capped.num_trees == 30


def test_walks_that_take_too_long_are_refused(monkeypatch):
    """A walker leaves a clique of conductance 1e6 once in 1e6 steps."""
    row, col = pairs_of(complete(40))
    inside = (row < 20) == (col < 20)
    weight = torch.ones(len(row), dtype=torch.float64)
    weight[inside] = 1e6
    monkeypatch.setattr(trees, "WIDE", 1e7)
    message = r"took more than 1011800 steps on 40 nodes; use method='jl'"
    with pytest.raises(WalkBudgetError, match=message):
        tree_resistance(row, col, weight, 40, num_trees=2, seed=71429)
    with pytest.raises(WalkBudgetError, match="more than 30 steps"):
        tree_resistance(row, col, None, 40, num_trees=2, seed=71429, max_steps=30)


@pytest.mark.parametrize("num_trees", [-3, 0, 1])
def test_one_tree_has_no_spread(num_trees):
    row, col = pairs_of(complete(5))
    with pytest.raises(ValueError, match=rf"at least 2 \(got {num_trees}\)"):
        tree_resistance(row, col, None, 5, num_trees=num_trees, seed=13099)


def test_weights_too_far_apart_are_refused():
    row, col = torch.combinations(torch.arange(20)).t()
    weight = torch.ones(190, dtype=torch.float64)
    weight[3], weight[4] = 1e-2, 1e2
    with pytest.raises(ValueError, match=r"within a factor of 1000 \(got 1e\+04\)"):
        tree_resistance(row, col, weight, 20, num_trees=8, seed=1)
    weight[4] = 0.0
    assert tree_resistance(row, col, weight, 20, num_trees=8, seed=1).num_trees == 8
