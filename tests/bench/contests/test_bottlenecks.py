"""Planted bottlenecks: graphs, kept bottleneck edges, and eigenvalues."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import eigvalsh, null_space
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gsparse.bench.contests.bottleneck_cuts import (
    CONTEST,
    METHODS,
    connection,
    cuts,
    default_sparsities,
    extreme_eigenvalues,
    make_method,
)
from gsparse.bench.contests.bottleneck_models import reached, trainings
from gsparse.bench.contests.bottleneck_scores import compare_scores
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.planted_graphs import (
    between_parts,
    clique_ring,
    joined_random_graphs,
    road_grid,
    satellite_cliques,
    two_communities,
)
from gsparse.data import barbell, complete, cycle, house
from gsparse.transforms import EffectiveResistance


def without(data, *pairs):
    """The graph without these pairs."""
    gone = {*pairs} | {pair[::-1] for pair in pairs}
    keep = [tuple(entry) not in gone for entry in data.edge_index.t().tolist()]
    return Data(
        edge_index=data.edge_index[:, keep], num_nodes=data.num_nodes, part=data.part
    )


def turns_of(contenders, repeats):
    """Rows of all turns."""
    contest = replace(CONTEST, contenders=lambda _: contenders)
    return compare(contest, Problem("toy", repeats=repeats))


def dense_laplacian(data):
    weight = data.get("edge_weight", torch.ones(data.num_edges))
    A = np.zeros((data.num_nodes, data.num_nodes))
    np.add.at(A, tuple(data.edge_index.numpy()), weight.double().numpy())
    return np.diag(A.sum(1)) - A


class TestGraphs:
    def test_ring_by_hand(self):
        data = clique_ring(num_cliques=3, size=2)
        ring = {(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)}
        found = {(u, v) for u, v in data.edge_index.t().tolist() if u < v}
        assert found == ring
        assert data.part.tolist() == [0, 0, 1, 1, 2, 2]
        assert data.edge_index[:, between_parts(data)].size(1) == 2 * 3

    def test_size_of_the_ring(self):
        data = clique_ring(num_cliques=5, size=7)
        assert data.num_edges == 2 * (5 * 21 + 5)
        assert data.is_undirected()

    def test_halves_are_joined_by_so_many_edges(self):
        data = joined_random_graphs(size=50, degree=20, num_bridges=3, seed=60899)
        assert between_parts(data).sum() == 2 * 3
        degrees = data.edge_index[0].bincount().double()
        assert degrees.mean().item() == pytest.approx(20, abs=2)
        assert data.is_undirected()
        assert connection(data) == (1, True, 3)

    def test_road_is_connected_and_lost_a_tenth(self):
        data = road_grid(height=20, width=30, removed=0.1, seed=77711)
        pairs = 20 * 29 + 19 * 30
        # A deviation of the share is 0.009; hardly a node is cut off.
        assert data.num_edges / 2 / pairs == pytest.approx(0.9, abs=0.04)
        assert connection(data) == (1, None, None)

    def test_communities_are_the_labels(self):
        data = two_communities(num_nodes=400, seed=46271)
        assert data.part.equal(data.y)
        assert 0 < between_parts(data).sum() / 2 < 20

    def test_satellites_hang_by_one_edge_of_their_class(self):
        data = satellite_cliques(3, satellites=4, size=5, num_features=3, seed=31981)
        row, col = data.edge_index[:, between_parts(data)]
        assert data.y[row].equal(data.y[col])
        outward = data.part[row][data.part[row] >= 3]
        assert sorted(outward.tolist()) == list(range(3, 15))
        assert data.part[col][data.part[row] >= 3].max() < 3

    def test_satellites_are_split_as_a_whole(self):
        data = satellite_cliques(3, satellites=8, size=5, num_features=3, seed=31981)
        masks = torch.stack([data.train_mask, data.val_mask, data.test_mask])
        assert masks.sum(0)[data.part < 3].eq(0).all()
        assert masks.sum(0)[data.part >= 3].eq(1).all()
        for mask, share in zip(masks, (4, 2, 2), strict=True):
            assert mask.view(27, 5).all(1).equal(mask.view(27, 5).any(1))
            assert data.y[mask].bincount().tolist() == [share * 5] * 3

    def test_only_informative_nodes_have_their_class_in_the_features(self):
        settings = {"size": 200, "satellites": 4, "num_features": 3, "num_classes": 3}
        data = satellite_cliques(**settings, signal=9.0, seed=31981)
        mean = torch.stack([data.x[data.part == k].mean(0) for k in range(15)])
        expected = torch.zeros(15, 3)
        expected[:3] = 9 * torch.eye(3)
        torch.testing.assert_close(mean, expected, atol=5 / 200**0.5, rtol=0)


class TestConnection:
    def test_one_lost_edge_leaves_a_path_of_cliques(self):
        data = without(clique_ring(4, size=3), (2, 3))
        assert connection(data) == (1, True, 3)

    def test_two_lost_edges_part_the_ring(self):
        data = without(clique_ring(4, size=3), (2, 3), (8, 9))
        assert connection(data) == (2, False, 2)

    def test_a_lost_node_leaves_the_parts_connected(self):
        data = without(clique_ring(4, size=3), (0, 1), (1, 2))
        assert connection(data) == (2, True, 4)


class TestSpectrum:
    def test_uncut_graph_has_ones(self):
        data = clique_ring(4, size=5)
        assert extreme_eigenvalues(data, data) == pytest.approx((1, 1))

    def test_doubled_weights_have_twos(self):
        data = barbell(4)
        cut = data.clone()
        cut.edge_weight = torch.full((data.num_edges,), 2.0)
        assert extreme_eigenvalues(cut, data) == pytest.approx((2, 2))

    def test_path_in_a_cycle(self):
        """Along one direction the form loses the edge's leverage, (n - 1) / n."""
        data = cycle(7)
        path = Data(edge_index=torch.tensor([range(6), range(1, 7)]), num_nodes=7)
        path.edge_index = to_undirected(path.edge_index)
        assert extreme_eigenvalues(path, data) == pytest.approx((1 / 7, 1))

    def test_disconnected_is_zero(self):
        data = clique_ring(4, size=3)
        cut = without(data, (2, 3), (8, 9))
        assert extreme_eigenvalues(cut, data)[0] == 0

    def test_against_a_basis_orthogonal_to_constants(self):
        data = joined_random_graphs(size=20, degree=8, num_bridges=3, seed=59393)
        cut = EffectiveResistance(sparsity=0.3, seed=2)(data)
        Q = null_space(np.ones((1, 40)))
        values = eigvalsh(
            Q.T @ dense_laplacian(cut) @ Q, Q.T @ dense_laplacian(data) @ Q
        )
        found = extreme_eigenvalues(cut, data)
        assert found == pytest.approx((max(values[0], 0), values[-1]), abs=1e-9)


