"""The command line: one line for bad input, JSON for machines, resumable runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from html import escape
from pathlib import Path

import pytest
import torch

from gsparse import __version__, cli
from gsparse.bench.tables.rows import KEYS, read_rows
from gsparse.bench.tables.table import format_blocks
from tests.cli.command import run

BENCH = ["bench", "--model", "gcn", "--method", "RandomEdge", "--sparsity", "0.5"]
BENCH += ["--threads", "1"]


@pytest.fixture(autouse=True, scope="module")
def same_threads_afterwards():
    """``rows_file`` lives longer than the threads of a test."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    with pytest.raises(SystemExit) as stop:
        cli.main([*BENCH, "--epochs", "2", "--seeds", "2", "--out", str(folder)])
    assert stop.value.code == 0
    return folder / "bench.jsonl"


def test_bench_writes_one_full_row_a_run(rows_file):
    rows = read_rows(rows_file)
    assert all(set(KEYS) <= row.keys() for row in rows)
    seen = sorted((row["model"], row["method"], row["seed"]) for row in rows)
    assert seen == [
        ("gcn", "Dense", 0),
        ("gcn", "Dense", 1),
        ("gcn", "RandomEdge", 0),
        ("gcn", "RandomEdge", 1),
        ("mlp", "MLP", 0),
        ("mlp", "MLP", 1),
    ]


def test_bench_again_runs_nothing_and_prints_the_table(rows_file, capsys):
    before = rows_file.read_bytes()
    more = ["--epochs", 2, "--seeds", 2, "--out", rows_file.parent]
    code, out, _err = run(capsys, *BENCH, *more)
    assert (code, rows_file.read_bytes()) == (0, before)
    assert "digits (random-5-30), gcn" in out
    assert [line.split()[0] for line in out.splitlines()[3:6]] == [
        "Dense",
        "RandomEdge",
        "MLP",
    ]
    assert max(map(len, out.splitlines())) <= 80


def test_report_agrees_with_bench(rows_file, capsys):
    code, out, _err = run(capsys, "report", rows_file.parent, "--json")
    records = json.loads(out)
    assert code == 0
    assert [r["method"] for r in records] == ["Dense", "RandomEdge", "MLP"]
    assert [r["num_seeds"] for r in records] == [2, 2, 2]
    scores = [r["test_score"] for r in read_rows(rows_file) if r["method"] == "Dense"]
    assert records[0]["test_mean"] == pytest.approx(sum(scores) / 2)
    assert run(capsys, "report", rows_file, "--stale")[1] == "no stale rows\n"


def test_stale_rows_are_listed_and_left_out(rows_file, capsys, monkeypatch):
    from gsparse.transforms import RandomEdge

    monkeypatch.setattr(RandomEdge, "revision", 99)
    _code, out, _err = run(capsys, "report", rows_file, "--stale", "--json")
    assert {row["method"] for row in json.loads(out)} == {"RandomEdge"}
    _code, out, err = run(capsys, "report", rows_file)
    assert "2 stale rows are left out" in err
    assert "RandomEdge" not in out


def test_report_writes_a_page(rows_file, tmp_path, capsys):
    path = tmp_path / "report.html"
    code, _out, err = run(capsys, "report", rows_file, "-o", path)
    assert (code, err) == (0, f"page written to {path}\n")
    text = path.read_text(encoding="utf-8")
    assert escape(read_rows(rows_file)[0]["command"]) in text
    one = run(capsys, "report", rows_file, "--method", "KEdge", "--html", path)
    assert one[0] == 0
    assert ">RandomEdge</text>" in path.read_text(encoding="utf-8")
    code, _out, err = run(capsys, "report", rows_file, "--dataset", "x", "-o", path)
    assert (code, "needs rows of trained models (got none)" in err) == (2, True)


def test_report_compares_documents_with_rows(tmp_path, capsys):
    results = tmp_path / "docs" / "results"
    shutil.copytree(Path(__file__).parents[1] / "docs" / "results", results)
    page = results.parent / "incremental.md"
    begin, end = "<!-- begin: incremental -->", "<!-- end: incremental -->"
    page.write_text(f"{begin}\nold\n{end}\n")
    code, out, _err = run(capsys, "report", results, "--check")
    text = "incremental.md: incremental"
    assert (code, out) == (1, f"{text} differs from the rows\n")
    assert run(capsys, "report", results, "--write")[:2] == (0, f"{text} written\n")
    assert "| `RankUpdate` |" in page.read_text()
    code, out, _err = run(capsys, "report", results, "--check")
    assert (code, out) == (0, "all numbers agree with the rows\n")


def test_plot_is_written(rows_file, tmp_path, capsys):
    picture = tmp_path / "new" / "curve.png"
    assert run(capsys, "report", rows_file, "--plot", picture)[0] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert os.listdir(picture.parent) == ["curve.png"]
    assert run(capsys, "report", rows_file, "--plot", tmp_path / "a.what")[0] == 2


