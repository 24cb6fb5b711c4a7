"""The contest of resistances: its numbers and its laws; never the seconds."""

import math
import sys

import pytest
import torch

from gsparse.bench.contests import resistance
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.planted_pairs import Planted
from gsparse.bench.contests.resistance import error_of
from gsparse.bench.contests.resistance_rivals import find_peers, networkit_entries
from gsparse.bench.contests.resistance_targets import best_at, format_targets
from gsparse.bench.contests.table import format_rows
from gsparse.data import lollipop, random_graph
from gsparse.edges import undirected_pairs
from gsparse.linalg import exact_resistance


def pairs_of(data):
    pairs = undirected_pairs(data.edge_index, data.num_nodes)
    return Planted(pairs.row, pairs.col, None, pairs.num_nodes, pairs.row < 0)


@pytest.fixture
def graph(monkeypatch):
    found = pairs_of(random_graph(num_nodes=60, p=0.3, seed=83621))
    monkeypatch.setattr(resistance, "pairs_of", lambda *_: found)
    return found


def run(**options):
    settings = {"repeats": 1, "quick": True} | options
    return compare(resistance.CONTEST, Problem("toy", **settings))


def without_peers(monkeypatch):
    for name in ("networkit", "pyamg"):
        monkeypatch.setitem(sys.modules, name, None)


def row_of(method, seconds, rms, largest, is_peer=False):
    return {
        "method": method,
        "setting": 1.0,
        "seconds": seconds,
        "rms_relative_error": rms,
        "max_relative_error": largest,
        "max_absolute_error": largest / 2,
        "is_peer": is_peer,
        "outcome": "ran",
    }


def test_errors_by_hand():
    found = error_of(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.5]).double())
    assert found["rms_relative_error"] == pytest.approx(
        math.sqrt((0.5**2 + 0.2**2) / 2)
    )
    assert found["max_relative_error"] == 0.5
    assert found["max_absolute_error"] == 1.0


def test_rows_of_a_small_graph(graph, monkeypatch):
    without_peers(monkeypatch)
    rows = run(repeats=2)
    own = {row["method"] for row in rows if not row["is_peer"]}
    assert own == {"tree", "jl", "auto", "exact"}
    assert {row["method"] for row in rows} - own == {
        f"approximate inverse {epsilon}" for epsilon in ("0.1", "0.01", "0.001")
    }
    for row in rows:
        assert row["seconds_min"] <= row["seconds"] <= row["seconds_max"]
        assert row["repeats"] == 2
        assert row["outcome"] == "ran"
        assert row["num_pairs"] == len(graph.row)
        assert row["reference"] == "exact"
        assert row["rms_relative_error"] <= row["max_relative_error"] < 2
        assert row["rms_relative_error"] < 0.6
    assert [r["rms_relative_error"] for r in rows if r["method"] == "exact"] == [0.0]
    assert len({row["config_hash"] for row in rows}) == len(rows) == 6 + 3
    lines = resistance.summary(rows)
    assert "networkit is not installed" in lines
    assert "pyamg is not installed" in lines


@pytest.mark.usefixtures("graph")
def test_all_installed_peers_take_part():
    if "pyamg" not in find_peers():
        pytest.skip("pyamg is not installed")
    rows = run()
    error = {r["method"]: r["rms_relative_error"] for r in rows if r["is_peer"]}
    assert 0.1 < error["pyamg JL"] < 0.7  # sqrt(2 / 16) = 0.35
    assert error["jl, pyamg"] < 0.1
    assert all("pyamg==" in row["peers"] for row in rows)


@pytest.mark.usefixtures("graph")
def test_the_slow_are_not_run_again(monkeypatch):
    without_peers(monkeypatch)
    rows = run(repeats=2, limit=0.0)
    own = [row for row in rows if not row["is_peer"]]
    assert {row["outcome"] for row in own} == {"slower than 0 s"}
    assert {row["repeats"] for row in own} == {1}
    inverse = [row for row in rows if row["method"].startswith("approximate inverse")]
    assert all(row["outcome"].startswith("gave up after 0 s") for row in inverse)
    assert all(row["max_relative_error"] is None for row in inverse)
    format_targets(rows)


