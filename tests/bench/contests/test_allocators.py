"""Each allocator is a process of its own, and rows name the one that they had."""

import sys

import pytest

from gsparse.bench.contests import allocators
from gsparse.bench.contests.__main__ import main
from gsparse.bench.contests.allocators import KEPT, environment, name_of
from gsparse.bench.tables.rows import latest, read_rows

QUICK = ["sparse_weights", "--quick", "--threads", "1"]


@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
def test_rows_have_the_allocator_that_was_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MALLOC_TOP_PAD_", "4096")  # the default has no settings
    out = tmp_path / "rows.jsonl"
    assert main([*QUICK, "--allocators", "default,kept", "--out", str(out)]) == 0
    rows = latest(read_rows(out))
    assert [name_of(row) for row in rows] == ["default"] * 6 + ["kept"] * 6
    assert rows[0]["allocator"] == "glibc"
    assert set(rows[-1]["allocator"].split()) == {f"{k}={v}" for k, v in KEPT.items()}


def test_what_is_not_on_this_machine_is_named(monkeypatch, capsys):
    monkeypatch.setattr(allocators, "find_library", lambda name: None)
    assert main([*QUICK, "--allocators=jemalloc"]) == 0
    assert capsys.readouterr().out == "jemalloc: left out, not on this machine\n"


def test_the_environment_of_each(monkeypatch):
    monkeypatch.setattr(allocators, "find_library", lambda name: f"lib{name}.so.2")
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    assert KEPT.keys().isdisjoint(environment("default"))
    assert KEPT.items() <= environment("kept").items()
    assert environment("jemalloc")["LD_PRELOAD"] == "libjemalloc.so.2"
    assert name_of({"allocator": "jemalloc"}) == "jemalloc"
