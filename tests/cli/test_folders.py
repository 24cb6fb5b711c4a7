"""Commands on graph folders."""

import io
import json
import os

import pytest

from gsparse.cli import meter
from gsparse.data import convert_graph, open_graph, read_graph, write_graph
from gsparse.transforms import DSpar, EffectiveResistance
from tests.cli.command import run
from tests.data.folders.messy import messy_graph, summed


@pytest.fixture
def graph(tmp_path):
    write_graph(messy_graph(33871, weighted=True), tmp_path / "g.txt")
    return tmp_path / "g.txt"


def test_convert_and_sparsify(tmp_path, capsys, graph):
    code, out, err = run(capsys, "convert", graph, tmp_path / "g", "--threads", 1)
    assert (code, err) == (0, "")
    folder = open_graph(tmp_path / "g", verify=True)
    assert out.startswith(f"60 nodes, {folder.num_pairs} undirected edges in ")
    assert summed(folder.data()) == summed(read_graph(graph))
    more = ["--method", "DSpar", "--sparsity", 0.9, "--seed", 5, "--memory", "4GB"]
    code, out, err = run(capsys, "sparsify", tmp_path / "g", tmp_path / "cut", *more)
    assert (code, err) == (0, "")
    cut = open_graph(tmp_path / "cut", verify=True)
    assert f"{folder.num_pairs} -> {cut.num_pairs} undirected edges in" in out
    assert summed(cut.data()) == summed(DSpar(0.9, seed=5)(folder.data()))
    code, out, _ = run(
        capsys, "sparsify", tmp_path / "g", tmp_path / "again", *more, "--json"
    )
    assert json.loads(out)["num_pairs_after"] == cut.num_pairs
    for name in ("indptr.npy", "indices.npy", "weight.npy"):
        files = [(tmp_path / it / name).read_bytes() for it in ("cut", "again")]
        assert files[0] == files[1]


def test_folders_are_cut_by_streamed_resistances(tmp_path, capsys):
    graph = messy_graph(33871)
    folder = convert_graph(graph, tmp_path / "g")
    words = ["--method", "EffectiveResistance", "--sparsity", 0.5, "--seed", 5]
    code, out, _ = run(capsys, "sparsify", tmp_path / "g", tmp_path / "cut", *words)
    assert code == 0
    cut = open_graph(tmp_path / "cut", verify=True)
    transform = EffectiveResistance(0.5, method="stream", seed=5)
    assert summed(cut.data()) == summed(transform(folder.data()))
    assert f"{folder.num_pairs} -> {cut.num_pairs} undirected edges in" in out


def test_an_interrupted_command_says_whether_it_resumes(
    tmp_path, capsys, graph, monkeypatch
):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    convert_graph(graph, tmp_path / "g")
    words = ["--method", "EffectiveResistance", "--sparsity", 0.5]
    with monkeypatch.context() as patch:
        patch.setattr(EffectiveResistance, "select_blocks", interrupt)
        code, _, err = run(capsys, "sparsify", tmp_path / "g", tmp_path / "cut", *words)
    assert (code, err) == (130, "stopped; repeat the command to resume\n")
    assert run(capsys, "sparsify", tmp_path / "g", tmp_path / "cut", *words)[0] == 0
    monkeypatch.setattr("gsparse.bench.catalogue.dataset_records", interrupt)
    code, _, err = run(capsys, "datasets")
    assert (code, err.strip()) == (130, "stopped")


def test_a_folder_is_no_data_set(tmp_path, capsys, graph, monkeypatch):
    convert_graph(graph, tmp_path / "stored")
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "inspect", "stored")
    assert code == 2
    assert "stored is a graph folder" in err


def test_help_is_narrow(capsys):
    code, out, _ = run(capsys, "convert", "--help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["convert", "none.txt", "f"], "no such file: none.txt"),
        (["convert", "g.txt", "g"], "must not exist yet"),
        (["convert", "g.txt", "f", "--copies", "two"], "(got 'two')"),
        (["convert", "g.txt", "f", "--memory", "4"], "memory must be at least"),
        (["sparsify", "g", "f", "--method", "DSpar"], "give --sparsity"),
        (["sparsify", "g", "f.npz", "--method", "DSpar"], "sparsified to a folder"),
        (["sparsify", "g.txt", "f.npz", "--memory", "1GB"], "needs a graph folder"),
        (["sparsify", "g", "f", "--relabel"], "--relabel are for files"),
        (["sparsify", "empty", "f"], "must be a graph folder"),
        (["sparsify", "g", "f", "--memory", "1MB"], "memory must be at least"),
        (["sparsify", "g", "g"], "must not exist yet"),
        (["sparsify", "g", "f", "--method", "Teddy"], "needs the whole graph"),
    ],
)
def test_refusals_are_one_line_and_code_two(
    tmp_path, capsys, monkeypatch, graph, args, text
):
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "convert", "g.txt", "g")[0] == 0
    os.mkdir("empty")
    if args[0] == "sparsify" and "give" not in text:
        args = [*args, "--sparsity", "0.5"]
        args += [] if "--method" in args else ["--method", "RandomEdge"]
    code, out, err = run(capsys, *args)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("error: ")
    assert text in err
    assert sorted(os.listdir(tmp_path)) == ["empty", "g", "g.txt"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_meter_shows_rate_and_time_left(monkeypatch):
    clock = iter([0.0, 2.0, 2.1, 4.0, 10.0, 11.0])
    monkeypatch.setattr(meter, "monotonic", lambda: next(clock))
    screen = Terminal()
    show = meter.Meter(screen)
    show("writing", 1_000_000, 8_000_000)  # the first call begins the step
    show("writing", 4_000_000, 8_000_000)
    show("writing", 5_000_000, 8_000_000)  # too soon
    show("writing", 8_000_000, 8_000_000)
    show("writing", 1_000_000, 8_000_000)  # a new pass
    show("writing", 2_000_000, 8_000_000)
    show.close()
    lines = screen.getvalue().split("\r\x1b[K")
    assert lines == [
        "",
        "writing 50 %, 1.5 M edges/s, 0:03 left",
        "writing 100 %, 1.8 M edges/s, 0:00 left",
        "writing 25 %, 1.0 M edges/s, 0:06 left",
        "",
    ]


def test_the_meter_writes_nothing_to_a_file():
    file = io.StringIO()
    show = meter.Meter(file)
    show("writing", 4, 8)
    show.close()
    assert file.getvalue() == ""