@pytest.mark.usefixtures("graph")
def test_memory_of_scoring_and_cutting(monkeypatch):
    without_peers(monkeypatch)
    peaks = {"score_peak_bytes": 100, "peak_bytes": 200}
    monkeypatch.setattr("gsparse.bench.contests.compare.peak_row", lambda *_: peaks)
    *others, row = run(memory=True)
    assert (row["method"], row["quick"], row["repeats"]) == ("memory", True, 1)
    assert row["peak_ratio"] == 200 / row["edge_index_bytes"]
    assert row["edge_index_bytes"] == 2 * 8 * 2 * others[0]["num_pairs"]
    assert not any("peak_bytes" in other for other in others)
    assert "memory" in format_rows(resistance.CONTEST, [*others, row])
    format_targets([*others, row])


def test_reference_without_exact(graph):
    """Many trees are close to exact."""
    reference = resistance.reference_resistance(graph, exact=False)
    exact = exact_resistance(*graph.graph)
    assert error_of(reference, exact)["rms_relative_error"] < 0.08


def test_the_row_says_what_the_reference_was(graph, monkeypatch):
    monkeypatch.setattr(resistance, "EXACT_PAIRS", 10)
    found = resistance.contenders(Problem("toy", quick=True))
    assert {c.facts["reference"] for c in found} == {"160 trees"}
    assert "exact" not in {c.method for c in found}


def test_plain_samplers_are_extrapolated_by_the_root_of_their_time():
    rows = [
        row_of("ApproxSpanningEdge", 1.0, 0.2, 0.4, is_peer=True),
        row_of("ApproxSpanningEdge", 4.0, 0.1, 0.2, is_peer=True),
        row_of("pyamg JL", 90.0, 0.1, 0.1, is_peer=True),
    ]
    assert best_at(rows, "rms_relative_error", 0.05).seconds == pytest.approx(16.0)
    assert best_at(rows, "rms_relative_error", 0.2).seconds == pytest.approx(1.0)
    found = best_at(rows, "max_relative_error", 0.02)
    assert found.seconds == pytest.approx(400.0)
    assert found.row is rows[1]
    assert best_at([], "rms_relative_error", 0.05) is None


def test_all_others_must_meet_the_error():
    rows = [
        row_of("jl", 1.0, 0.01, 0.5),
        row_of("tree", 2.0, 0.04, 0.1),
        row_of("exact", 9.0, 0.0, 0.0),
    ]
    assert best_at(rows, "rms_relative_error", 0.05).row["method"] == "jl"
    assert best_at(rows, "max_relative_error", 0.5).row["method"] == "jl"
    assert best_at(rows, "max_relative_error", 0.2).row["method"] == "tree"
    assert best_at(rows, "max_relative_error", 0.01).row["method"] == "exact"
    assert best_at(rows[:2], "max_relative_error", 0.01) is None


def test_targets_name_both_winners():
    rows = [
        row_of("jl", 2.0, 0.01, 0.05),
        row_of("approximate inverse 0.01", 1.0, 0.02, 0.5, is_peer=True),
    ]
    lines = format_targets(rows).split("\n")
    assert [line.split()[0] for line in lines[:4]] == ["rms", "0.16", "0.06", "0.03"]
    assert "0.5x  jl 1 and approximate inverse 0.01 1" in lines[1]
    assert [line.split()[0] for line in lines[4:]] == ["largest", "1"]


def test_networkit_numbers_its_edges_as_we_think():
    networkit = pytest.importorskip("networkit")
    graph = pairs_of(lollipop(20, 10))
    exact = exact_resistance(*graph.graph)  # 0.1 and 1
    for _, _, run in networkit_entries("lollipop", graph, networkit, most=1):
        assert error_of(run(), exact)["max_absolute_error"] < 0.5
