"""Output of the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from gsparse.bench.experiment.grid import Task
    from gsparse.bench.experiment.plan import PlanPart


def stop(text: str, code: int) -> NoReturn:
    """Print a line on standard error and exit."""
    print(text, file=sys.stderr)
    raise SystemExit(code)


@contextmanager
def resumable(folder: Path) -> Iterator[None]:
    """Say after Ctrl-C whether the command that writes a folder can be resumed."""
    try:
        yield
    except KeyboardInterrupt:
        from gsparse.data.folders.publish import part_of

        if part_of(folder).exists():
            stop("stopped; repeat the command to resume", 130)
        raise


def set_threads(threads: int | None) -> None:
    """Set torch's number of threads, if one is given."""
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def print_rows(rows: list[dict[str, Any]], as_json: bool, plot: Path | None) -> None:
    """Print the tables of rows or their records, and draw a plot if a file is given."""
    from gsparse.bench.tables.plot import plot_rows
    from gsparse.bench.tables.summary import summarise
    from gsparse.bench.tables.table import format_blocks

    blocks = summarise(rows)
    records = [record for block in blocks for record in block.as_records()]
    print_value(records, format_blocks(blocks) or "no rows", as_json)
    if plot is not None:
        plot_rows(rows, plot)
        print(f"plot written to {plot}", file=sys.stderr)


def print_measured_plot(
    rows: list[dict[str, Any]],
    datasets: list[str] | None,
    models: list[str] | None,
    path: Path,
) -> int:
    """Draw the seconds of training epochs, or of the edges of graph folders."""
    from gsparse.bench.tables.published.epoch_plot import plot_epochs
    from gsparse.bench.tables.published.large import plot_large

    kept = [it for it in rows if not datasets or it["dataset"] in datasets]
    if {it["table"] for it in kept} == {"large"}:
        plot_large(kept, path)
    else:
        plot_epochs([it for it in kept if not models or it["model"] in models], path)
    print(f"plot written to {path}", file=sys.stderr)
    return 0


def print_plan(
    grid: list[Task],
    path: Path,
    root: Path | None,
    as_json: bool,
    more: Sequence[PlanPart] = (),
) -> int:
    """Print the estimated run time of unfinished runs and of other measurements."""
    from gsparse.bench.experiment.plan import format_plan, make_plan

    plan = [*make_plan(grid, path, root=root, report=_say), *more]
    print_value([part._asdict() for part in plan], format_plan(plan), as_json)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def print_documents(runs: Path, write: bool, as_json: bool) -> int:
    """Print the blocks of documents that differ from the rows, and maybe write them."""
    from gsparse.bench.tables.documents import update
    from gsparse.bench.tables.published import BLOCKS

    differ = {path.name: it for path, it in update(runs, BLOCKS, write=write).items()}
    done = "written" if write else "differs from the rows"
    text = [f"{name}: {it} {done}" for name, names in differ.items() for it in names]
    print_value(differ, "\n".join(text) or "all numbers agree with the rows", as_json)
    return 1 if differ and not write else 0


def print_audit(runs: Path, as_json: bool) -> int:
    """Print the audit of the documents beside the rows."""
    from dataclasses import asdict

    from gsparse.bench.evidence import audit, format_audit
    from gsparse.bench.tables.published import BLOCKS
    from gsparse.bench.tables.published.commands import published_commands

    found = audit(runs, BLOCKS, published_commands())
    print_value(asdict(found), format_audit(found), as_json)
    return 1 if found.faults else 0


def print_value(value: object, text: str, as_json: bool) -> None:
    """Print the text, or the value as JSON."""
    print(json.dumps(value, indent=2) if as_json else text)
