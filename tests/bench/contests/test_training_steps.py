"""Training epochs of four ways to train a model."""

from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.training_steps import CONTEST, METHODS


def test_a_row_for_each_contender():
    rows = compare(CONTEST, Problem("digits", "gcn", repeats=1))
    assert [row["method"] for row in rows] == list(METHODS)
    for row in rows:
        assert (row["model"], row["rounds"]) == ("gcn", 1)
        assert row["infer_seconds"] > 0
        assert row["train_epoch_seconds"] > 0
