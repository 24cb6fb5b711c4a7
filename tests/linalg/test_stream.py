"""Leverages of streamed graphs: exact values, bottlenecks, and every bit."""

import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import torch

from gsparse.data import cycle, karate
from gsparse.edges import undirected_pairs
from gsparse.edges.row_blocks import PairRows
from gsparse.linalg import pair_resistance, streamed_leverage
from gsparse.linalg.certificates import CertificateError
from gsparse.linalg.pair_sums import FileSums, MemorySums
from gsparse.linalg.stream import SOLVED, WIDTH, pair_leverage
from gsparse.linalg.stream_columns import solve_columns
from gsparse.linalg.stream_pieces import find_pieces


def pairs_of(graph):
    edges = torch.tensor(sorted(tuple(sorted(edge)) for edge in graph.edges))
    return edges[:, 0].contiguous(), edges[:, 1].contiguous()


def sparse_graph(seed, num_nodes=300, num_edges=700):
    """Return the pairs of a graph with isolated nodes, trees and several components."""
    return pairs_of(nx.gnm_random_graph(num_nodes, num_edges, seed=seed))


def rows(row, col, weight=None, num_nodes=300, size=1 << 20):
    own = None if weight is None else weight.numpy()
    return PairRows(row.numpy(), col.numpy(), own, num_nodes, size)


def weights(count, seed, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(count, generator=generator, dtype=torch.float64)).exp()


def exact(row, col, weight, num_nodes):
    found = pair_resistance(row, col, weight, num_nodes, method="exact").resistance
    return found if weight is None else (weight * found).nan_to_num(0.0)


@pytest.mark.parametrize("spread", [None, 1.0, 3.0])
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_leverages_are_within_the_tolerance(seed, spread):
    row, col = sparse_graph(seed)
    weight = None if spread is None else weights(row.numel(), seed, spread)
    graph = rows(row, col, weight)
    found = streamed_leverage(graph, MemorySums(row.numel()), seed=seed)
    ours = found.of(0, row, col, weight)
    true = exact(row, col, weight, 300)
    error = ((ours - true) / true).square().mean().sqrt()
    assert error < 0.06  # aimed at 0.05; bridges, which are exact, are counted
    assert found.error < 0.055
    assert found.num_columns > 16  # degrees are small, so 16 do not suffice
    assert (ours[true > 1 - 1e-9] == 1.0).all()


def test_estimates_have_no_bias_at_a_bottleneck():
    """Three cliques, of which two edges join the first two, and a bridge the third."""
    cliques = [nx.complete_graph(range(i, i + 12)) for i in (0, 12, 24)]
    graph = nx.compose_all(cliques)
    graph.add_edges_from([(0, 14), (3, 17), (5, 30)])
    row, col = pairs_of(graph)
    bridge = (row == 5) & (col == 30)
    true = exact(row, col, None, 36)
    drawn = torch.stack(
        [pair_leverage(row, col, None, 36, seed=seed) for seed in range(200)]
    )
    assert (drawn[:, bridge] == 1.0).all()
    drawn, true, row, col = drawn[:, ~bridge], true[~bridge], row[~bridge], col[~bridge]
    assert ((row < 12) & (col >= 12)).sum() == 2
    assert drawn.max() < 1.0  # nothing is clipped, which would be a bias
    noise = 4 * drawn.std(0) / 200**0.5
    assert ((drawn.mean(0) - true).abs() < noise + 2 * SOLVED * true).all()


def test_two_nodes_far_apart_are_not_solved_too_early():
    """Cliques joined by a chain have a slow direction."""
    graph = nx.barbell_graph(60, 40)
    graph.add_edge(0, 70)  # the chain is no bridge any more up to here
    row, col = pairs_of(graph)
    found = pair_leverage(row, col, None, 160, seed=5, tolerance=0.02)
    true = exact(row, col, None, 160)
    assert ((found - true) / true).abs()[true < 0.2].max() < 0.05
    assert found[true > 0.999999].eq(1.0).all()
    chain = (true > 0.5) & (true < 0.999)
    assert chain.any()
    assert ((found - true) / true)[chain].square().mean().sqrt() < 0.2


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [2000, 9001, 1 << 20])
def test_every_bit_is_the_same_for_all_blocks_and_threads(tmp_path, size, threads):
    row, col = sparse_graph(21, 2000, 40_000)
    weight = weights(row.numel(), 3)
    expected = pair_leverage(row, col, weight, 2000, seed=9)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        sums = FileSums(tmp_path / "sums", row.numel())
        graph = rows(row, col, weight, 2000, size)
        found = streamed_leverage(graph, sums, seed=9)
        half = row.numel() // 3
        parts = [
            found.of(0, row[:half], col[:half], weight[:half]),
            found.of(half, row[half:], col[half:], weight[half:]),
        ]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.cat(parts), expected)


