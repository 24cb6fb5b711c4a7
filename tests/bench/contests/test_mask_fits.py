"""Whole fits of masks say what was asked, kept and removed."""

from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.mask_fits import CONTEST, SHARES


def test_a_row_for_the_training_and_each_fit():
    rows = compare(CONTEST, Problem("digits", "gcn", repeats=1))
    training, fixed, *kept = rows
    assert training["method"] == "training"
    assert all(row["seconds"] > 0 for row in rows)
    assert (fixed["asked"], fixed["sparsity"]) == (None, 0.8)
    assert tuple(row["asked"] for row in kept) == SHARES
    for row in kept:
        assert row["asked"] <= row["kept"] < row["asked"] + 0.003
    assert kept[0]["sparsity"] < kept[1]["sparsity"] < 1
