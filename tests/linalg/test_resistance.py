"""Every method on every graph against the pseudo-inverse and theorems."""

import logging

import networkx as nx
import pytest
import torch

from gsparse.data import (
    barbell,
    complete,
    cycle,
    grid,
    lollipop,
    path,
    random_graph,
    star,
)
from gsparse.edges import undirected_pairs
from gsparse.linalg import (
    Laplacian,
    effective_resistance,
    pair_resistance,
    resistance,
)

METHODS = ["auto", "exact", "tree", "jl"]
#: Largest error of a leverage w R; the sampling methods aim at 5 % of R on average.
LIMIT = {"auto": 1e-8, "exact": 1e-8, "tree": 0.12, "jl": 0.12}


def two_components():
    data = barbell(6)
    other = cycle(7).edge_index + data.num_nodes + 2  # two isolated nodes between
    data.edge_index = torch.cat([data.edge_index, other], dim=1)
    data.num_nodes = data.num_nodes + 9
    return data


def messy():
    """Self-loops, a triple edge, an isolated node, edges in any order."""
    edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (2, 3), (3, 2)]
    both = edges + [(v, u) for u, v in edges] + [(1, 1), (5, 5), (1, 1)]
    data = path(7)
    data.edge_index = torch.tensor(both).t()[:, torch.randperm(len(both))]
    return data


GRAPHS = {
    "sparse": random_graph(num_nodes=60, p=0.06, seed=20903),
    "dense": random_graph(num_nodes=60, p=0.5, seed=20903),
    "clique": complete(30),
    "grid": grid(6, 7),
    "star": star(12),
    "path": path(15),
    "lollipop": lollipop(10, 6),
    "components": two_components(),
    "messy": messy(),
}


#: Orders of magnitude of the weights; spanning trees are refused beyond three.
ORDERS = {"mild": 1, "wide": 6, "wide for trees": 3}


def weights(data, kind, seed=35521):
    """One weight per entry, equal for both directions."""
    if kind == "none":
        return None
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(pairs.num_pairs + 1, generator=generator, dtype=torch.float64)
    return 10 ** ((draw - 0.5) * ORDERS[kind])[pairs.pair]


def total_weight(data, edge_weight):
    """Conductance between the ends of each entry, parallel copies added."""
    row, col = data.edge_index
    key = row * data.num_nodes + col
    w = (
        torch.ones(key.numel(), dtype=torch.float64)
        if edge_weight is None
        else edge_weight
    )
    total = torch.zeros(data.num_nodes**2, dtype=torch.float64).index_add_(0, key, w)
    return total[key]


def reference(data, edge_weight=None):
    """The definition: ground the last node of every component and invert."""
    row, col = data.edge_index
    w = torch.ones(row.numel(), dtype=torch.float64)
    w = w if edge_weight is None else edge_weight.double()
    n = data.num_nodes
    L = torch.zeros(n, n, dtype=torch.float64)
    L.index_put_((row, col), -w, accumulate=True)
    L.fill_diagonal_(0)
    L = L - torch.diag(L.sum(1))
    graph = nx.Graph(data.edge_index.t().tolist())
    graph.add_nodes_from(range(n))
    free = [u for part in nx.connected_components(graph) for u in sorted(part)[:-1]]
    Z = torch.zeros_like(L)
    index = torch.tensor(free, dtype=torch.long)
    Z[index[:, None], index] = torch.linalg.inv(L[index[:, None], index])
    return Z[row, row] + Z[col, col] - 2 * Z[row, col]


@pytest.mark.parametrize("kind", ["none", "mild", "wide"])
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("method", METHODS)
def test_matches_the_pseudo_inverse(method, graph, kind):
    data = GRAPHS[graph]
    if method == "tree" and kind == "wide":
        kind = "wide for trees"
    edge_weight = weights(data, kind)
    expected = reference(data, edge_weight)
    found = effective_resistance(
        data.edge_index, edge_weight, data.num_nodes, method=method, seed=64891
    )
    loop = data.edge_index[0] == data.edge_index[1]
    assert found.dtype == torch.float64
    assert (found[loop] == 0).all()
    w = total_weight(data, edge_weight)
    assert (w * (found - expected))[~loop].abs().max() <= LIMIT[method]


@pytest.mark.parametrize("method", METHODS)
def test_directions_and_copies_share_one_value(method):
    data = GRAPHS["messy"]
    found = effective_resistance(data.edge_index, None, 7, method=method, seed=28753)
    pairs = undirected_pairs(data.edge_index, 7)
    for pair in range(pairs.num_pairs):
        assert found[pairs.pair == pair].unique().numel() == 1


