"""The resistance benchmark: numbers, scaling laws and files, but no times."""

import json
import math
import sys

import pytest
import torch

from gsparse.bench import resistance
from gsparse.bench.resistance import compare, error_of, main
from gsparse.bench.resistance_contenders import Contender, Problem
from gsparse.bench.resistance_rivals import Peers, find_peers, networkit_contenders
from gsparse.bench.resistance_tables import best_at, format_rows, format_targets
from gsparse.data import lollipop, random_graph
from gsparse.edges import undirected_pairs
from gsparse.linalg import exact_resistance


def problem_of(num_nodes=60, p=0.3):
    data = random_graph(num_nodes=num_nodes, p=p, seed=83621)
    pairs = undirected_pairs(data.edge_index, num_nodes)
    return Problem("toy", pairs.row, pairs.col, num_nodes)


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
    assert found.rms_relative_error == pytest.approx(math.sqrt((0.5**2 + 0.2**2) / 2))
    assert found.max_relative_error == 0.5
    assert found.max_absolute_error == 1.0


def test_rows_of_a_small_graph():
    problem = problem_of()
    rows = compare(problem, Peers(), repeats=2, quick=True)
    own = {row["method"] for row in rows if not row["is_peer"]}
    assert own == {"tree", "jl", "auto", "exact"}
    assert {row["method"] for row in rows} - own == {
        f"approximate inverse {epsilon}" for epsilon in ("0.1", "0.01", "0.001")
    }
    for row in rows:
        assert row["seconds_min"] <= row["seconds"] <= row["seconds_max"]
        assert row["repeats"] == 2
        assert row["outcome"] == "ran"
        assert row["num_pairs"] == len(problem.row)
        assert row["reference"] == "exact"
        assert row["rms_relative_error"] <= row["max_relative_error"] < 2
        assert row["rms_relative_error"] < 0.6
    assert [r["rms_relative_error"] for r in rows if r["method"] == "exact"] == [0.0]


def test_all_installed_peers_take_part():
    peers = find_peers()
    if peers.pyamg is None:
        pytest.skip("pyamg is not installed")
    rows = compare(problem_of(), peers, repeats=1, quick=True)
    error = {r["method"]: r["rms_relative_error"] for r in rows if r["is_peer"]}
    assert 0.1 < error["pyamg JL"] < 0.7  # sqrt(2 / 16) = 0.35
    assert error["jl, pyamg"] < 0.1
    assert all("pyamg==" in row["peers"] for row in rows)


def test_who_runs_out_of_time_or_memory_has_one_turn_and_a_row(monkeypatch):
    turns = []

    def contenders_of(problem, *_):
        def run(name, error=None):
            turns.append(name)
            if error is not None and problem.name != "toy graph":
                raise error
            return torch.ones(len(problem.row))

        return [
            Contender("late", 1.0, lambda: run("late", TimeoutError("7 of 9"))),
            Contender("large", 1.0, lambda: run("large", MemoryError("")), True),
            Contender("fine", 1.0, lambda: run("fine")),
        ]

    monkeypatch.setattr(resistance, "contenders_of", contenders_of)
    monkeypatch.setattr(
        resistance, "_toy", lambda: problem_of()._replace(name="toy graph")
    )
    rows = compare(problem_of(), Peers(), repeats=3, limit=50.0)
    assert [turns.count(name) for name in ("late", "large", "fine")] == [2, 2, 4]
    assert [r["outcome"] for r in rows] == [
        "gave up after 50 s: 7 of 9",
        "out of memory",
        "ran",
    ]
    assert [r["seconds"] is None for r in rows] == [True, True, False]
    assert [r["max_relative_error"] is None for r in rows] == [True, True, False]
    text = format_rows(rows)
    assert "gave up after 50 s" in text
    format_targets(rows)


def test_the_slow_are_not_run_again():
    rows = compare(problem_of(), Peers(), repeats=2, quick=True, limit=0.0)
    own = [row for row in rows if not row["is_peer"]]
    assert {row["outcome"] for row in own} == {"slower than 0 s"}
    assert {row["repeats"] for row in own} == {1}
    inverse = [row for row in rows if row["method"].startswith("approximate inverse")]
    assert all(row["outcome"].startswith("gave up after 0 s") for row in inverse)


def test_reference_without_exact():
    """Many trees are close to exact; the row says what the reference was."""
    problem = problem_of()
    reference, kind = resistance.reference_resistance(problem, is_small=False)
    exact = exact_resistance(problem.row, problem.col, None, problem.num_nodes)
    assert kind == "160 trees"
    assert error_of(reference, exact).rms_relative_error < 0.08


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
    assert "0.5x   jl 1 beside approximate inverse 0.01 1" in lines[1]
    assert [line.split()[0] for line in lines[4:]] == ["largest", "1"]


def test_without_the_peers_a_line_says_so_for_each(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "networkit", None)
    monkeypatch.setitem(sys.modules, "pyamg", None)
    monkeypatch.setattr(resistance, "make_problem", lambda *_, **__: problem_of(40))
    out = tmp_path / "rows.jsonl"
    arguments = ["--graphs", "toy", "--quick", "--repeats", "1", "--out", str(out)]
    assert main(arguments) == 0
    assert main(arguments) == 0  # appends
    text = capsys.readouterr().out
    assert text.count("networkit is not installed") == 2
    assert text.count("pyamg is not installed") == 2
    assert "toy: 40 nodes" in text
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 2 * (6 + 3)
    assert len({row["config_hash"] for row in rows}) == 6 + 3
    assert {row["table"] for row in rows} == {"resistance"}


def test_networkit_numbers_its_edges_as_we_think():
    networkit = pytest.importorskip("networkit")
    pairs = undirected_pairs(lollipop(20, 10).edge_index)
    problem = Problem("lollipop", pairs.row, pairs.col, 30)
    exact = exact_resistance(problem.row, problem.col, None, 30)  # 0.1 and 1
    for contender in networkit_contenders(problem, networkit, quick=True):
        assert contender.is_peer
        assert error_of(contender.run(), exact).max_absolute_error < 0.5
