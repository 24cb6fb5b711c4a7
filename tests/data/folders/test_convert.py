"""Conversion of graphs and files to graph folders."""

import gzip
import os
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from gsparse.data import convert_graph, open_graph, read_graph, write_graph
from gsparse.data.folders import sort_stage, sources
from gsparse.data.folders.sort_stage import PER_EDGE
from gsparse.data.folders.sorted_runs import SortedRuns
from tests.data.folders.messy import messy_graph, summed


def files(folder):
    """Return the contents of all files of a folder, except the name of the source."""
    found = {it.name: it.read_bytes() for it in Path(folder).iterdir()}
    return {name: it for name, it in found.items() if name != "header.json"}


def error_of(function, *args, **options):
    """Return the message of the ValueError that a call raises, or None."""
    try:
        function(*args, **options)
    except ValueError as error:
        return str(error)
    return None


def in_tiny_blocks(monkeypatch, size=11):
    """Sort a few edges at a time and read a few lines at a time."""

    def tiny(_memory, per_edge, **_):
        return size if per_edge > 1 else 200_000_000

    monkeypatch.setattr("gsparse.data.folders.sort_stage.edges_within", tiny)
    monkeypatch.setattr("gsparse.data.folders.convert.edges_within", tiny)
    real = sources.text_blocks

    def small(path, *, packed, size=0, at=None):
        return real(path, packed=packed, size=37, at=at)

    monkeypatch.setattr(sources, "text_blocks", small)
    monkeypatch.setattr(sources, "PER_BYTE", 1 << 40)
    monkeypatch.setattr("gsparse.data.folders.tables.SLICE", 17)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", [20411, 88301])
def test_a_folder_holds_the_sums_of_parallel_edges(tmp_path, seed, weighted):
    data = messy_graph(seed, weighted=weighted)
    folder = convert_graph(data, tmp_path / "g")
    expected = summed(data)
    loops = sum(u == v for u, v in expected)
    assert (folder.num_nodes, folder.num_loops) == (data.num_nodes, loops)
    assert folder.num_pairs == len(expected) - loops
    (block,) = folder.blocks()
    keys = list(zip(block.row.tolist(), block.col.tolist(), strict=True))
    assert keys == sorted(expected)
    assert dict(zip(keys, block.weight.tolist(), strict=True)) == expected
    assert summed(folder.data()) == expected
    assert folder.data().is_undirected()


@pytest.mark.parametrize("weighted", [False, True])
def test_the_bound_of_the_memory_changes_no_byte(tmp_path, monkeypatch, weighted):
    data = messy_graph(51347, weighted=weighted)
    if weighted:  # sums that depend on their order
        data.edge_weight = data.edge_weight / 3
    convert_graph(data, tmp_path / "large")
    for size in (1, 7, 64):
        in_tiny_blocks(monkeypatch, size)
        convert_graph(data, tmp_path / f"{size}")
        assert files(tmp_path / f"{size}") == files(tmp_path / "large")


@pytest.mark.parametrize("weighted", [False, True])
def test_sorting_needs_memory_for_a_run(tmp_path, monkeypatch, weighted):
    """No more than the stated bytes for every edge of a run, however many there are."""
    data = messy_graph(9203, num_nodes=2000, num_pairs=250_000, weighted=weighted)
    size = 20_000
    in_tiny_blocks(monkeypatch, size)
    monkeypatch.setattr(sources, "SLICE", size)
    tracemalloc.start()
    convert_graph(data, tmp_path / "g")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.num_edges > 20 * size
    assert peak < PER_EDGE * size


def test_copies_are_sorted_by_weight(tmp_path):
    """The order of a sum can change its last bit."""
    draw = torch.Generator().manual_seed(20731)
    key = torch.randint(9, (200,), generator=draw).numpy().astype(np.uint64)
    weight = torch.rand(200, generator=draw).numpy()
    runs = SortedRuns(tmp_path, "runs", 7, weighted=True)
    runs.add(key, weight)
    runs.flush()
    found = [*runs.parts(np.array([2, 3, 7], dtype=np.uint64))]
    keys = np.concatenate([part.key for part in found])
    weights = np.concatenate([part.weight for part in found])
    expected = sorted(zip(key.tolist(), weight.tolist(), strict=True))
    assert list(zip(keys.tolist(), weights.tolist(), strict=True)) == expected
    assert [part.key.max() for part in found] == [1, 2, 6, 8]


