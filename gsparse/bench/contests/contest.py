"""Settings of a contest: its problems, its contenders, and the fields of its rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from statistics import median, stdev
from typing import Any

from gsparse.bench.contests import __all__
from gsparse.bench.tables.rows import Row


@dataclass(frozen=True)
class Problem:
    """A graph, a size, and the options under which contenders are compared.

    Args:
        graph: Name of the graph.
        size: Second setting of the contest, such as the shape of a layer.
        repeats: Maximum number of timed turns of each contender.
        limit: A contender that takes more seconds has no further turn.
        quick: Use few and coarse settings.
        memory: Measure the peak memory of each contender in a fresh process.
        device: Device of the tensors.
        root: Folder of the data sets.
        only: Methods to run; all if empty.

    Raises:
        ValueError: If there is no turn, or no time for one.
    """

    graph: str
    size: str = ""
    repeats: int = 3
    limit: float = 120.0
    quick: bool = False
    memory: bool = False
    device: str = "cpu"
    root: str | None = None
    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.repeats < 1:
            raise ValueError(f"'repeats' must be at least 1 (got {self.repeats})")
        if self.limit < 0:
            raise ValueError(f"'limit' must not be negative (got {self.limit})")


@dataclass(frozen=True)
class Contender:
    """A method at one setting.

    Args:
        method: Name of the method in the rows.
        runs: The timed calls by the row's field for their seconds, in order. Each takes
            the number of the turn, which serves as random seed.
        settings: Settings of the method; part of the row and of its hash.
        is_peer: Whether the code or the method is somebody else's.
        facts: Further fields of the row, whatever the turns.
        check: Fields of the row computed, outside of the time, from the output of the
            last call, such as its error against a reference.
        max_turns: Maximum number of turns; None for those of the problem.
        compiles: Whether the first calls compile for the graph of the problem, so that
            a toy graph is no preparation.
    """

    method: str
    runs: Mapping[str, Callable[[int], Any]]
    settings: Row = field(default_factory=dict)
    is_peer: bool = False
    facts: Row = field(default_factory=dict)
    check: Callable[[Any], Row] | None = None
    max_turns: int | None = None
    compiles: bool = False


@dataclass(frozen=True)
class Contest:
    """Contenders, the problems they meet, and how their rows are written and shown.

    Args:
        name: Name of the contest and of its module.
        about: One line of description.
        contenders: Returns the contenders for a problem, in the order of the rows.
        graphs: Names of the graphs.
        columns: Titles of the fields shown in the table. A ratio to the baseline
            follows each field of seconds.
        sizes: Second setting of the problems.
        quick_graphs: Graphs of ``--quick``.
        quick_sizes: Sizes of ``--quick``; the usual ones if empty.
        keys: Settings that are shown beside the method.
        baseline: Method with which the others are compared, by default the first. Where
            it has several rows, each serves the rows after it.
        repeats: Number of timed turns, if not given.
        limit: Seconds after which a contender has no further turn, if not given.
        warm_up: Number of turns before those that count.
        toy: A small graph on which all contenders run first to compile.
        average: Summarises the turns of all numbers but seconds, which have medians.
        combine: Other functions for single fields.
        each_turn: Write one row for each turn, with its number as ``seed``.
        probed: Methods whose peak memory is measured; all if empty.
        on_cuda: Whether contenders run on devices other than the CPU.
        table: Name of the table in the rows; the contest's own if empty.
        finish: Changes the rows of a problem before they are written.
        summary: Returns lines to print below the tables of a graph.
    """

    name: str
    about: str
    contenders: Callable[[Problem], list[Contender]]
    graphs: Sequence[str]
    columns: Mapping[str, str]
    sizes: Sequence[str] = ("",)
    quick_graphs: Sequence[str] = ("digits",)
    quick_sizes: Sequence[str] = ()
    keys: Sequence[str] = ()
    baseline: str | None = None
    repeats: int = 3
    limit: float = 120.0
    warm_up: int = 1
    toy: str | None = None
    average: Callable[[list[Any]], Any] = median
    combine: Mapping[str, Callable[[list[Any]], Any]] = field(default_factory=dict)
    each_turn: bool = False
    probed: Sequence[str] = ()
    on_cuda: bool = False
    table: str = ""
    finish: Callable[[list[Row]], list[Row]] | None = None
    summary: Callable[[list[Row]], str] | None = None

    def entries(self, problem: Problem) -> list[Contender]:
        """Return the contenders that the problem asks for.

        Raises:
            ValueError: If there is none, or the device is not supported.
        """
        if problem.device != "cpu" and not self.on_cuda:
            raise ValueError(f"{self.name} runs on the CPU only (got {problem.device})")
        found = self.contenders(problem)
        chosen = [c for c in found if not problem.only or c.method in problem.only]
        if not chosen:
            raise ValueError(
                f"'contenders' must be of {', '.join({c.method: 0 for c in found})} "
                f"(got {', '.join(problem.only)})"
            )
        return chosen

    def on_toy(self, problem: Problem) -> list[Contender]:
        """Return the contenders on the small graph, for compilation only."""
        if self.toy is None:
            return []
        return self.contenders(replace(problem, graph=self.toy, quick=True))


def spread(values: Sequence[float]) -> float:
    """Return the standard deviation, or 0 for a single value."""
    return stdev(values) if len(values) > 1 else 0.0


def find_contest(name: str) -> Contest:
    """Return the contest that the module of this name defines.

    Raises:
        ValueError: If there is none.
    """
    if name not in __all__:
        raise ValueError(f"'contest' must be one of {', '.join(__all__)} (got {name})")
    return import_module(f"gsparse.bench.contests.{name}").CONTEST
