"""Whole fits of masks say what was asked, kept and removed."""

import pytest

from gsparse.bench.contests import short_fits
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.mask_fits import CONTEST, SHARES


def test_a_row_for_the_training_and_each_fit():
    rows = compare(CONTEST, Problem("digits", "gcn", repeats=1))
    training, fixed, *kept = rows[:4]
    search, *found = rows[4:]
    assert search["sparsity"] == pytest.approx(0.8, abs=1e-3)
    assert search["asked"] is None
    assert search["kept"] > 0.99
    assert training["method"] == "training"
    assert all(row["seconds"] > 0 for row in rows)
    assert (fixed["asked"], fixed["sparsity"]) == (None, 0.8)
    assert tuple(row["asked"] for row in kept) == SHARES
    for row in (*kept, *found):
        assert row["asked"] <= row["kept"] < row["asked"] + 0.003
    for more, fewer in (kept, found):
        assert more["sparsity"] < fewer["sparsity"] < 1
    assert all(b["sparsity"] > a["sparsity"] for a, b in zip(kept, found, strict=True))


def test_fits_of_few_epochs():
    rows = compare(short_fits.CONTEST, Problem("digits", repeats=2, quick=True))
    expected = [(name, it) for it in (10, 20) for name in short_fits.GATES]
    assert [(row["method"], row["epochs"]) for row in rows] == expected
    assert all(0.5 < row["kept"] <= 1 for row in rows)
    assert any(row["kept_std"] > 0 for row in rows)