@pytest.mark.parametrize("method", METHODS)
def test_parallel_edges_are_conductances_that_add(method):
    """Three copies between two nodes have a third of the resistance."""
    edge_index = torch.tensor([[0, 1, 0, 1, 1, 0], [1, 0, 1, 0, 0, 1]])
    found = effective_resistance(edge_index, method=method)
    torch.testing.assert_close(found, torch.full((6,), 1 / 3, dtype=torch.float64))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("num_nodes", [0, 1, 5])
def test_no_edges(num_nodes, method):
    empty = torch.empty(2, 0, dtype=torch.long)
    assert effective_resistance(empty, None, num_nodes, method=method).shape == (0,)


@pytest.mark.parametrize("method", METHODS)
def test_only_self_loops(method):
    loops = torch.tensor([[0, 1], [0, 1]])
    assert effective_resistance(loops, None, 3, method=method).tolist() == [0, 0]


@pytest.mark.parametrize("method", ["auto", "exact", "jl"])
def test_zero_weight_conducts_nothing(method):
    """A triangle with one dead side, and an edge that alone joins its ends."""
    row, col = torch.tensor([[0, 0, 1, 3], [1, 2, 2, 4]])
    weight = torch.tensor([1.0, 0.0, 0.5, 0.0], dtype=torch.float64)
    found = pair_resistance(row, col, weight, 5, method=method).resistance
    torch.testing.assert_close(found[[0, 2]], torch.tensor([1.0, 2.0]).double())
    assert found[1] == pytest.approx(3.0, rel=0.2 if method == "jl" else 1e-12)
    assert found[3] == torch.inf


@pytest.mark.parametrize("seed", [31337, 77261])
@pytest.mark.parametrize("p", [0.05, 0.2, 0.8])
@pytest.mark.parametrize(
    ("method", "rel"), [("exact", 1e-10), ("jl", 0.02), ("tree", 0.02)]
)
def test_foster(method, rel, p, seed):
    """The leverages of all pairs sum to nodes minus components."""
    data = random_graph(num_nodes=150, p=p, seed=seed)
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(row.numel(), generator=generator, dtype=torch.float64) + 0.5
    result = pair_resistance(row, col, weight, n, method=method, seed=seed)
    rank = n - Laplacian(row, col, weight, n).num_components
    assert (weight * result.resistance).sum().item() == pytest.approx(rank, rel=rel)


def test_removing_an_edge_cannot_lower_a_resistance():
    """Rayleigh's monotonicity."""
    data = random_graph(num_nodes=40, p=0.2, seed=82549)
    before = effective_resistance(data.edge_index, None, 40)
    pairs = undirected_pairs(data.edge_index, 40)
    for pair in range(0, pairs.num_pairs, 17):
        keep = pairs.pair != pair
        after = effective_resistance(data.edge_index[:, keep], None, 40)
        assert (after >= before[keep] - 1e-12).all()


@pytest.mark.parametrize("size", [3, 5, 8])
@pytest.mark.parametrize("method", ["auto", "exact"])
def test_clique_edges_have_resistance_two_over_n(method, size):
    data = barbell(size)
    found = effective_resistance(data.edge_index, None, data.num_nodes, method=method)
    bridge = data.edge_index.sum(dim=0) == 2 * size - 1
    torch.testing.assert_close(found, torch.where(bridge, 1.0, 2 / size).double())


@pytest.mark.parametrize("method", ["exact", "tree", "jl"])
def test_same_bits_for_any_order_and_thread_count(method):
    data = random_graph(num_nodes=120, p=0.15, seed=45887)
    shuffle = torch.randperm(data.num_edges)
    before, results = torch.get_num_threads(), []
    try:
        for threads, order in ((1, torch.arange(data.num_edges)), (2, shuffle)):
            torch.set_num_threads(threads)
            edges = data.edge_index[:, order]
            found = effective_resistance(edges, None, 120, method=method, seed=7333)
            results.append(torch.empty_like(found).scatter_(0, order, found))
    finally:
        torch.set_num_threads(before)
    assert results[0].equal(results[1])


def test_result_says_how_it_was_found(caplog):
    data = GRAPHS["dense"]
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    with caplog.at_level(logging.INFO, logger="gsparse.linalg.resistance"):
        result = pair_resistance(row, col, None, n)
    assert result.method == "exact"
    assert set(result.seconds) == {"exact", "tree", "jl"}
    assert f"effective resistance of {len(row)} pairs by method 'exact'" in caplog.text
    sampled = pair_resistance(row, col, None, n, method="jl", seed=50587)
    assert sampled.method == "jl"
    assert 0 < sampled.error < 0.05
    assert sampled.seconds is None