@pytest.mark.parametrize("size", [1, 2, 7])
def test_rows_may_be_divided_anywhere(size):
    data = karate()
    pairs = undirected_pairs(data.edge_index)
    graph = rows(pairs.row, pairs.col, None, 34, size)
    found = streamed_leverage(graph, MemorySums(78), seed=2)
    expected = pair_leverage(pairs.row, pairs.col, None, 34, seed=2)
    assert torch.equal(found.of(0, pairs.row, pairs.col, None), expected)


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_those_without_bridges(seed):
    row, col = sparse_graph(seed, 200, 230)
    weight = weights(row.numel(), seed)
    weight[::9] = 0.0  # do not conduct
    found = find_pieces(rows(row, col, weight, 200, 17))
    graph = nx.Graph()
    graph.add_nodes_from(range(200))
    used = weight > 0
    graph.add_edges_from(zip(row[used].tolist(), col[used].tolist(), strict=True))
    bridges = list(nx.bridges(graph))
    assert found.num_bridges == len(bridges) > 10
    graph.remove_edges_from(bridges)
    parts = [sorted(part) for part in nx.connected_components(graph)]
    ours = {}
    for node, piece in enumerate(found.piece.tolist()):
        ours.setdefault(piece, []).append(node)
    assert sorted(ours.values()) == sorted(parts)
    assert found.rank == 200 - len(parts)
    smallest = []
    for part in parts:
        if len(part) > 1:
            inside = [
                (u, v, w)
                for u, v, w in zip(
                    row.tolist(), col.tolist(), weight.tolist(), strict=True
                )
                if w > 0 and graph.has_edge(u, v) and u in part
            ]
            weighted = nx.Graph()
            weighted.add_nodes_from(part)
            weighted.add_weighted_edges_from(inside)
            L = nx.laplacian_matrix(weighted, weight="weight").toarray()
            values = scipy.linalg.eigh(L, np.diag(L.diagonal()), eigvals_only=True)
            smallest.append(values[1])
            assert np.allclose(found.strength[part], L.diagonal())
    assert found.gap <= min(smallest)


def test_graphs_without_edges_have_no_leverages():
    nothing = torch.empty(0, dtype=torch.long)
    assert pair_leverage(nothing, nothing, None, 5, seed=1).shape == (0,)
    assert pair_leverage(nothing, nothing, None, 0, seed=1).shape == (0,)
    row, col = torch.tensor([0, 1]), torch.tensor([1, 2])
    found = pair_leverage(row, col, torch.tensor([0.0, 2.0]), 3, seed=1)
    assert found.tolist() == [0.0, 1.0]


def test_a_long_cycle_is_refused():
    pairs = undirected_pairs(cycle(20_000).edge_index)
    with pytest.raises(RuntimeError, match=r"must come within 0\.005 .* bottlenecks"):
        pair_leverage(pairs.row, pairs.col, None, 20_000, seed=1)


@pytest.mark.parametrize("weak", [1e-34, 1e-37, 1e-310])
def test_weights_that_rounding_loses_are_refused(weak):
    """Two weak edges join two triangles, whose right-hand sides do not show them.

    The triangles are solved exactly, so that the residual is 0, and others beside them
    hide the loss from the theorem of Foster.
    """
    edges = [(0, 2), (0, 8), (2, 8), (1, 3), (1, 9), (3, 9)]
    for a in range(10, 70, 3):
        edges += [(a, a + 1), (a, a + 2), (a + 1, a + 2)]
    edges = sorted([(0, 1), (2, 3), *edges])
    row, col = torch.tensor(edges).t().contiguous()
    weight = torch.ones(row.numel(), dtype=torch.float64)
    weight[(row % 2 == 0) & (col == row + 1) & (row < 4)] = weak
    assert (weight < 1).sum() == 2
    with pytest.raises(RuntimeError, match="very different weights"):
        pair_leverage(row, col, weight, 70, seed=1)


def test_wrong_potentials_contradict_the_theorem_of_foster(monkeypatch):
    name = "gsparse.linalg.stream_columns.solve_columns"
    monkeypatch.setattr(name, lambda L, B, gap: 2 * solve_columns(L, B, gap))
    row, col = sparse_graph(3)
    with pytest.raises(CertificateError, match="must sum to the number of nodes"):
        pair_leverage(row, col, None, 300, seed=1)


def test_settings_and_files_are_checked(tmp_path):
    row, col = sparse_graph(3)
    with pytest.raises(ValueError, match=r"'tolerance' must be positive \(got 0"):
        pair_leverage(row, col, None, 300, seed=1, tolerance=0.0)
    sums = FileSums(tmp_path / "sums", 10)
    assert sums.add(2, np.ones(WIDTH)).tolist() == [1.0] * WIDTH
    assert sums.add(3, np.ones(2)).tolist() == [2.0, 2.0]
    assert sums.read(0, 5).tolist() == [0.0, 0.0, 1.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="truncated"):
        sums.read(8, 11)
    again = FileSums(tmp_path / "sums", 3)
    assert again.read(0, 3).tolist() == [0.0, 0.0, 0.0]