def test_the_order_of_the_edges_changes_no_byte(tmp_path):
    data = messy_graph(10069, weighted=True)
    data.edge_weight = data.edge_weight / 3
    other = data.clone()
    order = torch.randperm(data.num_edges, generator=torch.Generator().manual_seed(7))
    other.edge_index = data.edge_index[:, order]
    other.edge_weight = data.edge_weight[order]
    convert_graph(data, tmp_path / "a")
    convert_graph(other, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")


@pytest.mark.parametrize("name", ["g.txt", "g.csv.gz", "g.tsv", "g.npz", "g.mtx"])
@pytest.mark.parametrize("weighted", [False, True])
def test_files_are_read_as_by_read_graph(tmp_path, monkeypatch, name, weighted):
    data = messy_graph(40129, weighted=weighted)
    write_graph(data, tmp_path / name)
    in_tiny_blocks(monkeypatch)
    convert_graph(tmp_path / name, tmp_path / "file")
    convert_graph(read_graph(tmp_path / name), tmp_path / "memory")
    assert files(tmp_path / "file") == files(tmp_path / "memory")
    assert open_graph(tmp_path / "file", verify=True).num_nodes == data.num_nodes


TEXTS = {
    "names.csv": b"source,target,weight\r\n0,1,0.5\r\n1,0,0.5\r\n",
    "many lines.csv": b"source,target\n" + b"".join(b"%d,9\n" % i for i in range(99)),
    "line ends.csv": b"source,target\r\n" + b"1,2\r\n" * 50,
    "other order.csv": b"weight,to,from\n0.5,0,1\n0.25,1,2\n",
    "comments.txt": b"# a graph\n% of the past\n\n0 1 # one\n1 2\n# nodes: 9\n",
    "mark.csv": b"\xef\xbb\xbf0,1\n1,2\n",
    "wide.txt": "0 1\n1 2\n".encode("utf-16"),
    "no last line end.txt": b"0 1\n1 2",
    "old line ends.txt": b"0 1\r1 2\r",
    "decimals.txt": b"0 1.0\n1 2e0\n",
    "more columns.csv": b"source,target,time\n0,1,77\n1,2,78\n",
    "empty.txt": b"",
    "comments only.txt": b"# nodes: 4\n",
    "times.txt": b"0 1 5\n1 2 100000000\n",
    "time.txt": b"0 1 1000000000\n1 2 1000000001\n",
    "one time.txt": b"0 1 5000000\n",
    "falling.txt": b"0 1 5000000\n1 2 3\n",
    "text.txt": b"0 1\n1 x\n",
    "negative.txt": b"0 1\n1 -2\n",
    "columns.txt": b"0 1\n1 2 3\n",
    "large id.txt": b"0 1\n1 20000000\n",
    "header only.csv": b"a,b\n",
    "zero byte.txt": b"0 1\n1 \x002\n",
    "nan.txt": b"0 1 nan\n",
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_text_is_read_or_refused_as_by_read_graph(
    tmp_path, monkeypatch, name, packed
):
    content = gzip.compress(TEXTS[name]) if packed else TEXTS[name]
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(content)
    in_tiny_blocks(monkeypatch)
    refusal = error_of(read_graph, path)
    if refusal:
        found = error_of(convert_graph, path, tmp_path / "g", symmetrize=True)
        assert found[:60] == refusal[:60] or "must be finite and not negative" in found
        return
    data = read_graph(path)
    convert_graph(path, tmp_path / "file", symmetrize=True)
    convert_graph(data, tmp_path / "memory", symmetrize=True)
    assert files(tmp_path / "file") == files(tmp_path / "memory")


NAMED = {
    "integers.txt": b"-5 7\n7 900000000000\n",
    "names.csv": b"source,target\nb,a\na,c\nc,\xc3\xa4\n",
    "header of numbers.csv": b"a,b\n10,9\n9,8\n",
    "mixed.txt": b"1 2\n2 3\n3 4\n4 5\n5 x\nx y\n",
    "decimals.csv": b"source,target,weight\n1,2,0.5\n2,3.0,0.25\n",
    "zeros.txt": b"01 1\n1 2\n2 3\n3 4\n",
    "first line.csv": b"a,b\nc,d\nd,e\ne,f\nf,g\n",
    "column.csv": b"source,target\na,source\na,c\n",
    "arrows.txt": b"a -> b\nb -> c\n",
    "comment.txt": b"#a b\nb c\n",
    "empty name.csv": b"source,target\na,\nb,c\n",
}


@pytest.mark.parametrize("name", NAMED)
def test_names_are_numbered_as_by_read_graph(tmp_path, monkeypatch, name):
    pytest.importorskip("duckdb")
    path = tmp_path / name
    path.write_bytes(NAMED[name])
    in_tiny_blocks(monkeypatch)
    options = {"relabel": True, "symmetrize": True}
    refusal = error_of(read_graph, path, relabel=True)
    if refusal:
        assert error_of(convert_graph, path, tmp_path / "g", **options) == refusal
        return
    data = read_graph(path, relabel=True)
    folder = convert_graph(path, tmp_path / "file", **options)
    expected = convert_graph(data, tmp_path / "memory", symmetrize=True)
    assert files(folder.path) == files(expected.path)
    assert list(folder.node_label) == list(data.node_label)


def test_a_first_line_taken_for_names_must_stay_one(tmp_path, monkeypatch):
    pytest.importorskip("duckdb")
    lines = [f"{i},{i + 1}" for i in range(40)]
    (tmp_path / "g.csv").write_text("\n".join(["a,b", *lines, "x,y", ""]))
    in_tiny_blocks(monkeypatch)
    with pytest.raises(ValueError, match="whether its first line is an edge"):
        convert_graph(tmp_path / "g.csv", tmp_path / "g", relabel=True)


def test_a_larger_bound_gives_more_memory_to_the_source(tmp_path, monkeypatch):
    found, real = [], sources.open_source

    def noted(source, settings):
        found.append(settings.memory)
        return real(source, settings)

    monkeypatch.setattr("gsparse.data.folders.sort_stage.open_source", noted)
    (tmp_path / "g.csv").write_text("ann,bob\nbob,ann\n")
    for bound in (4_000_000_000, 8_000_000_000):
        convert_graph(
            tmp_path / "g.csv", tmp_path / f"{bound}", relabel=True, memory=bound
        )
    assert found[1] - found[0] == pytest.approx(2_000_000_000, rel=0.1)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    (tmp_path / "g.parquet").write_bytes(b"")
    with pytest.raises(ModuleNotFoundError, match=r"'gsparse-gnn\[scale\]'"):
        convert_graph(tmp_path / "g.parquet", tmp_path / "g")
    assert [it.name for it in tmp_path.iterdir()] == ["g.parquet"]


@pytest.mark.parametrize("relabel", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_parquet(tmp_path, monkeypatch, relabel, weighted):
    duckdb = pytest.importorskip("duckdb")
    data = messy_graph(77191, weighted=weighted)
    row, col = data.edge_index.numpy()
    ends = [row, col]
    if relabel:
        ends = [np.array([f"n{i:03}" for i in end], dtype=object) for end in ends]
    table = {"target": ends[1], "source": ends[0]}
    if weighted:
        table["weight"] = data.edge_weight.numpy()
    parts = tmp_path / "a graph's" / "g.parquet"
    parts.mkdir(parents=True)
    for i in (0, 1):
        half = {key: it[i::2] for key, it in table.items()}
        assert len(half["source"])
        path = str(parts / f"{i}.parquet").replace("'", "''")
        duckdb.sql(f"COPY (SELECT * FROM half) TO '{path}'")
    in_tiny_blocks(monkeypatch)
    folder = convert_graph(parts, parts.parent / "g", relabel=relabel)
    used = sorted({*row.tolist(), *col.tolist()})
    if relabel:
        assert folder.node_label == [f"n{i:03}" for i in used]
    number = {i: i for i in range(60)}
    if relabel:
        number = {node: i for i, node in enumerate(used)}
    expected = {(number[u], number[v]): w for (u, v), w in summed(data).items()}
    assert summed(folder.data()) == expected


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ("'a' AS source, 'b' AS target", r"must hold integer ids \(got source VARCHAR"),
        ("1.5 AS source, 2 AS target", "must hold integer ids"),
        ("1 AS source, NULL::INT AS target", "two ids and a weight in every row"),
        ("-1 AS source, 2 AS target", r"non-negative integers \(got -1\)"),
        ("1 AS a, 2 AS b, 3 AS c", "must name one column 'source'"),
    ],
)
def test_bad_parquet(tmp_path, columns, text):
    duckdb = pytest.importorskip("duckdb")
    duckdb.sql(f"COPY (SELECT {columns}) TO '{tmp_path}/g.parquet'")
    with pytest.raises(ValueError, match=text):
        convert_graph(tmp_path / "g.parquet", tmp_path / "g")
    (tmp_path / "g.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="cannot be read"):
        convert_graph(tmp_path / "g.parquet", tmp_path / "g")
    assert [it.name for it in tmp_path.iterdir()] == ["g.parquet"]


@pytest.mark.parametrize(
    ("content", "options", "text"),
    [
        ("0 1\n1 2\n2 1\n", {}, r"got \(0, 1\) without \(1, 0\)\); use symmetrize"),
        ("1 0\n1 2\n2 1\n", {}, r"got \(1, 0\) without \(0, 1\)"),
        ("0 1 2\n1 0 3\n", {}, r"same weight \(got 2 for \(0, 1\) and 3 for \(1, 0\)"),
        ("0 1\n0 1\n1 0\n", {}, r"got 2 for \(0, 1\) and 1 for \(1, 0\)"),
        ("0 1 2\n1 0 3\n", {"symmetrize": True}, "same weight"),
        ("0 1 2\n1 0 2\n", {"copies": "one"}, "has weights, and copies='one' would"),
        ("0 1\n1 2\n2 1\n", {"copies": "one"}, "both directions of every edge"),
        ("0 1\n1 0\n", {"copies": "two"}, r"'check', 'add', 'one' \(got 'two'\)"),
        ("0 1 -1\n1 0 -1\n", {}, r"finite and not negative \(got -1.0\)"),
        ("0 1 inf\n1 0 inf\n", {}, "finite and not negative"),
        ("0 1\n1 0\n", {"memory": "1MB"}, "memory must be at least"),
        ("0 1\n1 0\n", {"memory": "much"}, r"such as 4GB or 512MiB \(got 'much'\)"),
    ],
)
def test_refusals(tmp_path, content, options, text):
    (tmp_path / "g.txt").write_text(content)
    with pytest.raises(ValueError, match=text):
        convert_graph(tmp_path / "g.txt", tmp_path / "g", **options)
    assert [it.name for it in tmp_path.iterdir()] == ["g.txt"]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("0 1\n1 0\n1 0\n2 2\n2 2\n", {"copies": "add"}, {(0, 1): 3, (2, 2): 2}),
        ("0 1 2\n1 0 3\n2 1 5\n", {"copies": "add"}, {(0, 1): 5, (1, 2): 5}),
        (
            "0 1\n1 0\n1 0\n2 1\n2 2\n2 2\n",
            {"copies": "one", "symmetrize": True},
            {(0, 1): 1, (1, 2): 1, (2, 2): 1},
        ),
        ("0 1\n1 0\n1 0\n", {"copies": "one"}, {(0, 1): 1}),
        ("0 1\n0 1\n1 2\n", {"symmetrize": True}, {(0, 1): 2, (1, 2): 1}),
        ("0 1\n1 0\n2 1\n", {"symmetrize": True}, {(0, 1): 1, (1, 2): 1}),
    ],
)
def test_copies(tmp_path, content, options, expected):
    (tmp_path / "g.txt").write_text(content)
    folder = convert_graph(tmp_path / "g.txt", tmp_path / "g", **options)
    assert summed(folder.data()) == expected
    assert folder.is_weighted == (set(expected.values()) != {1})


