"""Dense and compact models in one contest."""

import pytest

from gsparse.bench.contests.compact_models import CONTEST, finish
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem


def test_the_compact_row_holds_both_models():
    dense, row = compare(CONTEST, Problem("digits", repeats=2))
    assert [dense["method"], row["method"]] == ["dense", "compact"]
    assert row["multiply_adds_before"] == dense["multiply_adds"]
    assert row["multiply_adds_before"] >= 4 * row["multiply_adds"]
    assert row["width_after"] < row["hidden"] == 32
    assert row["infer_seconds_before"] == dense["infer_seconds"]
    ratio = row["infer_seconds_before"] / row["infer_seconds"]
    assert row["speedup"] == pytest.approx(ratio)
    ratio = dense["infer_cpu_seconds"] / row["infer_cpu_seconds"]
    assert row["speedup_cpu"] == pytest.approx(ratio)
    assert "speedup_dense_x" not in row


def test_dense_features_have_a_ratio_of_their_own():
    rows = [
        {"infer_seconds": 4.0, "infer_cpu_seconds": 8.0}
        | {"infer_seconds_dense_x": 6.0, "infer_cpu_seconds_dense_x": 9.0},
        {"infer_seconds": 2.0, "infer_cpu_seconds": 1.0}
        | {"infer_seconds_dense_x": 2.0, "infer_cpu_seconds_dense_x": 2.0},
    ]
    row = finish(rows)[1]
    assert (row["speedup"], row["speedup_cpu"]) == (2.0, 8.0)
    assert (row["speedup_dense_x"], row["speedup_cpu_dense_x"]) == (3.0, 4.5)
    assert row["infer_seconds_before_dense_x"] == 6.0