class TestCuts:
    def test_resistance_keeps_the_ring(self):
        """With leverages of 0.89 all ring edges are kept for sure."""
        rows = turns_of(cuts(clique_ring(8, size=20), (0.6,), spectra=1), repeats=6)
        assert len(rows) == 6 * len(METHODS)
        ours = [row for row in rows if row["method"] == "EffectiveResistance"]
        assert {row["planted_edges"] for row in ours} == {8}
        assert {row["num_components"] for row in ours} == {1}
        # Of 8 edges that each survive with 0.4, 7 are needed: once in 120 cuts.
        others = [row for row in rows if row["method"] in ("DSpar", "RandomEdge")]
        assert sum(row["planted_connected"] for row in others) <= 2

    def test_a_forest_keeps_every_graph_in_one_piece(self):
        contenders = cuts(road_grid(8, 9, seed=12007), (0.2,), spectra=3)
        rows = turns_of(contenders, repeats=3)
        sure = [row for row in rows if row["method"].endswith("connected")]
        assert len(sure) == 6
        for row in sure:
            assert row["num_components"] == 1
            assert 0 < row["smallest_eigenvalue"] <= row["largest_eigenvalue"]

    @pytest.mark.parametrize("method", METHODS)
    def test_expected_laplacian_is_that_of_the_graph(self, method):
        """The trace of the Laplacian stays on average, to a few percent."""
        data = clique_ring(4, size=12)
        rows = []
        for seed in range(20):
            cut = make_method(method, 0.5, seed)(data)
            weight = cut.get("edge_weight", torch.full((cut.num_edges,), 2.0))
            rows.append(weight.sum().item() / data.num_edges)
        assert np.mean(rows) == pytest.approx(1, abs=0.05)

    def test_budget_is_2_n_ln_n(self):
        data = complete(40)
        (sparsity,) = default_sparsities("complete", data)
        assert (1 - sparsity) * 780 == pytest.approx(2 * 40 * np.log(40))


class TestScores:
    def test_against_the_pseudo_inverse(self):
        data = house()
        row, col = data.edge_index.numpy()
        inverse = np.linalg.pinv(dense_laplacian(data))
        R = inverse[row, row] + inverse[col, col] - 2 * inverse[row, col]
        deg = np.bincount(row)
        local = 1 / deg[row] + 1 / deg[col]
        found = compare_scores(data)
        assert found["pearson"] == pytest.approx(np.corrcoef(R, local)[0, 1])
        assert found["largest_ratio"] == pytest.approx((R / local).max())
        assert found["num_above_twice"] == 0

    def test_bridge_between_cliques_is_above_twice(self):
        """The bridge of a barbell has R = 1 where degrees say 2/n."""
        found = compare_scores(barbell(9))
        assert found["num_above_twice"] == 1
        assert found["largest_ratio"] == pytest.approx(9 / 2)
        assert found["pearson"] < 0


class TestModels:
    def test_reached_by_hand(self):
        """One satellite of 5 tests a class: its bridge's end, then all of it."""
        data = satellite_cliques(3, satellites=4, size=5, num_features=3, seed=31981)
        steps = [reached(data, num_steps) for num_steps in range(3)]
        assert steps == pytest.approx([0, 1 / 5, 1])
        data.edge_index = data.edge_index[:, ~between_parts(data)]
        assert reached(data, 9) == 0

    def test_rows_say_what_was_cut(self):
        rows = turns_of(trainings((0.7,), epochs=3), repeats=1)
        methods = ["Dense", "MLP", "EffectiveResistance", "DSpar", "RandomEdge"]
        assert [row["method"] for row in rows] == methods
        assert rows[0]["planted_edges"] == rows[0]["planted_edges_before"] == 96
        assert rows[2]["planted_edges"] == 96
        assert rows[2]["sparsity"] == pytest.approx(0.7, abs=1e-3)
        # 0.3 of 96 bridges, five deviations around it.
        assert all(6 < row["planted_edges"] < 52 for row in rows[3:])


def test_few_turns_have_eigenvalues():
    rows = turns_of(cuts(clique_ring(4, size=5), (0.2,), spectra=1), repeats=2)
    assert len(rows) == 2 * len(METHODS)
    assert [row["seed"] for row in rows[:2]] == [0, 1]
    assert "largest_eigenvalue" in rows[0]
    assert "largest_eigenvalue" not in rows[1]
    assert {row["sparsity_target"] for row in rows} == {0.2}
