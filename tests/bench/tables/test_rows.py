"""Row files with several writers, killed processes and bad values."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gsparse.bench.tables.rows import (
    KEYS,
    append_row,
    content_hash,
    finished,
    latest,
    read_rows,
)


def make_row(**changes):
    return (
        dict.fromkeys((*KEYS, "training"), "x")
        | {"seed": 0, "config_hash": "c0"}
        | changes
    )


def append_many(path, writer):
    for seed in range(40):
        append_row(path, make_row(seed=seed, config_hash=writer, pad="p" * 3000))


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "a.jsonl"
    rows = [make_row(seed=seed, test_score=0.1 + seed, extra=None) for seed in range(3)]
    for row in rows:
        append_row(path, row)
    assert read_rows(path) == rows
    assert read_rows(path.parent) == rows
    assert tuple(json.loads(path.read_text().splitlines()[0]))[: len(KEYS)] == KEYS


def test_two_writers_never_mix_their_lines(tmp_path):
    """File locks belong to the open file, so threads stand for processes here."""
    path = tmp_path / "a.jsonl"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(append_many, [path, path], ["a", "b"]))
    expected = {(name, seed) for name in ("a", "b") for seed in range(40)}
    assert finished(read_rows(path)) == expected
    assert len(read_rows(path)) == 80


@pytest.mark.parametrize("cut", [1, 7, 150])
def test_a_line_cut_short_is_skipped_and_then_replaced(tmp_path, cut):
    path = tmp_path / "a.jsonl"
    append_row(path, make_row(seed=1))
    append_row(path, make_row(seed=2))
    path.write_bytes(path.read_bytes()[: -1 - cut])
    assert finished(read_rows(path)) == {("c0", 1)}
    append_row(path, make_row(seed=3))
    assert finished(read_rows(path)) == {("c0", 1), ("c0", 3)}


def test_a_whole_line_without_its_newline_is_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    append_row(path, make_row(seed=1, pad="p" * 70000))  # longer than one read
    path.write_bytes(path.read_bytes()[:-1])
    append_row(path, make_row(seed=2))
    assert finished(read_rows(path)) == {("c0", 1), ("c0", 2)}


def test_a_broken_line_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    append_row(path, make_row())
    path.write_bytes(b'{"table": 1}\n' + path.read_bytes())
    with pytest.raises(ValueError, match=r"a\.jsonl, line 1: not a row"):
        read_rows(path)
    path.write_bytes(b"nonsense\n" + path.read_bytes())
    with pytest.raises(ValueError, match=r"a\.jsonl, line 1: not a JSON row"):
        read_rows(path)


def test_nothing_there():
    with pytest.raises(FileNotFoundError, match="no rows at nowhere"):
        read_rows(Path("nowhere"))


def test_the_last_of_equal_rows_counts():
    rows = [make_row(note=1), make_row(seed=1), make_row(note=2)]
    assert latest(rows) == [rows[2], rows[1]]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"versions": {}}, "'versions' must be a scalar"),
        ({"val_score": float("nan")}, r"'val_score' must be finite \(got nan\)"),
    ],
)
def test_refusals_leave_the_file_alone(tmp_path, changes, text):
    path = tmp_path / "a.jsonl"
    with pytest.raises(ValueError, match=text):
        append_row(path, make_row(**changes))
    assert not path.exists()


def test_a_missing_key_is_named():
    row = make_row()
    del row["teacher"]
    with pytest.raises(ValueError, match=r"missing \['teacher'\]"):
        append_row(Path("never"), row)


def test_hash_depends_on_content_alone():
    base = {"a": 1, "b": 0.5, "c": None}
    assert content_hash(base) == content_hash(dict(reversed(base.items())))
    others = [base | {"a": 2}, base | {"c": False}, {"a": 1, "b": 0.5}]
    assert len({content_hash(other) for other in [base, *others]}) == 4


def test_rows_from_before_say_how_their_weights_were_trained(tmp_path):
    path, row = tmp_path / "a.jsonl", make_row(val_score=0.5)
    del row["training"]
    append_row(path, row)
    append_row(path, row | {"val_score": None, "seed": 1})  # a measurement
    assert [found.get("training") for found in read_rows(path)] == ["scratch", None]
