"""Tables, environment, commands and the CSV file of a page."""

from collections.abc import Callable, Iterable, Sequence

from gsparse.bench.page.content import Entry, Section
from gsparse.bench.page.sentence import operating_point, signed
from gsparse.bench.page.text import csv_link, escape, tag
from gsparse.bench.tables.rows import Row
from gsparse.bench.tables.table import mean_and_deviation, seconds, size

Cell = tuple[str, object]
"""Text of a cell, and the value by which its column is sorted; None sorts last."""

ABSENT = "-"

PLACE = ("versions", "cpu", "device", "threads", "allocator")
"""Keys of the environment; rows lack those that their version did not record."""

CSV = (
    *("dataset", "split", "model", "num_layers", "hidden", "metric"),
    *("method", "pruner", "training", "teacher", "reweight", "seed"),
    *("sparsity", "weight_sparsity", "val_score", "test_score"),
    *("train_epoch_seconds", "infer_seconds", "preprocess_seconds"),
    "train_peak_bytes",
)
"""Columns of the CSV file."""


def table(section: Section) -> str:
    """Return the table of all lines; the operating point is bold."""
    lines = [_cells(section, it) for it in section.entries]
    titles = [
        title for title in lines[0] if any(it[title][0] != ABSENT for it in lines)
    ]
    best = operating_point(section)
    body = [
        tag(
            "tr",
            *(_td(*line[title]) for title in titles),
            class_="best" if entry is best else None,
        )
        for entry, line in zip(section.entries, lines, strict=True)
    ]
    heads = [tag("th", escape(title), scope="col") for title in titles]
    inside = tag("thead", tag("tr", *heads)) + tag("tbody", *body)
    about = f"All lines: {section.heading}"
    return tag(
        "div",
        tag("table", inside),
        class_="box sortable",
        tabindex="0",
        role="region",
        aria_label=about,
    )


def _td(text: str, value: object) -> str:
    return tag("td", escape(text), data_v="" if value is None else value)


def _cells(section: Section, entry: Entry) -> dict[str, Cell]:
    line = entry.line
    test, weights, gap = line.test_mean, line.weight_sparsity, entry.to_dense
    is_self = entry is section.dense or gap is None
    return {
        "method": (line.name, line.name),
        "edges removed": (f"{100 * line.sparsity:.1f} %", line.sparsity),
        "weights removed": _maybe(weights, lambda it: f"{100 * it:.3g} %"),
        "n": (str(line.num_seeds), line.num_seeds),
        "validation": (mean_and_deviation(line.val_mean, None), line.val_mean),
        "test": _maybe(test, lambda it: mean_and_deviation(it, line.test_std)),
        "to Dense [95 %]": (ABSENT, None)
        if is_self or gap is None
        else (signed(gap), gap.mean),
        "epoch": _maybe(line.train_epoch_seconds, seconds),
        "infer": _maybe(line.infer_seconds, seconds),
        "peak": _maybe(line.train_peak_bytes, size),
        "prepare": _maybe(line.preprocess_seconds, seconds),
    }


def _maybe(value: float | None, write: Callable[[float], str]) -> Cell:
    return (ABSENT, None) if value is None else (write(value), value)


def environment(rows: Iterable[Row]) -> str:
    """Return a table of the places where rows were made, with their commits."""
    places: dict[tuple, list[Row]] = {}
    for row in rows:
        places.setdefault(tuple(row.get(key) for key in PLACE), []).append(row)
    lines = []
    for place, found in places.items():
        commits = dict.fromkeys(str(it["commit"]) for it in found if it.get("commit"))
        texts = ["not recorded" if it is None else str(it) for it in place]
        cells = [*texts, ", ".join(commits) or "not recorded", str(len(found))]
        lines.append(tag("tr", *(tag("td", escape(it)) for it in cells)))
    heads = [tag("th", escape(it), scope="col") for it in (*PLACE, "commits", "rows")]
    inside = tag("thead", tag("tr", *heads)) + tag("tbody", *lines)
    where = {"role": "region", "aria_label": "Environment", "tabindex": "0"}
    return tag("div", tag("table", inside, class_="left"), class_="box", **where)


def commands(rows: Iterable[Row]) -> str:
    """Return every command that made rows, in the order of first appearance."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[str(row["command"])] = counts.get(str(row["command"]), 0) + 1
    return "".join(tag("pre", tag("code", escape(command))) for command in counts)


def download(rows: Sequence[Row]) -> str:
    """Return a link to a CSV file with one line per run, inside the page."""
    used = [key for key in CSV if any(row.get(key) is not None for row in rows)]
    address = csv_link(used, ([row.get(key) for key in used] for row in rows))
    return tag("a", f"All {len(rows):,} runs as CSV", href=address, download="runs.csv")