def test_a_folder_is_never_replaced(tmp_path):
    data = messy_graph(33301)
    convert_graph(data, tmp_path / "g")
    with pytest.raises(ValueError, match="must not exist yet"):
        convert_graph(data, tmp_path / "g")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        convert_graph(data, tmp_path / "none" / "g")
    with pytest.raises(FileNotFoundError, match="no such file"):
        convert_graph(tmp_path / "g.txt", tmp_path / "h")


class TestInterruption:
    def test_it_goes_on_from_the_sorted_edges(self, tmp_path, monkeypatch):
        path = self._interrupt(tmp_path, monkeypatch)
        monkeypatch.setattr("gsparse.data.folders.convert.sort_edges", None)
        folder = convert_graph(path, tmp_path / "g")
        assert summed(folder.data()) == summed(read_graph(path))
        assert sorted(it.name for it in tmp_path.iterdir()) == ["g", "g.txt"]

    def test_another_source_starts_anew(self, tmp_path, monkeypatch):
        path = self._interrupt(tmp_path, monkeypatch)
        path.write_text("0 1\n1 0\n")
        (tmp_path / ".g.part" / "node_label.npy").write_bytes(b"old")
        folder = convert_graph(path, tmp_path / "g")
        assert folder.num_pairs == 1
        names = {it.name for it in folder.path.iterdir()}
        assert names == {"header.json", "indptr.npy", "indices.npy"}

    def test_labels_are_kept_too(self, tmp_path, monkeypatch):
        path = self._interrupt(tmp_path, monkeypatch, relabel=True)
        monkeypatch.setattr("gsparse.data.folders.convert.sort_edges", None)
        folder = convert_graph(path, tmp_path / "g", relabel=True)
        used = read_graph(path).edge_index.unique()
        assert folder.node_label.equal(used)

    def test_a_folder_of_the_user_is_not_cleared(self, tmp_path):
        (tmp_path / ".g.part").mkdir()
        (tmp_path / ".g.part" / "notes.txt").write_text("mine")
        with pytest.raises(ValueError, match="it holds other files"):
            convert_graph(messy_graph(5), tmp_path / "g")
        assert (tmp_path / ".g.part" / "notes.txt").read_text() == "mine"

    def test_two_processes_do_not_write_one_folder(self, tmp_path):
        fcntl = pytest.importorskip("fcntl")
        part = tmp_path / ".g.part"
        part.mkdir()
        handle = os.open(part, os.O_RDONLY)
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another process is writing"):
            convert_graph(messy_graph(5), tmp_path / "g")
        os.close(handle)
        assert convert_graph(messy_graph(5), tmp_path / "g").num_pairs

    def test_a_folder_that_was_renamed_before_the_lock(self, tmp_path, monkeypatch):
        fcntl = pytest.importorskip("fcntl")

        def flock(handle, how, right=fcntl.flock):
            if not (tmp_path / "elsewhere").exists():
                (tmp_path / ".g.part").rename(tmp_path / "elsewhere")
                (tmp_path / ".g.part").mkdir()  # of a third process
            right(handle, how)

        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.raises(ValueError, match="another process is writing"):
            convert_graph(messy_graph(5), tmp_path / "g")
        assert (tmp_path / ".g.part").exists()

    def test_a_source_that_changed_while_it_was_read(self, tmp_path, monkeypatch):
        def change(*_args):
            (tmp_path / "g.txt").write_text("0 1\n1 0\n")

        with monkeypatch.context() as patch:
            patch.setattr(sort_stage, "_check_weight", change)
            self._interrupt(tmp_path, monkeypatch)
        assert convert_graph(tmp_path / "g.txt", tmp_path / "g").num_pairs == 1

    def _interrupt(self, tmp_path, monkeypatch, **options):
        path = tmp_path / "g.txt"
        write_graph(messy_graph(60107), path)

        def stop(*_args, **_options):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("gsparse.data.folders.convert.merge_directions", stop)
            with pytest.raises(KeyboardInterrupt):
                convert_graph(path, tmp_path / "g", **options)
        assert not (tmp_path / "g").exists()
        with pytest.raises(ValueError, match="not written to its end"):
            open_graph(tmp_path / ".g.part")
        return path


