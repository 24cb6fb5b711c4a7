"""Slopes of power laws, and the contents of rows."""

import pytest

from gsparse.bench.contests import scaling
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem


def test_slope_of_a_power_law():
    rows = [{"method": "a", "num_nodes": n, "t": 3 * n**1.5} for n in (10, 100, 1000)]
    rows += [{"method": "b", "num_nodes": n, "t": 5.0} for n in (10, 100)]
    assert scaling.slope(rows, "a", "t") == pytest.approx(1.5)
    assert scaling.slope(rows, "b", "t") == pytest.approx(0)


def test_rows_of_two_sizes():
    rows = []
    for size in ("1000", "2000"):
        problem = Problem("chung_lu", size, repeats=1, quick=True)
        rows += compare(scaling.CONTEST, problem)
    assert [row["num_nodes"] for row in rows] == [1000, 1000, 2000, 2000]
    full, sparse = rows[2], rows[3]
    assert full["num_edges"] == 2 * round(2000 * 20 * 0.2**0.5 / 2)
    assert sparse["num_edges"] < full["num_edges"]
    assert sparse["preprocess_seconds"] > 0
    assert "Dense: time ~ nodes^" in scaling.summary(rows)
    assert scaling.summary(rows[:2]) == "one size has no slope"
