"""The whole page: what was found, a section per block, and where rows came from."""

import os
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from gsparse.bench.page.content import CONTROL, Section, letters_used, sections
from gsparse.bench.page.lists import commands, download, environment, table
from gsparse.bench.page.pictures import picture
from gsparse.bench.page.plots import cost_plot, sparsity_plot
from gsparse.bench.page.sentence import MOST_LOST, sentence
from gsparse.bench.page.style import SCRIPT, STYLE
from gsparse.bench.page.text import escape, tag
from gsparse.bench.tables.rows import Row
from gsparse.bench.tables.summary import Line

MOST_DOTS = 3000
"""Number of rows up to which every run is a dot, so that pages stay small."""

ABOUT = (
    "For each data set, split and model: the largest sparsity whose mean validation "
    f"score is at most {MOST_LOST} points below Dense, the same line's test score "
    "(mean ± standard deviation over seeds), and its paired difference to Dense with a "
    "95 % interval. Many lines were looked at to find it, and the interval does not "
    "allow for that."
)


def write_page(rows: Sequence[Row], path: Path, *, pictures: bool = False) -> None:
    """Write the page of rows, beside its place first and then renamed.

    Args:
        rows: Rows of trained models, see :func:`page`.
        path: The HTML file; its folder is created when missing.
        pictures: See :func:`page`.
    """
    text = page(rows, pictures=pictures)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        scratch.write_text(text, encoding="utf-8", newline="\n")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def page(rows: Sequence[Row], *, pictures: bool = False) -> str:
    """Return a self-contained HTML page of rows; equal rows give equal pages.

    The page loads nothing, is complete without its script, and escapes every string
    of the rows.

    Args:
        rows: Rows of trained models, one for each configuration and seed, as
            :func:`~gsparse.bench.tables.rows.latest` returns them.
        pictures: Whether to draw graphs before and after the cut, see
            :func:`~gsparse.bench.page.pictures.picture`.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("a page needs rows of trained models (got none)")
    found = sections(rows)
    says = [_say(i, section) for i, section in enumerate(found)]
    dots = len(rows) <= MOST_DOTS
    body = [
        tag("h1", "Sparse graphs: what was measured"),
        tag("p", ABOUT, class_="note"),
        tag("ul", *says, class_="say"),
        *(_section(i, section, dots, pictures) for i, section in enumerate(found)),
        tag("h2", "Environment"),
        environment(rows),
        tag("h2", "Commands that made the rows"),
        commands(rows),
        tag("p", download(rows)),
        tag("script", SCRIPT),
    ]
    inside = tag("main", *body)
    return f'<!DOCTYPE html>\n<html lang="en">{_head()}<body>{inside}</body></html>\n'


def _head() -> str:
    """Return the head; its policy lets the browser run our script and load nothing."""
    script = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{script}'"
    )
    meta = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
    )
    return tag("head", meta, tag("title", "gsparse report"), tag("style", STYLE))


def _say(i: int, section: Section) -> str:
    link = tag("a", escape(section.heading), href=f"#block-{i}")
    return tag("li", tag("strong", link), ": ", escape(sentence(section)))


def _peak(line: Line) -> float | None:
    peak = line.train_peak_bytes
    return None if peak is None else peak / 2**20


def _section(i: int, section: Section, dots: bool, pictures: bool) -> str:
    plots = [
        sparsity_plot(section, dots=dots),
        cost_plot(section, lambda it: it.train_epoch_seconds, "time of an epoch"),
        cost_plot(section, _peak, "peak memory of training (MiB)", "{:.4g}".format),
    ]
    figures = [tag("figure", it) for it in plots if it]
    missing = "" if figures else "No line has test scores, so there is no plot. "
    if not any(it.line.method == CONTROL for it in section.entries):
        missing += f"No {CONTROL} runs are recorded for this block. "
    letters = [f"{letter}: {words}" for letter, words in letters_used(section).items()]
    note = missing + "; ".join(letters)
    return "".join(
        [
            tag("h2", escape(section.heading), id=f"block-{i}"),
            tag("p", escape(sentence(section))),
            tag("div", *figures, class_="plots"),
            tag("p", escape(note), class_="note") if note else "",
            picture(section) if pictures else "",
            table(section),
        ]
    )
