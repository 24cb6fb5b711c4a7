"""The resistance benchmark: its numbers, its laws and its files; never the seconds."""

import json
import math
import sys

import pytest
import torch

from gsparse.bench import resistance
from gsparse.bench.resistance import (
    compare,
    error_of,
    format_targets,
    main,
    ours_at,
    peer_at,
)
from gsparse.bench.resistance_contenders import Problem, peer_contenders
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
        "max_absolute_error": largest,
        "is_peer": is_peer,
    }


def test_errors_by_hand():
    rms, largest = error_of(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.5]).double())
    assert rms == pytest.approx(math.sqrt((0.5**2 + 0.2**2) / 2))
    assert largest == 1.0


def test_rows_of_a_small_graph():
    problem = problem_of()
    rows = compare(problem, None, repeats=2, quick=True)
    methods = {row["method"] for row in rows}
    assert methods == {"tree", "jl", "auto", "exact"}
    for row in rows:
        assert row["seconds_min"] <= row["seconds"] <= row["seconds_max"]
        assert row["repeats"] == 2
        assert row["num_pairs"] == len(problem.row)
        assert row["reference"] == "exact"
        assert row["rms_relative_error"] < 0.6
    assert [r["rms_relative_error"] for r in rows if r["method"] == "exact"] == [0.0]


def test_reference_without_exact():
    """Many trees are close to exact; the row says what the reference was."""
    problem = problem_of()
    reference, kind = resistance.reference_resistance(problem, is_small=False)
    exact = exact_resistance(problem.row, problem.col, None, problem.num_nodes)
    assert kind == "160 trees"
    assert error_of(reference, exact)[0] < 0.08


def test_peers_are_extrapolated_by_the_root_of_their_time():
    rows = [
        row_of("ApproxSpanningEdge", 1.0, 0.2, 0.4, is_peer=True),
        row_of("ApproxSpanningEdge", 4.0, 0.1, 0.2, is_peer=True),
        row_of("SpanningEdgeCentrality", 90.0, 0.1, 0.1, is_peer=True),
    ]
    assert peer_at(rows, 0.05) == pytest.approx((16.0, 0.1))
    assert peer_at(rows, 0.2) == pytest.approx((1.0, 0.4))
    assert peer_at([], 0.05) == (math.inf, math.inf)


def test_ours_must_meet_both_errors():
    rows = [
        row_of("jl", 1.0, 0.01, 0.5),
        row_of("tree", 2.0, 0.04, 0.1),
        row_of("exact", 9.0, 0.0, 0.0),
        row_of("ApproxSpanningEdge", 0.1, 0.0, 0.0, is_peer=True),
    ]
    assert ours_at(rows, 0.05, math.inf)["method"] == "jl"
    assert ours_at(rows, 0.05, 0.2)["method"] == "tree"
    assert ours_at(rows, 0.05, 0.01)["method"] == "exact"
    assert ours_at(rows[:2], 0.05, 0.01) is None
    text = format_targets(rows[:3])
    assert text.count("\n") == 0  # no peer, nothing to compare with


def test_without_networkit_ours_run_and_one_line_says_so(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "networkit", None)
    monkeypatch.setattr(resistance, "make_problem", lambda *_, **__: problem_of(40))
    out = tmp_path / "rows.jsonl"
    arguments = ["--graphs", "toy", "--quick", "--repeats", "1", "--out", str(out)]
    assert main(arguments) == 0
    assert main(arguments) == 0  # appends
    text = capsys.readouterr().out
    assert text.count("networkit is not installed") == 2
    assert "toy: 40 nodes" in text
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 12
    assert {row["table"] for row in rows} == {"resistance"}


def test_networkit_numbers_its_edges_as_we_think():
    networkit = pytest.importorskip("networkit")
    pairs = undirected_pairs(lollipop(20, 10).edge_index)
    problem = Problem("lollipop", pairs.row, pairs.col, 30)
    exact = exact_resistance(problem.row, problem.col, None, 30)  # 0.1 and 1
    for contender in peer_contenders(problem, networkit, quick=True):
        assert contender.is_peer
        assert error_of(contender.run(), exact)[1] < 0.5
