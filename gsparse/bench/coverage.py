"""Compare the published rows with the commands that are said to make them."""

import re
import shlex
from collections.abc import Collection, Sequence
from typing import NamedTuple

from gsparse.bench.commands import Command
from gsparse.bench.experiment.grid import Task
from gsparse.bench.tables.documents import Results
from gsparse.bench.tables.rows import Row
from gsparse.data.io import FORMATS

CODE = re.compile(
    r"^ *((?:[A-Z_]+=\d+ )?"
    r"(?:gsparse (?:bench|reproduce)|python -m gsparse\.bench\.).*)$",
    re.MULTILINE,
)
NOT_ROWS = {"--plan", "--quick", "--list"}
"""Options of commands that make no published row."""

Cell = tuple[str, ...]
"""A table, a graph and a model, and a method unless all are meant."""


class Coverage(NamedTuple):
    """What a table and its commands do not have in common."""

    table: str
    num_rows: int
    orphans: list[Row]
    """Rows that no command makes."""
    missing: list[str]
    """Runs and graphs without a row."""


def coverage(
    table: str,
    commands: Sequence[Command],
    results: Results,
    retraining: Collection[Cell] = (),
) -> Coverage:
    """Compare the rows of a table with its commands.

    Trained models are compared run by run, by the hash of the experiment and the seed;
    measurements are compared by graph.

    Args:
        table: Name of the table.
        commands: All commands; those of other tables are not used.
        results: The rows.
        retraining: Cells whose rows are known to be out of date; they are left out.
    """
    commands = [it for it in commands if it.table == table]
    tasks = [task for command in commands for task in command.tasks]
    graphs = {graph for command in commands for graph in command.graphs}
    rows = [
        row
        for row in results(table)
        if not _is_in((table, row["dataset"], row["model"], row["method"]), retraining)
    ]
    made = {(row["config_hash"], row["seed"]) for row in rows}
    hashes = {config: config.hashes for config in {task.config for task in tasks}}
    wanted = {(known, task.seed) for task in tasks for known in hashes[task.config]}
    measures = any(not command.tasks and not command.graphs for command in commands)
    orphans = [
        row
        for row in rows
        if (row["config_hash"], row["seed"]) not in wanted
        and row["dataset"] not in graphs
        and not measures
    ]
    missing = [
        f"{task.config.key.dataset} {task.config.key.name}, seed {task.seed}"
        for task in dict.fromkeys(tasks)
        if not _is_in(_cell(table, task), retraining)
        and not any((known, task.seed) in made for known in hashes[task.config])
    ]
    missing += sorted(graphs - {row["dataset"] for row in rows})
    return Coverage(table, len(rows), orphans, missing)


def _cell(table: str, task: Task) -> Cell:
    key = task.config.key
    return table, key.dataset, key.model.partition(",")[0], key.method


def _is_in(cell: Cell, retraining: Collection[Cell]) -> bool:
    return cell in retraining or cell[:3] in retraining


def unknown_commands(text: str, commands: Sequence[Command]) -> list[str]:
    """Return the commands of a document for rows that are not among the known ones.

    Order of options, places and numbers of processes do not matter.
    """
    known = {_normalised(command.text) for command in commands}
    joined = re.sub(r" *\\\n *", " ", text)
    found = [it.group(1).partition(" #")[0].strip() for it in CODE.finditer(joined)]
    return [it for it in found if _makes_rows(it) and _normalised(it) not in known]


def _makes_rows(command: str) -> bool:
    words = shlex.split(command)
    is_quick = "reproduce" in words and "--full" not in words
    is_trial = "--tune" in words and "--table" not in words
    is_own = any(word.endswith(FORMATS) for word in words)  # a graph of the reader's
    return not (is_quick or is_trial or is_own or NOT_ROWS & set(words))


def _normalised(command: str) -> tuple[str, ...]:
    """Return the words and options in order, without those that change no row."""
    text = re.sub(r"^[A-Z_]+=\d+ ", "", command)
    head, *options = re.split(r" (?=--)", text)
    no_matter: tuple[str, ...] = ("--out", "--jobs")
    if head.startswith("gsparse bench"):
        no_matter = (*no_matter, "--threads")
    left = (it.strip() for it in options if it.split()[0] not in no_matter)
    return head.strip(), *sorted(left)