def test_labels_are_kept_of_a_graph_in_memory(tmp_path):
    data = messy_graph(92003)
    data.node_label = torch.arange(60) * 3 - 7
    folder = convert_graph(data, tmp_path / "g")
    assert folder.node_label.equal(data.node_label)
    assert folder.data().node_label.equal(data.node_label)


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (torch.tensor([0.5, 1.5]), "torch.float32"),
        (torch.tensor([5, 6, 7]), r"shape \[3\]"),
        (torch.tensor([[5], [6]]), r"shape \[2, 1\]"),
        (["a", "b", "c"], "list of 3"),
        (["a\nb", "c"], r"'a\\nb'"),
        (["a", 5], "got 5"),
        (("a", "b"), "tuple"),
    ],
)
def test_labels_that_a_file_cannot_hold_are_refused(tmp_path, labels, got):
    data = Data(edge_index=torch.tensor([[0, 1], [1, 0]]), node_label=labels)
    data.num_nodes = 2
    with pytest.raises(ValueError, match=f"'node_label' must hold .*{got}"):
        convert_graph(data, tmp_path / "g")


def test_a_sum_that_float32_cannot_hold_is_refused(tmp_path):
    (tmp_path / "g.txt").write_text("source target weight\n0 1 1\n1 2 3e38\n1 2 3e38\n")
    with pytest.raises(ValueError, match=r"edge \(1, 2\) .* at most 3.4e\+38"):
        convert_graph(tmp_path / "g.txt", tmp_path / "g", symmetrize=True)
    assert not (tmp_path / "g").exists()


def test_the_progress_ends_at_the_whole(tmp_path):
    write_graph(messy_graph(8117), tmp_path / "g.txt")
    steps = []
    convert_graph(
        tmp_path / "g.txt",
        tmp_path / "g",
        report=lambda name, done, total: steps.append((name, done, total)),
    )
    last = {name: (done, total) for name, done, total in steps}
    assert [*last] == ["reading", "writing"]
    assert all(done == total > 0 for done, total in last.values())