def test_plan_counts_what_is_left_and_runs_nothing(rows_file, capsys):
    before = rows_file.read_bytes()
    more = ["--epochs", 2, "--seeds", 5, "--out", rows_file.parent, "--plan"]
    code, out, _err = run(capsys, *BENCH, *more, "--json")
    plan = json.loads(out)
    assert (code, rows_file.read_bytes()) == (0, before)
    assert [part["runs"] for part in plan] == [3, 3, 3]
    assert {part["source"] for part in plan} == {"rows"}


def test_lists(capsys):
    code, out, _err = run(capsys, "methods", "--json")
    listed = {record["name"]: record for record in json.loads(out)}
    assert {"DSpar", "EffectiveResistance", "RandomEdge"} <= listed.keys()
    assert listed["ADMM"]["removes"] == "weights"
    assert listed["FeatureMask"]["removes"] == "features"
    texts = "".join(it["what"] for it in listed.values())
    assert not set("`{}\\") & set(texts)  # no markup left
    code, out, _err = run(capsys, "datasets", "--json")
    sizes = {record["name"]: record["nodes"] for record in json.loads(out)}
    assert sizes["digits"] == 1797
    assert sizes["PubMed"] == 19717
    for command in ("methods", "datasets"):
        code, out, _err = run(capsys, command)
        assert code == 0
        assert max(map(len, out.splitlines())) <= 80


def test_sparsify(tmp_path, capsys):
    source, target = tmp_path / "in.txt", tmp_path / "out.csv"
    edges = [(u, v) for u in range(8) for v in range(8) if u != v]
    source.write_text("".join(f"{u} {v}\n" for u, v in edges))
    more = ["--method", "RandomEdge", "--sparsity", 0.5]
    code, out, _err = run(capsys, "sparsify", source, target, *more)
    assert code == 0
    assert out.startswith("28 -> 14 undirected edges in")
    code, out, _err = run(capsys, "sparsify", source, target, *more, "--json")
    assert json.loads(out)["num_pairs_after"] == 14


def test_sparsify_directed_and_named(tmp_path, capsys):
    source, target = tmp_path / "in.csv", tmp_path / "out.mtx"
    source.write_text("target,source\nann,bob\nbob,ann\nann,cem\n")
    more = [source, target, "--method", "RandomEdge", "--sparsity", 0, "--relabel"]
    code, out, _err = run(capsys, "sparsify", *more, "--directed")
    assert code == 0
    assert out.startswith("3 -> 3 directed edges in")
    assert out.endswith(f"\nnames of the nodes: {tmp_path / 'out.nodes.csv'}\n")
    code, out, _err = run(capsys, "sparsify", *more, "--symmetrize")
    assert code == 0
    assert out.startswith("2 -> 2 undirected edges in")
    names = ["in.csv", "out.mtx", "out.nodes.csv"]
    assert sorted(os.listdir(tmp_path)) == names
    assert max(map(len, run(capsys, "sparsify", "--help")[1].splitlines())) <= 80


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("in.txt", b"inf 1\n1 inf\n", "must be non-negative integers (got 'inf')"),
        ("in.txt", b"5000000000 12\n12 5000000000\n", "(--relabel)"),
        ("in.txt", b"# nodes: 999999999999\n0 1\n1 0\n", "nodes (got 999,999,999,999)"),
        ("in.txt", b"0 1\n1 2\n", "use --symmetrize"),
        ("in.txt", b"0 1 1\n1 0 2\n", "--symmetrize"),
        ("in.csv", b"a,b\nb,a\n", "(--relabel)"),
        ("in.npz", b"PK\x03\x04", "is truncated"),
        ("in.pt", b"", "is truncated"),
        ("in.mtx", b"%%MatrixMarket matrix coordinate real general\n1 2 0\n", "square"),
        ("in.txt.gz", b"0 1\n", "not compressed by gzip"),
        ("in.txt", None, "must be a file (got a folder)"),
    ],
)
def test_a_bad_file_is_one_line_and_code_two(tmp_path, capsys, name, content, text):
    if content is None:
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_bytes(content)
    more = ["--method", "DSpar", "--sparsity", 0.5]
    code, out, err = run(
        capsys, "sparsify", tmp_path / name, tmp_path / "out.txt", *more
    )
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("error: ")
    assert text in err
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("error", [MemoryError("too large"), PermissionError("no")])
def test_memory_and_permission_are_one_line_too(tmp_path, capsys, monkeypatch, error):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr("gsparse.deploy.stated_graph.read_graph", fail)
    args = ["a.txt", tmp_path / "b.txt", "--method", "RandomEdge", "--sparsity", 0.5]
    assert run(capsys, "sparsify", *args) == (2, "", f"error: {error}\n")


