"""Pages of methods hold all parts of the docstring, in their order."""

import inspect
from pathlib import Path

import pytest

from gsparse.bench.catalogue import method_records
from gsparse.bench.tables.documents import Results
from gsparse.bench.tables.published import method_pages
from gsparse.bench.tables.published.method_pages import (
    BLOCKS,
    HEADS,
    every_method,
    page,
    split_docstring,
)
from gsparse.prune import Magnitude


def test_the_groups_are_the_methods_of_the_command():
    assert sorted(every_method()) == sorted(it["name"] for it in method_records())


@pytest.mark.parametrize("name", every_method())
def test_no_part_of_a_docstring_is_lost(name):
    doc = inspect.getdoc(every_method()[name])
    summary, body, parts = split_docstring(doc)
    for mark in ("**When to use it.**", "**When not to use it.**", "**Cost.**"):
        doc = doc.replace(mark, "")
    for section in ("Example", "Args", "Shapes", "Raises"):
        doc = doc.replace(f"\n{section}:\n", "\n")
    words = " ".join([summary, body, *parts.values()]).split()
    assert sorted(words) == sorted(doc.split())


def test_the_page_has_the_docstring_but_its_arguments():
    results = Results(Path(__file__).parents[3] / "docs" / "results")
    for name, cls in every_method().items():
        text = page(results, name)
        summary, body, parts = split_docstring(inspect.getdoc(cls))
        shown = (*HEADS, "Example", "Paper")
        assert summary in text
        assert f"{body}\n" in text
        assert all(f"\n{parts[it]}\n" in text for it in shown if it in parts)


def test_a_docstring_without_its_cost_is_refused(monkeypatch, tmp_path):
    class Free(Magnitude):
        """Rates weights.

        **When to use it.** Now.

        **When not to use it.** Then.
        """

    monkeypatch.setattr(method_pages, "every_method", lambda: {"Free": Free})
    with pytest.raises(ValueError, match=r"Free must have \['Cost'\]"):
        page(Results(tmp_path), "Free")


def test_formulas_do_not_end_the_cells_of_a_list():
    for block in BLOCKS.values():
        for line in block(None).split("\n"):
            assert line.count("|") == 4, line
