"""Audit the published numbers: each has rows or a source, and rows have commands.

``gsparse report docs/results --audit`` and ``make evidence`` run it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gsparse.bench.commands import Command
from gsparse.bench.coverage import Coverage, coverage, unknown_commands
from gsparse.bench.stated import (
    read_stated,
    results_of,
    unstated,
    visible,
    wrong_statements,
)
from gsparse.bench.tables.documents import MARKER, Blocks, Results, documents, update

STATED = "stated.toml"


@dataclass(frozen=True)
class Audit:
    """What an audit has counted and found.

    Args:
        counts: Numbers of the things that were looked at, by name.
        faults: What is wrong, one line each; empty if all is well.
        notes: What is known to be missing, one line each.
    """

    counts: dict[str, int]
    faults: list[str]
    notes: list[str]


def audit(folder: Path, blocks: Blocks, commands: Sequence[Command]) -> Audit:
    """Compare documents, rows and commands with each other.

    Args:
        folder: The folder of the rows, ``docs/results`` in a checkout. Its file
            ``stated.toml`` lists the statements; ``retraining`` there lists tables,
            graphs and models whose rows are being made again, and ``pending`` the
            documents whose numbers are only counted.
        blocks: The generated blocks.
        commands: The commands that make rows.
    """
    results = Results(folder)
    texts = {_name(path, folder): path.read_text() for path in documents(folder)}
    statements, others = read_stated(folder / STATED)
    pending = set(others.get("pending", []))
    retraining = [tuple(it) for it in others.get("retraining", [])]

    differ = update(folder, blocks, write=False)
    faults = [
        f"{_name(path, folder)}: block {it} differs from the rows"
        for path, names in differ.items()
        for it in names
    ]
    tables = sorted(path.stem for path in folder.glob("*.jsonl"))
    found = [coverage(it, commands, results, retraining) for it in tables]
    faults += [fault for it in found for fault in _faults(it)]
    for name in sorted(texts.keys() - pending):
        faults += [
            f"{name}: no listed command: {it}"
            for it in unknown_commands(texts[name], commands)
        ]
    bare = [
        it for name, text in texts.items() for it in unstated(name, text, statements)
    ]
    faults += [
        f"{it.document}, line {it.line}: {it.text} has no row and no source"
        for it in bare
        if it.document not in pending
    ]
    checked = [it for it in statements if it.document not in pending]
    faults += wrong_statements(checked, texts, blocks, results)

    counts = {
        "blocks": sum(len(MARKER.findall(text)) for text in texts.values()),
        "numbers in the text": sum(
            1 for text in texts.values() for _ in results_of(visible(text))
        ),
        "statements": len(statements),
        "trials without rows": sum(it.kind == "trial" for it in statements),
        "rows": sum(len(results(it)) for it in tables),
        "commands": len(commands),
        "runs of commands": len({t for it in commands for t in it.tasks}),
    }
    notes = [f"not all rows are made yet: {' '.join(it)}" for it in retraining]
    notes += [
        f"{name}: {count} numbers are not audited yet"
        for name in sorted(pending)
        if (count := sum(it.document == name for it in bare))
    ]
    return Audit(counts, faults, notes)


def format_audit(found: Audit) -> str:
    """Format an audit as text."""
    head = ", ".join(f"{number:,} {name}" for name, number in found.counts.items())
    end = f"{len(found.faults)} faults" if found.faults else "no fault"
    return "\n".join([*found.faults, *found.notes, head, end])


def _faults(it: Coverage) -> list[str]:
    faults = []
    if it.orphans:
        row = it.orphans[0]
        first = f"{row['dataset']} {row['method']}, seed {row['seed']}"
        count = len(it.orphans)
        faults.append(f"{it.table}: no command makes {count} rows, first: {first}")
    if it.missing:
        count, first = len(it.missing), it.missing[0]
        faults.append(f"{it.table}: {count} runs have no row, first: {first}")
    return faults


def _name(path: Path, folder: Path) -> str:
    """Return the name of a document relative to the folder that has ``docs``."""
    return path.relative_to(folder.resolve().parents[1]).as_posix()
