"""Files of solved columns: reused for the same purpose only, and only when whole."""

import pytest

from gsparse.data import karate
from gsparse.edges import undirected_pairs
from gsparse.edges.row_blocks import PairRows
from gsparse.linalg.stream_columns import Columns, StoredColumns, claim
from gsparse.linalg.stream_pieces import find_pieces


def stored(folder, seed=7):
    pairs = undirected_pairs(karate().edge_index)
    graph = PairRows(pairs.row.numpy(), pairs.col.numpy(), None, 34, 20)
    return StoredColumns(graph, find_pieces(graph), seed, folder)


def test_a_folder_has_one_purpose(tmp_path):
    first = claim(tmp_path / "columns", {"seed": 1})
    (first / "squares-0").write_bytes(b"solved")
    (first / "squares-1.5.part").write_bytes(b"half")
    assert claim(tmp_path / "columns", {"seed": 1}) == first
    assert [it.name for it in first.iterdir()] == ["squares-0"]
    second = claim(tmp_path / "columns", {"seed": 2})
    assert list(tmp_path.rglob("*")) == [tmp_path / "columns", second]


def test_a_process_left_over_from_another_job_writes_nothing(tmp_path, monkeypatch):
    """A job of seed 1 is killed, and one of its processes goes on."""
    left_over = stored(claim(tmp_path / "columns", {"seed": 1}), seed=1)

    def squares(self, batch, right=Columns._squares):
        claim(tmp_path / "columns", {"seed": 2})  # while the column is solved
        return right(self, batch)

    monkeypatch.setattr(Columns, "_squares", squares)
    with pytest.raises(FileNotFoundError):
        left_over.store(range(1))
    assert not list(tmp_path.rglob("squares-*"))


def test_two_processes_may_write_one_batch(tmp_path, monkeypatch):
    """The other one begins when a part of the file is written."""
    expected = tmp_path / "expected"
    expected.mkdir()
    stored(expected).store(range(1))
    mine, other = stored(tmp_path), stored(tmp_path)

    def passes(name, right=mine._graph.passes):
        for number, block in enumerate(right(name)):
            yield block
            if name == "storing squares" and number == 1:
                other._write(0, tmp_path / "squares-0")
                assert whole() == (expected / "squares-0").read_bytes()

    def whole():
        return (tmp_path / "squares-0").read_bytes()

    monkeypatch.setattr(mine._graph, "passes", passes)
    mine.store(range(1))
    assert whole() == (expected / "squares-0").read_bytes()


def test_a_file_of_another_length_is_solved_again(tmp_path):
    stored(tmp_path).store(range(1))
    path = tmp_path / "squares-0"
    whole = path.read_bytes()
    assert len(whole) == 8 * 78
    for damaged in (whole[:-8], whole + bytes(8), b""):
        path.write_bytes(damaged)
        stored(tmp_path).store(range(1))
        assert path.read_bytes() == whole
    path.write_bytes(bytes(len(whole)))
    stored(tmp_path).store(range(1))
    assert path.read_bytes() == bytes(len(whole))  # whole files are not solved again
