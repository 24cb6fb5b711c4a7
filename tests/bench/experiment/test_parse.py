"""Parsing of command line arguments."""

import pytest

from gsparse.bench.experiment.parse import (
    WEIGHTS,
    parse_choice,
    parse_numbers,
    parse_seeds,
)


@pytest.mark.parametrize("text", ["", "a", "0.5;0.8", "0.5,"])
def test_numbers_refuse(text):
    with pytest.raises(ValueError, match=r"'sparsity' must be numbers .*\(got '"):
        parse_numbers("sparsity", text)


@pytest.mark.parametrize("text", ["", "0", "-3", "5-4", "a-b", "1.5"])
def test_seeds_refuse(text):
    with pytest.raises(ValueError, match=rf"such as 100-109 \(got '{text}'\)"):
        parse_seeds(text)


def test_a_range_has_both_its_ends():
    assert list(parse_seeds("7-9")) == [7, 8, 9]
    assert list(parse_seeds("7-7")) == [7]


def test_choices():
    assert [parse_choice("weights", w, WEIGHTS) for w in WEIGHTS] == [None, True, False]
    with pytest.raises(ValueError, match="one of auto, use, ignore"):
        parse_choice("weights", "both", WEIGHTS)