def test_prune(tmp_path, capsys):
    more = ["--model", "gcn", "--structure", "rows", "--bits", 8, "--compact"]
    more += ["--epochs", 2, "--out", tmp_path]
    code, out, _err = run(capsys, "prune", *more)
    assert code == 0
    assert max(map(len, out.splitlines()[:-1])) <= 80
    assert out.startswith("digits (random-5-30), gcn: Magnitude, 75.00% of rows, 8 bit")
    assert sorted(os.listdir(tmp_path)) == ["README.md", "model.safetensors"]
    code, out, _err = run(capsys, "prune", *more, "--json")
    record = json.loads(out)
    assert record["num_bytes_after"] == (tmp_path / "model.safetensors").stat().st_size
    assert record["multiply_adds_after"] < record["multiply_adds_before"] / 3


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["frobnicate"], "No such command 'frobnicate'"),
        (["bench", "--dataset", "Pubmeed"], "PubMed"),
        (["bench", "--method", "Best"], "(got Best)"),
        (["bench", "--model", "gin"], "(got gin)"),
        (["bench", "--sparsity", "0.5,1.5"], "'sparsity' must be in [0, 1) (got 1.5)"),
        (["bench", "--sparsity", "half"], "(got 'half')"),
        (["bench", "--seeds", "0"], "(got '0')"),
        (["bench", "--weights", "some"], "one of auto, use, ignore"),
        (["bench", "--jobs", "0"], "--jobs"),
        (["bench", "--split", "fair"], "fair"),
        (["prune", "--sparsity", "1"], "'sparsity' must be in [0, 1) (got 1.0)"),
        (["prune", "--dataset", "Pubmeed"], "PubMed"),
        (["prune", "--model", "gin"], "(got gin)"),
        (["prune", "--pruner", "Best"], "(got Best)"),
        (["prune", "--split", "fair"], "fair"),
        (["prune", "--structure", "cubes"], "'structure' must be one of rows, columns"),
        (
            ["prune", "--structure", "heads", "--model", "gcn"],
            "gat (got gcn)",
        ),
        (
            ["prune", "--structure", "rows", "--pruner", "ProbMask"],
            "'structure' is for pruners of groups, ",
        ),
        (["prune", "--bits", "9"], "'bits' must be from 2 to 8"),
        (["prune", "--epochs", "0"], "--epochs"),
        (["report", "nowhere"], "no rows at nowhere"),
        (["sparsify", "a.pt", "b.pt"], "--method"),
        (["sparsify", "a.pt", "b.pt", "--method", "DSpar"], "give --sparsity"),
    ],
)
def test_bad_input_is_one_line_and_code_two(tmp_path, monkeypatch, capsys, args, text):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *args)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert text in err
    assert os.listdir(tmp_path) == []


def test_without_the_extra_one_line_names_it():
    code = (
        "import sys; sys.modules['typer'] = None; import gsparse.cli as c; c.main([])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert child.returncode == 2
    assert child.stderr == (
        "the gsparse command needs its extra: pip install 'gsparse-gnn[cli]'\n"
    )


def test_help_does_not_load_torch():
    code = (
        "import sys; import gsparse.cli as c\n"
        "try: c.main(['bench', '--help'])\n"
        "except SystemExit: sys.exit('torch' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert child.returncode == 0


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "gsparse", "--version"]
    child = subprocess.run(command, capture_output=True, text=True)
    assert child.stdout == f"gsparse {__version__}\n"


def test_reproduce_lists_claims(capsys):
    code, out, _err = run(capsys, "reproduce", "--list", "--json")
    assert code == 0
    assert json.loads(out)[0]["data"].startswith("Physics")
    code, _out, err = run(capsys, "reproduce")
    assert (code, err) == (
        2,
        "error: 'name' is missing; see gsparse reproduce --list\n",
    )


@pytest.mark.parametrize(
    ("load", "given", "used"),
    [(1.5, None, "passive"), (0.1, None, None), (1.5, "active", "active")],
)
def test_threads_sleep_while_they_wait_beside_others(load, given, used):
    code = (
        "import os, sys; import gsparse.cli as c\n"
        f"os.getloadavg = lambda: ({load}, 0, 0)\n"
        "try: c.main(['--version'])\n"
        "except SystemExit:\n"
        "    print(os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert child.stdout.splitlines()[-1] == f"{used} False"


def test_control_c_keeps_rows_and_says_so(tmp_path):
    command = [sys.executable, "-c", "from gsparse.cli import main; main()", *BENCH]
    command += ["--seeds", "500", "--epochs", "5", "--out", str(tmp_path)]
    path = tmp_path / "bench.jsonl"
    # A shell starts background jobs with the signal ignored; children inherit that.
    child = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        deadline = time.monotonic() + 240
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=120)
    finally:
        child.kill()
    assert child.returncode == 130
    assert f"stopped; repeat the command to resume from {path}" in err
    assert "Traceback" not in err
    assert read_rows(path)


def test_blocks_of_nothing():
    assert format_blocks([]) == ""
