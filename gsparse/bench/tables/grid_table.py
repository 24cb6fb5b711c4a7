"""Markdown tables whose lines and columns select rows by their values."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev

from gsparse.bench.tables.documents import Results
from gsparse.bench.tables.rows import Filter, Row, select
from gsparse.bench.tables.table import mean_and_deviation

Cell = Callable[[list[Row]], str]


def points(rows: Sequence[Row], seeds: int | None, key: str = "test_score") -> str:
    """Return mean and standard deviation of a score over the seeds, in percent.

    Args:
        rows: One row per seed.
        seeds: The number of seeds that is not written in brackets; None writes none.
        key: The score.

    Example:
        >>> points([{"test_score": 0.8}, {"test_score": 0.82}], seeds=10)
        '81.0 ± 1.4 (2)'
    """
    values = [row[key] for row in rows if row.get(key) is not None]
    if not values:
        return ""
    spread = stdev(values) if len(values) > 1 else None
    text = mean_and_deviation(fmean(values), spread)
    return text if seeds in (None, len(values)) else f"{text} ({len(values)})"


def ten_seeds(rows: list[Row]) -> str:
    """Return the test score; numbers of seeds other than ten stand in brackets."""
    return points(rows, seeds=10)


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Args:
        title: Its title.
        where: Values of its rows.
        cell: Writes its cells; None for the function of the table.
    """

    title: str
    where: Filter = field(default_factory=dict)
    cell: Cell | None = None


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Args:
        labels: The first cells.
        where: Values of its rows; they override those of the columns.
        only: Positions of the columns in which the line has a number; None for all.
    """

    labels: tuple[str, ...]
    where: Filter
    only: tuple[int, ...] | None = None


@dataclass(frozen=True)
class GridTable:
    """A Markdown table with one cell for each line and column.

    Args:
        source: Name of the file of the rows, or a function that returns them.
        titles: Titles of the first cells.
        lines: The lines.
        columns: The columns.
        where: Values that all rows have.
        cell: Writes a cell from the rows of its line and column.
    """

    source: str | Callable[[Results], list[Row]]
    titles: tuple[str, ...]
    lines: Sequence[Line]
    columns: Sequence[Column]
    where: Filter = field(default_factory=dict)
    cell: Cell = ten_seeds

    def __call__(self, results: Results) -> str:
        """Return the table as Markdown."""
        source = self.source
        given = results(source) if isinstance(source, str) else source(results)
        rows = select(given, self.where)
        texts = []
        for line in self.lines:
            cells = list(line.labels)
            for i, column in enumerate(self.columns):
                found = select(rows, {**column.where, **line.where})
                shown = found and (line.only is None or i in line.only)
                cells.append((column.cell or self.cell)(found) if shown else "")
            texts.append(cells)
        return markdown([*self.titles, *(it.title for it in self.columns)], texts)


def percent(value: float) -> str:
    """Format a fraction as a percentage without decimals.

    Example:
        >>> percent(0.95)
        '95 %'
    """
    return f"{100 * value:.0f} %"


def markdown(titles: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table.

    Example:
        >>> print(markdown(["a", "b"], [["1", ""]]))
        | a | b |
        |---|---|
        | 1 |  |
    """
    cells = [titles, *lines]
    text = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([text[0], "|---" * len(titles) + "|", *text[1:]])
