"""Whole fits of masks say what was asked, kept and removed."""

from gsparse.bench.contests import short_fits
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.mask_fits import CONTEST, SHARES


def test_a_row_for_the_training_and_each_fit():
    rows = compare(CONTEST, Problem("digits", "gcn", repeats=1))
    training, fixed, *kept, search = rows
    assert (search["sparsity"], search["asked"]) == (0.8, None)
    assert search["kept"] > 0.99
    assert training["method"] == "training"
    assert all(row["seconds"] > 0 for row in rows)
    assert (fixed["asked"], fixed["sparsity"]) == (None, 0.8)
    assert tuple(row["asked"] for row in kept) == SHARES
    for row in kept:
        assert row["asked"] <= row["kept"] < row["asked"] + 0.003
    assert kept[0]["sparsity"] < kept[1]["sparsity"] < 1


def test_fits_of_few_epochs():
    rows = compare(short_fits.CONTEST, Problem("digits", repeats=2, quick=True))
    expected = [(name, it) for it in (10, 20) for name in short_fits.GATES]
    assert [(row["method"], row["epochs"]) for row in rows] == expected
    assert all(0.5 < row["kept"] <= 1 for row in rows)
    assert any(row["kept_std"] > 0 for row in rows)
