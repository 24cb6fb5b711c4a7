"""Verdicts: definitions by the ends of the interval."""

from itertools import product

import pytest

from gsparse.bench.verdicts import FEWEST, MARGIN, Gap, exact, gap

VALUES = [-3.0, -1.2, -0.9, -0.3, 0.0, 0.3, 0.9, 1.2, 3.0]
GAPS = [Gap(m, h, n) for m, h, n in product(VALUES, (0.0, 0.5, 0.95, 2.0), (2, 3, 10))]


def plain(found, is_true):
    """Return the verdict by asking the claim of many points of the interval."""
    if found.pairs < FEWEST:
        return "too few seeds"
    points = [found.mean + found.half * i / 50 for i in range(-50, 51)]
    answers = {is_true(point) for point in points}
    return {(True,): "holds", (False,): "fails"}.get(tuple(answers), "too few seeds")


@pytest.mark.parametrize("bound", [-1.0, 0.1, 2.05])
def test_bounds_are_asked_of_the_whole_interval(bound):
    for it in GAPS:
        assert it.at_most(bound) == plain(it, lambda x: x <= bound), it
        assert it.at_least(bound) == plain(it, lambda x: x >= bound), it


def test_above_needs_an_interval_above_zero():
    for it in GAPS:
        found = it.above()
        assert (found == "holds") == (it.pairs >= FEWEST and it.low > 0), it
        assert (found == "fails") == (it.pairs >= FEWEST and it.high < 0), it
        small = it.low <= 0 <= it.high and max(-it.low, it.high) < MARGIN
        assert (found == "level") == (it.pairs >= FEWEST and small), it


def test_a_mean_of_zero_does_not_hold():
    assert Gap(0.0, 0.5, 10).above() == "level"
    assert Gap(0.0, 0.0, 10).above() == "level"
    assert Gap(0.0, 1.0, 10).above() == "too few seeds"


def test_two_pairs_decide_nothing():
    two = Gap(50.0, 0.0, 2)
    assert {two.above(), two.at_least(0.0), two.at_most(99.0)} == {"too few seeds"}


def test_gaps_are_taken_over_common_seeds():
    found = gap({0: 3.0, 1: 5.0, 2: 10.0}, {1: 2.0, 0: 1.0, 3: 99.0})
    assert found.mean == pytest.approx(2.5)
    assert found.half == pytest.approx(12.706 * 0.5, rel=1e-3)  # t, one degree
    assert found.pairs == 2
    assert gap({0: 3.0, 1: 5.0}, 1.0).mean == pytest.approx(3.0)


def test_exact_numbers_hold_or_fail():
    assert (exact(True), exact(False)) == ("holds", "fails")
