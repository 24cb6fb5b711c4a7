"""The hashes of the published rows are those that their fields give today."""

from functools import cache
from pathlib import Path

import pytest

from gsparse.bench.contests.allocators import name_of
from gsparse.bench.stale import experiment_of, is_experiment, is_stale
from gsparse.bench.stated import read_stated
from gsparse.bench.tables.rows import content_hash, latest, read_rows

RESULTS = Path(__file__).parents[2] / "docs" / "results"
EXPERIMENTS = {
    "converged": 240,
    "cut": 60,
    "depth": 323,
    "fastgat": 997,
    "implicit": 105,
    "incremental": 100,
    "inductive": 55,
    "kedge": 3504,
    "labels": 118,
    "prune": 2820,
    "structured": 360,
}
SETTINGS = {
    "epoch": ("model", "split", "sparsity"),
    "interactions": ("seed", "revision"),
    "attention": ("shape", "in_channels"),
    "sparse_weights": ("shape", "weight_sparsity"),
    "compact_models": ("model", "rounds"),
    "training_steps": ("model", "rounds"),
    "short_fits": ("model", "epochs", "num_samples"),
    "mask_fits": ("model", "rounds", "asked"),
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


def test_stale_rows_are_those_that_are_being_made_again():
    """``stated.toml`` lists their cells, with the method where only it is meant."""
    _, others = read_stated(RESULTS / "stated.toml")
    listed = {tuple(it) for it in others["retraining"]}
    for table in EXPERIMENTS:
        for row in stale_rows(table):
            cell = (table, row["dataset"], row["model"], row["method"])
            assert cell in listed or cell[:3] in listed, cell


@pytest.mark.parametrize("table", SETTINGS)
def test_hashes_of_measurements(table):
    keys = ("table", "dataset", "method", "device", "threads", *SETTINGS[table])
    for row in rows_of(table):
        assert not is_experiment(row)
        known = keys if name_of(row) == "default" else (*keys, "allocator")
        assert content_hash({key: row[key] for key in known}) == row["config_hash"]


def test_every_table_of_experiments_is_listed():
    found = {
        path.stem
        for path in RESULTS.glob("*.jsonl")
        if any(map(is_experiment, rows_of(path.stem)))
    }
    assert found == set(EXPERIMENTS)
