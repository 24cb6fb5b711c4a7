"""Schedules as functions of the step."""

import itertools

import pytest

from gsparse.prune import (
    CubicSchedule,
    ExponentialSchedule,
    LinearSchedule,
    RoundsSchedule,
)

RAMPS = [LinearSchedule, CubicSchedule, ExponentialSchedule]


@pytest.mark.parametrize("kind", RAMPS)
@pytest.mark.parametrize("every", [1, 3])
def test_starts_ends_and_never_falls(kind, every):
    schedule = kind(start=5, end=26, every=every, initial=0.2)
    found = [schedule(step, 0.95) for step in range(40)]
    assert found[:6] == pytest.approx([0.2] * 6)
    assert found[26:] == [0.95] * 14
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(found))
    moved = [i for i in range(1, 26) if found[i] > found[i - 1] + 1e-12]
    assert all((i - 5) % every == 0 for i in moved)


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    ("kind", "between"),
    [
        (LinearSchedule, lambda t: 0.2 + (0.95 - 0.2) * t),
        (CubicSchedule, lambda t: 0.95 + (0.2 - 0.95) * (1 - t) ** 3),
        (ExponentialSchedule, lambda t: 1 - 0.8 * (0.05 / 0.8) ** t),
    ],
)
def test_ramps_follow_their_formulas(kind, between, every):
    """Of the share of the way between start and end, in steps of ``every``."""
    schedule = kind(start=5, end=26, every=every, initial=0.2)
    for step in range(5, 26):
        moves = (step - 5) // every
        assert schedule(step, 0.95) == pytest.approx(between(moves * every / 21))


def test_cubic_takes_less_each_time():
    found = [CubicSchedule(0, 10)(step, 0.9) for step in range(11)]
    gains = [b - a for a, b in itertools.pairwise(found)]
    assert all(a > b for a, b in itertools.pairwise(gains))


def test_exponential_takes_the_same_part_each_time():
    density = [
        1 - ExponentialSchedule(0, 8, initial=0.1)(step, 0.99) for step in range(9)
    ]
    parts = [b / a for a, b in itertools.pairwise(density)]
    assert parts == pytest.approx([parts[0]] * 8)


@pytest.mark.parametrize("n", [1, 4, 25])
def test_rounds_end_at_the_sparsity_by_the_ratio_of_the_paper(n):
    schedule, p, left = RoundsSchedule(n, every=2), 0.75, 1.0
    for k in range(1, n + 1):
        left *= 1 - p / (k * p + n * (1 - p))
        assert 1 - schedule(2 * k, p) == pytest.approx(left)
    assert schedule(schedule.end, p) == p


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: CubicSchedule(5, 5), r"0 <= start < end \(got 5 and 5\)"),
        (lambda: LinearSchedule(9, 3), r"0 <= start < end \(got 9 and 3\)"),
        (
            lambda: LinearSchedule(0, 3, every=0),
            r"'every' must be at least 1 \(got 0\)",
        ),
        (lambda: LinearSchedule(0, 3, initial=1.0), r"'initial' must be in \[0, 1\)"),
        (lambda: RoundsSchedule(0), r"'num_rounds' must be at least 1 \(got 0\)"),
    ],
)
def test_refusals(make, text):
    with pytest.raises(ValueError, match=text):
        make()
