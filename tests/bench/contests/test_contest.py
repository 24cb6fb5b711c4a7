"""Every contest runs; turns, limits and failures are as the harness promises."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest
import torch

import gsparse.bench.contests
from gsparse.bench.contests import __all__ as names
from gsparse.bench.contests import peak_memory
from gsparse.bench.contests.__main__ import main
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Contender, Contest, Problem, find_contest
from gsparse.bench.contests.table import format_rows
from gsparse.bench.tables.measurement import is_measurement
from gsparse.bench.tables.rows import read_rows

RESULTS = Path(__file__).parents[3] / "docs" / "results"


def make_contest(*contenders, **options):
    settings = {"columns": {"seconds": "ms", "error": "error"}, "warm_up": 0} | options
    return Contest("toy", "a toy", lambda _: list(contenders), ("graph",), **settings)


def failing(error):
    def run(seed):
        raise error

    return run


def test_every_module_with_a_contest_is_listed():
    folder = Path(gsparse.bench.contests.__file__).parent
    defining = [p.stem for p in folder.glob("*.py") if "\nCONTEST = " in p.read_text()]
    assert sorted(defining) == names
    assert [find_contest(name).name for name in names] == names


@pytest.mark.parametrize("name", names)
def test_every_contest_runs(name, tmp_path, capsys):
    out, threads = tmp_path / "rows.jsonl", torch.get_num_threads()
    assert main([name, "--quick", "--threads", "1", "--out", str(out)]) == 0
    assert torch.get_num_threads() == threads
    rows, contest = read_rows(out), find_contest(name)
    assert {row["table"] for row in rows} == {contest.table or name}
    for row in rows:
        assert is_measurement(row)
        assert row["outcome"] == "ran"
        assert row["threads"] == row["repeats"] == 1
        assert row["cpu"]
        assert row["allocator"]
        assert "commit" in row
        assert set(contest.keys) <= row.keys()
    shown = {name for row in rows for name in row if row[name] is not None}
    assert shown & contest.columns.keys()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(any(line.startswith(row["method"]) for line in lines) for row in rows)


@pytest.mark.parametrize("name", names)
def test_published_rows_are_shown(name):
    contest = find_contest(name)
    rows = read_rows(RESULTS / f"{contest.table or name}.jsonl")
    for graph in dict.fromkeys(row["dataset"] for row in rows):
        mine = [row for row in rows if row["dataset"] == graph]
        lines = format_rows(contest, mine).splitlines()
        assert max(map(len, lines)) <= 80
        methods = {row["method"] for row in mine}
        assert all(any(line.startswith(it) for line in lines) for it in methods)


def test_contenders_that_fail_do_not_stop_the_others():
    contest = make_contest(
        Contender("late", {"seconds": failing(TimeoutError("7 of 9"))}),
        Contender("large", {"seconds": failing(MemoryError())}, is_peer=True),
        Contender("broken", {"seconds": failing(KeyError("x"))}),
        Contender("slow", {"seconds": lambda _: sleep(0.02)}),
        Contender("fine", {"seconds": lambda _: 1}, check=lambda one: {"error": one}),
    )
    rows = compare(contest, Problem("graph", repeats=3, limit=0.01))
    assert [row["outcome"] for row in rows] == [
        "gave up after 0.01 s: 7 of 9",
        "out of memory",
        "KeyError: 'x'",
        "slower than 0.01 s",
        "ran",
    ]
    assert [row["repeats"] for row in rows] == [0, 0, 0, 1, 3]
    assert [row["is_peer"] for row in rows] == [False, True, False, False, False]
    assert [row["seconds"] is None for row in rows] == [True, True, True, False, False]
    assert rows[0]["error"] is rows[0]["seconds_max"] is None
    assert rows[4]["seconds_min"] <= rows[4]["seconds"] <= rows[4]["seconds_max"]
    text = format_rows(contest, rows)
    assert "gave up after 0.01 s" in text
    assert "out of memory" in text


def test_who_begins_changes_and_warm_up_does_not_count():
    turns = []
    contest = make_contest(
        *(
            Contender(name, {"seconds": lambda seed, name=name: turns.append(name)})
            for name in "ab"
        ),
        Contender("once", {"seconds": lambda _: turns.append("c")}, max_turns=1),
        warm_up=1,
    )
    rows = compare(contest, Problem("graph", repeats=3))
    assert "".join(turns) == "cba" + "abc" + "ba" + "ab"
    assert [row["repeats"] for row in rows] == [3, 3, 1]


def test_the_toy_runs_first():
    seen = []

    def contenders(problem):
        return [Contender("a", {"seconds": lambda _: seen.append(problem.graph)})]

    contest = replace(make_contest(), contenders=contenders, toy="small")
    compare(contest, Problem("large", repeats=2))
    assert seen == ["small", "large", "large"]


def test_what_compiles_for_its_graph_skips_the_toy():
    seen = []

    def contenders(problem):
        run = {"seconds": lambda _: seen.append(problem.graph)}
        return [Contender("a", run, compiles=True)]

    contest = replace(make_contest(), contenders=contenders, toy="small")
    compare(contest, Problem("large", repeats=1))
    assert seen == ["large"]


def test_turns_are_medians_or_rows():
    run = Contender("a", {"seconds": int}, {"k": 1}, check=lambda s: {"error": 2.0**s})
    (row,) = compare(make_contest(run), Problem("graph", repeats=3))
    assert (row["error"], row["k"], row["seed"]) == (2.0, 1, 0)
    (row,) = compare(make_contest(run, combine={"error": max}), Problem("graph"))
    assert row["error"] == 4.0
    rows = compare(make_contest(run, each_turn=True), Problem("graph"))
    assert [(row["seed"], row["error"]) for row in rows] == [(0, 1), (1, 2), (2, 4)]
    assert len({row["config_hash"] for row in rows}) == 3


def test_ratios_are_to_the_baseline():
    contest = make_contest(keys=("k",))
    rows = [
        {"method": method, "k": k, "seconds": seconds, "outcome": "ran"}
        for method, k, seconds in (
            ("plain", 1, 0.02),
            ("ours", 1, 0.005),
            ("plain", 2, 0.03),
            ("ours", 2, 0.06),
        )
    ]
    ratios = [line.split()[-1] for line in format_rows(contest, rows).splitlines()[1:]]
    assert ratios == ["1.00", "4.00", "1.00", "0.50"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peak_of_a_fresh_process(tmp_path):
    out = tmp_path / "rows.jsonl"
    assert main(["bottleneck_scores", "--quick", "--memory", "--out", str(out)]) == 0
    (row,) = read_rows(out)
    assert 0 < row["peak_bytes"] < 300e6


def test_peaks_are_named_like_the_seconds(monkeypatch):
    answers = iter([7, RuntimeError("no peak bytes: killed")])

    def ask(function, request, purpose):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(peak_memory, "ask", ask)
    fields = ["train_epoch_seconds", "infer_seconds"]
    assert peak_memory.peak_row("toy", Problem("graph"), 0, fields) == {
        "train_peak_bytes": 7,
        "infer_peak_bytes": None,
        "outcome": "no peak bytes: killed",
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], r"'contest' must be one of attention, .* \(got nothing\)"),
        ([], r"'contest' must be one of .* \(got \)"),
        (["scaling", "--repeats", "0"], r"'repeats' must be at least 1 \(got 0\)"),
        (["scaling", "--limit", "-1"], r"'limit' must not be negative \(got -1.0\)"),
        (["scaling", "--device", "cuda"], r"scaling runs on the CPU only \(got cuda\)"),
        (["sparse_weights", "--quick", "--contenders", "a,b"], r"be of dense, .*a, b"),
        (["compact_models", "--graphs", "Cora"], r"must be of PubMed, Physics, corn"),
        (["bottleneck_cuts", "--graphs", "Cora"], r"must be of clique_ring, .*Cora"),
        (["epoch", "--allocators", "tcm"], r"of default, kept, jemalloc \(got tcm\)"),
        (["scaling", "--threads", "many"], r"argument --threads: invalid"),
    ],
)
def test_errors_are_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m gsparse.bench.contests: error: ")
    assert re.search(message, line)


def test_the_list_has_a_line_for_each(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names
    assert max(map(len, lines)) <= 80


def test_commas_inside_of_names(monkeypatch):
    graphs = []
    toy = make_contest(Contender("a", {"seconds": int}))

    def contenders(problem):
        graphs.append(problem.graph)
        return toy.contenders(problem)

    monkeypatch.setattr(
        "gsparse.bench.contests.__main__.find_contest",
        lambda _: replace(toy, contenders=contenders),
    )
    given = ["joined by 1, 1,000 nodes", "lollipop, 100 + 100", "Cora"]
    main(["toy", "--graphs", ",".join(given)])
    assert graphs == given
