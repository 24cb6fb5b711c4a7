"""Blocks of a page: each line of a table with its runs and its distance to Dense."""

from collections.abc import Iterable
from dataclasses import dataclass

from gsparse.bench.tables.rows import Row
from gsparse.bench.tables.summary import LETTERS, Block, Line, summarise
from gsparse.bench.verdicts import Gap, gap

METRICS = {"accuracy": "accuracy", "roc_auc": "ROC-AUC"}
"""Words for the metrics of rows."""

CONTROL = "RandomEdge"
"""The method that every other one is compared with."""


@dataclass(frozen=True)
class Entry:
    """One configuration: its summary, its rows, and test points above Dense."""

    line: Line
    rows: list[Row]
    to_dense: Gap | None = None
    """Paired difference to Dense in points; None where a side has no test scores."""

    @property
    def points(self) -> dict[int, float]:
        """Test scores in points by seed."""
        return test_points(self.rows)

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline without edges removed, or without any edges."""
        return self.line.method == "MLP" or self.line.is_dense


@dataclass(frozen=True)
class Section:
    """A block of the page: one data set, split and model."""

    block: Block
    entries: list[Entry]

    @property
    def heading(self) -> str:
        """Data set, split and model."""
        return self.block.heading

    @property
    def metric(self) -> str:
        """Words for the score."""
        metric = str(self.block.title["metric"])
        return METRICS.get(metric, metric)

    @property
    def of_weights(self) -> bool:
        """Whether the lines differ in the weights that are removed."""
        return any(it.line.pruner is not None for it in self.entries)

    @property
    def dense(self) -> Entry | None:
        """The dense model, trained without a teacher."""
        return next((it for it in self.entries if is_reference(it.line)), None)

    @property
    def mlp(self) -> Entry | None:
        """The best MLP by validation; one without a teacher if there is any."""
        found = [it for it in self.entries if it.line.method == "MLP"]
        found = [it for it in found if it.line.teacher == "none"] or found
        return max(found, key=lambda it: it.line.val_mean, default=None)

    def removed(self, line: Line) -> float:
        """Return the fraction removed: of weights where there are pruners."""
        return line.weight_sparsity or 0.0 if self.of_weights else line.sparsity


def is_reference(line: Line) -> bool:
    """Return whether a line is the dense model that all others are compared with."""
    return line.is_dense and line.teacher == "none" and line.drop_edge is None


def test_points(rows: Iterable[Row]) -> dict[int, float]:
    """Return the test scores in points by seed; rows without one are left out.

    Example:
        >>> untested = {"seed": 4, "test_score": None}
        >>> test_points([{"seed": 3, "test_score": 0.5}, untested])
        {3: 50.0}
    """
    scored = (row for row in rows if row["test_score"] is not None)
    return {row["seed"]: 100 * row["test_score"] for row in scored}


def paired(first: Entry, second: Entry | None) -> Gap | None:
    """Return ``first - second`` in points; None where they share no tested seed."""
    ours, theirs = first.points, {} if second is None else second.points
    return gap(ours, theirs) if ours.keys() & theirs.keys() else None


def sections(rows: Iterable[Row]) -> list[Section]:
    """Group rows as :func:`~gsparse.bench.tables.summary.summarise` does.

    Returns:
        One section per block; each entry has the rows of its line.
    """
    by_hash: dict[str, list[Row]] = {}
    for row in rows:
        by_hash.setdefault(row["config_hash"], []).append(row)
    found = []
    for block in summarise(row for group in by_hash.values() for row in group):
        plain = [Entry(line, by_hash[line.config_hash]) for line in block.lines]
        dense = Section(block, plain).dense
        entries = [Entry(it.line, it.rows, paired(it, dense)) for it in plain]
        found.append(Section(block, entries))
    return found


def letters_used(section: Section) -> dict[str, str]:
    """Return the meaning of the letters behind the names of methods."""
    used = {letter for it in section.entries for letter in it.line.letters}
    return {letter: words for letter, words in LETTERS.items() if letter in used}
