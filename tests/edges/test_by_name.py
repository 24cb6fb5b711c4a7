"""Entries looked up by name."""

import pytest

from gsparse.edges.by_name import find_by_name

FOUND = {"DSpar": 1, "RandomEdge": 2}


def test_the_entry_of_a_name():
    assert find_by_name(FOUND, "RandomEdge", "method") == 2


@pytest.mark.parametrize("name", ["DSparr", "dspar", "DSPAR"])
def test_a_misspelt_name_is_guessed(name):
    text = rf"'method' must be one of DSpar, RandomEdge \(got {name}\); did you mean "
    with pytest.raises(ValueError, match=text + r"DSpar\?$"):
        find_by_name(FOUND, name, "method")


def test_no_guess_for_a_name_like_none():
    with pytest.raises(ValueError, match=r"\(got xyz\)$"):
        find_by_name(FOUND, "xyz", "method")
