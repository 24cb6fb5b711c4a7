"""Numbers in documents are those of the rows."""

import re
import shutil
from pathlib import Path

import pytest

from gsparse.bench.tables.documents import (
    MARKER,
    Results,
    documents,
    fill,
    update,
)
from gsparse.bench.tables.grid_table import Column, GridTable, Line
from gsparse.bench.tables.published import BLOCKS, MODULES
from gsparse.bench.tables.rows import KEYS, append_row

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "docs" / "results"


def test_the_documents_agree_with_the_rows():
    differ = update(RESULTS, BLOCKS, write=False)
    assert not differ, "run: gsparse report docs/results --write"


def test_every_block_is_used_once():
    text = "".join(path.read_text() for path in documents(RESULTS))
    used = [name for _, name, _, _ in MARKER.findall(text)]
    assert sorted(used) == sorted(BLOCKS)
    assert len(BLOCKS) == sum(len(module.BLOCKS) for module in MODULES)


def test_no_marker_within_a_line_is_its_first_word():
    """Markdown would take such a line as HTML and show its markup."""
    for path in documents(RESULTS):
        assert not re.findall(r"^<!-- begin: \S+ -->.", path.read_text(), re.MULTILINE)


BLOCKS_HERE = {
    "table": lambda results: f"| {len(results('a'))} |",
    "number": lambda results: f"{results('a')[0]['value']:.1f}",
}
TEXT = """\
<!-- begin: table -->
| 9 |
<!-- end: table -->
It is <!-- begin: number -->2.0<!-- end: number --> here.
"""


@pytest.fixture
def docs(tmp_path):
    """A checkout with one document and three rows, one of them written twice."""
    folder = tmp_path / "docs" / "results"
    folder.mkdir(parents=True)
    for seed, value in ((0, 3.0), (1, 2.0), (0, 2.0)):
        row = {"config_hash": "x", "seed": seed, "value": value}
        append_row(folder / "a.jsonl", dict.fromkeys(KEYS) | row)
    (tmp_path / "docs" / "a.md").write_text(TEXT)
    (tmp_path / "README.md").write_text("nothing here\n")
    return folder


def test_blocks_are_found_filled_and_left_alone(docs):
    path = docs.parent / "a.md"
    assert update(docs, BLOCKS_HERE, write=False) == {path: ["table"]}
    assert path.read_text() == TEXT
    assert update(docs, BLOCKS_HERE, write=True) == {path: ["table"]}
    assert path.read_text() == TEXT.replace("| 9 |", "| 2 |")
    assert update(docs, BLOCKS_HERE, write=True) == {}
    assert {it.name for it in docs.parent.iterdir()} == {"results", "a.md"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<!-- begin: tabel --><!-- end: tabel -->", "one of table, number .got tabel"),
        ("<!-- begin: table --> 1", "must have its end"),
        ("<!-- begin: table --> <!-- end: number -->", "must have its end"),
    ],
)
def test_broken_blocks_are_refused(docs, text, error):
    with pytest.raises(ValueError, match=error):
        fill(text, BLOCKS_HERE, Results(docs))


def test_documents_without_blocks_are_refused(docs):
    shutil.copy(docs.parents[1] / "README.md", docs.parent / "a.md")
    with pytest.raises(ValueError, match=r"no document beside .* has a"):
        update(docs, BLOCKS_HERE, write=True)


def test_lines_and_columns_select_rows(docs):
    for seed, score in enumerate((0.5, 0.7)):
        given = {"config_hash": "y", "seed": seed, "test_score": score}
        given |= {"method": "A", "sparsity": 0.5}
        append_row(docs / "b.jsonl", dict.fromkeys(KEYS) | given)
    lines = [
        Line(("first",), {"method": "A"}),
        Line(("second",), {"method": "A", "sparsity": 0.5}, only=(1,)),
        Line(("third",), {"method": "B"}),
    ]
    columns = [
        Column("50 %", {"sparsity": 0.5}),
        Column("80 %", {"sparsity": 0.8}, lambda rows: str(len(rows))),
    ]
    table = GridTable("b", ("line",), lines, columns)
    assert table(Results(docs)).split("\n") == [
        "| line | 50 % | 80 % |",
        "|---|---|---|",
        "| first | 60.0 ± 14.1 (2) |  |",
        "| second |  | 2 |",
        "| third |  |  |",
    ]