def test_the_error_of_trees_is_the_measured_one():
    data = random_graph(num_nodes=60, p=0.3, seed=31183)
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    exact = pair_resistance(row, col, None, n, method="exact").resistance
    found = pair_resistance(row, col, None, n, method="tree", seed=50588)
    measured = (found.resistance / exact - 1).square().mean().sqrt().item()
    assert measured == pytest.approx(found.error, rel=0.3)


def test_trees_are_drawn_for_the_variance_of_a_mean_leverage():
    """The mean leverage of 40 pairs of 8 nodes is 1 / 5: 4 / T is the variance."""
    row = torch.zeros(40, dtype=torch.long)
    assert resistance._num_trees((row, row, None, 8), tolerance=0.1) == 400
    assert resistance._num_trees((row, row, None, 8), tolerance=0.05) == 1600
    assert resistance._num_trees((row, row, None, 39), tolerance=0.5) == 64


def test_auto_samples_what_is_too_dense_to_invert():
    """40,000 nodes of degree 40 would leave a dense block far beyond the limit."""
    n = 40_000
    generator = torch.Generator().manual_seed(94439)
    ends = torch.randint(n, (2, 20 * n), generator=generator)
    ends = torch.cat([ends, ends.flip(0)], dim=1)
    row, col, _, _ = undirected_pairs(ends, n)
    result = pair_resistance(row, col, None, n, seed=13859)
    assert result.method == "jl"
    assert "exact" not in result.seconds
    assert result.resistance.sum().item() == pytest.approx(n - 1, rel=1e-3)


def test_auto_goes_on_when_a_method_gives_up(monkeypatch, caplog):
    def give_up(*args, **kwargs):
        raise RuntimeError("no convergence")

    monkeypatch.setattr(resistance, "_predict", lambda *args: {"jl": 1.0, "tree": 2.0})
    monkeypatch.setattr(resistance, "jl_resistance", give_up)
    data = GRAPHS["dense"]
    row, col, _, n = undirected_pairs(data.edge_index, data.num_nodes)
    with caplog.at_level(logging.INFO, logger="gsparse.linalg.resistance"):
        assert pair_resistance(row, col, None, n, seed=80963).method == "tree"
    assert "method 'jl' failed: no convergence" in caplog.text


def test_seed_none_draws_from_the_generator_of_torch():
    data = GRAPHS["dense"]
    torch.manual_seed(68881)
    first = effective_resistance(data.edge_index, None, 60, method="jl")
    second = effective_resistance(data.edge_index, None, 60, method="jl")
    torch.manual_seed(68881)
    assert effective_resistance(data.edge_index, None, 60, method="jl").equal(first)
    assert not first.equal(second)


def test_bad_input_is_refused():
    row, col = torch.tensor([[0, 1], [1, 2]])
    with pytest.raises(ValueError, match=r"'method' must be one of .*\(got 'magic'\)"):
        pair_resistance(row, col, None, 3, method="magic")
    with pytest.raises(ValueError, match=r"'tolerance' must be positive \(got -1\)"):
        pair_resistance(row, col, None, 3, tolerance=-1)
    with pytest.raises(ValueError, match="effective resistance needs an undirected"):
        effective_resistance(torch.tensor([[0], [1]]))
    both = torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(ValueError, match=r"must not be negative \(got -1.0 at 0\)"):
        effective_resistance(both, torch.tensor([-1.0, -1.0]))


@pytest.mark.parametrize("method", ["exact", "tree", "jl"])
def test_parallel_edges_add_alike_in_any_order(method):
    """Three copies of unequal weight, whose sum depends on the order of adding."""
    data = random_graph(num_nodes=80, p=0.3, seed=60449)
    pairs = undirected_pairs(data.edge_index, 80)
    generator = torch.Generator().manual_seed(5)
    edges = data.edge_index.repeat(1, 3)
    draw = torch.rand(3, pairs.num_pairs, generator=generator, dtype=torch.float64)
    weight = draw[:, pairs.pair].flatten()
    shuffle = torch.randperm(edges.size(1), generator=generator)
    one = effective_resistance(edges, weight, 80, method=method, seed=3)
    other = effective_resistance(
        edges[:, shuffle], weight[shuffle], 80, method=method, seed=3
    )
    assert one[shuffle].equal(other)


def test_two_standard_deviations_of_trees_cover_the_truth():
    data = random_graph(num_nodes=60, p=0.3, seed=52051)
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    ends = pairs.row, pairs.col, None, pairs.num_nodes
    exact = pair_resistance(*ends, method="exact").resistance
    covered = [
        ((it.resistance - exact).abs() <= 2 * it.std).double().mean()
        for seed in range(20)
        for it in [pair_resistance(*ends, method="tree", seed=seed)]
    ]
    assert 0.93 <= float(torch.stack(covered).mean()) <= 0.98
