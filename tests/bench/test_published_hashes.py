"""The hashes of the published rows are those that their fields give today."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from gsparse.bench.stale import experiment_of, is_experiment, is_stale
from gsparse.bench.tables.rows import content_hash, latest, read_rows

RESULTS = Path(__file__).parents[2] / "docs" / "results"
EXPERIMENTS = {
    "depth": 243,
    "fastgat": 997,
    "implicit": 105,
    "incremental": 100,
    "inductive": 55,
    "kedge": 1452,
    "prune": 2820,
    "structured": 360,
}
STALE = {
    ("fastgat", "tolokers", "gat"): 20,
    ("fastgat", "tolokers", "gcn"): 10,
    ("fastgat", "Computers", "gcn"): 10,
    ("inductive", "Computers", "gcn"): 10,
    ("kedge", "tolokers", "gcn"): 6,
}
"""Rows that are out of date: of revision 1 of EffectiveResistance."""
SETTINGS = {
    "ladder": ("model", "split", "sparsity"),
    "interactions": ("seed", "revision"),
    "attention": ("shape", "in_channels"),
    "sparse_weights": ("shape", "weight_sparsity"),
    "compact_models": ("model", "rounds"),
    "training_steps": ("model", "rounds"),
}
"""What the hashes of measurements cover besides table, dataset, method and machine."""


@cache
def rows_of(table):
    return latest(read_rows(RESULTS / f"{table}.jsonl"))


@cache
def stale_rows(table):
    return [row for row in rows_of(table) if is_stale(row)]


@pytest.mark.parametrize("table", EXPERIMENTS)
def test_hashes_are_recomputed_from_the_fields(table):
    rows = rows_of(table)
    assert len(rows) == EXPERIMENTS[table]
    for row in rows:
        assert experiment_of(row).key.dataset == row["dataset"]
    stale = Counter((table, r["dataset"], r["model"]) for r in stale_rows(table))
    assert stale == {key: n for key, n in STALE.items() if key[0] == table}


def test_stale_rows_are_those_of_older_revisions():
    stale = [row for table in EXPERIMENTS for row in stale_rows(table)]
    assert len(stale) == sum(STALE.values())
    for row in stale:
        assert row["method"] == "EffectiveResistance", row


@pytest.mark.parametrize("table", SETTINGS)
def test_hashes_of_measurements(table):
    keys = ("table", "dataset", "method", "device", "threads", *SETTINGS[table])
    for row in rows_of(table):
        assert not is_experiment(row)
        assert content_hash({key: row[key] for key in keys}) == row["config_hash"]


def test_every_table_of_experiments_is_listed():
    found = {
        path.stem
        for path in RESULTS.glob("*.jsonl")
        if any(map(is_experiment, rows_of(path.stem)))
    }
    assert found == set(EXPERIMENTS)
