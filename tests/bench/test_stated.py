"""Numbers in the text of documents, and their sources."""

import pytest

from gsparse.bench.stated import (
    Statement,
    read_stated,
    results_of,
    unstated,
    visible,
    wrong_statements,
)
from gsparse.bench.tables.documents import Results

TEXT = """\
It is 3.1x as fast and loses
0.7 ± 0.3 points (`9.9x`, [here](a/5%20s), 80 % removed).

<!-- begin: a -->
| 77.5 |
<!-- end: a -->

    gsparse bench 4 GB

```
12 ms
```
The score is 77.5. Version 2.13.0, torch 2.13, seeds 100 to 109.
"""


def found(text):
    return [" ".join(it.split()) for _, it in results_of(text)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3.1x, 4 x, 2.5 times", ["3.1x", "4 x", "2.5 times"]),
        ("44.5 % and 7 %", ["44.5 %", "7 %"]),
        ("30 to 34 %", ["30 to 34 %"]),
        ("12 ms, 5 s, 3 GB, 2 hours", ["12 ms", "5 s", "3 GB", "2 hours"]),
        ("-0.9 ± 1.6 and -2.2 ± 2.8", ["0.9 ± 1.6", "2.2 ± 2.8"]),
        ("scores of 77.5.", ["77.5"]),
        ("at 80 and 95 % removed, 50, 80 and 90 %", []),
        ("5 epochs, 0.5 dropout, 19717 x 500 x 16, torch 2.13.0", []),
    ],
)
def test_results_are_numbers_with_units(text, wanted):
    assert found(text) == wanted


def test_blocks_code_and_links_are_not_text():
    assert found(visible(TEXT)) == ["3.1x", "0.7 ± 0.3 points", "77.5"]
    assert len(visible(TEXT)) == len(TEXT)


def test_numbers_without_a_statement_are_listed_with_their_lines():
    statements = [
        Statement("a.md", "loses 0.7 ± 0.3 points", "block a"),
        Statement("b.md", "score is 77.5", "block a"),
    ]
    bare = unstated("a.md", TEXT, statements)
    assert [(it.line, it.text) for it in bare] == [(1, "3.1x"), (13, "77.5")]


BLOCKS = {"a": lambda results: "| 77.5 ± 0.3 | 3.1x |", "b": lambda results: "0.7"}


def wrong(tmp_path, *statements):
    results = Results(tmp_path / "docs" / "results")
    return wrong_statements(statements, {"a.md": TEXT}, BLOCKS, results)


def test_blocks_must_have_the_numbers(tmp_path):
    right = Statement("a.md", "It is 3.1x as fast", "block a")
    both = Statement("a.md", "loses 0.7 ± 0.3 points", "block a, b")
    assert wrong(tmp_path, right, both) == []
    alone = both._replace(source="block a")
    assert wrong(tmp_path, alone)[0].endswith("0.7 is not in a")
    assert wrong(tmp_path, right._replace(source="block c"))[0].endswith("no block c")


def test_a_text_that_is_not_there_is_wrong(tmp_path):
    gone = Statement("a.md", "It is 3.2x as fast", "block a")
    assert wrong(tmp_path, gone) == ["a.md does not say: It is 3.2x as fast"]


def test_named_tests_must_exist(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("def test_it():\n    pass\n")
    right = Statement("a.md", "3.1x", "test tests/test_a.py::test_it")
    assert wrong(tmp_path, right) == []
    gone = right._replace(source="test tests/test_a.py::test_other")
    assert wrong(tmp_path, gone) == ["there is no test tests/test_a.py::test_other"]


def test_sources_of_unknown_kinds_are_refused(tmp_path):
    path = tmp_path / "stated.toml"
    entry = '[[statement]]\ndocument = "a.md"\ntexts = ["3.1x"]\nsource = "{}"\n'
    path.write_text('pending = ["b.md"]\n' + entry.format("trial: once"))
    statements, others = read_stated(path)
    assert statements == [Statement("a.md", "3.1x", "trial: once")]
    assert others == {"pending": ["b.md"]}
    path.write_text(entry.format("believe me"))
    with pytest.raises(ValueError, match="'source' must begin with one of block, test"):
        read_stated(path)
