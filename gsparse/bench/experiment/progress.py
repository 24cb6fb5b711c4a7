"""Run a grid under a progress bar that shows the time left."""

from pathlib import Path

from gsparse.bench.experiment.grid import Outcome, Task, add_memory, pending, run_grid
from gsparse.bench.experiment.missing import fetch_missing


def run_with_progress(
    grid: list[Task], path: Path, jobs: int, root: Path | None, *, memory: bool
) -> list[Outcome]:
    """Run a grid under a progress bar on stderr.

    Args:
        grid: All tasks; finished ones are skipped.
        path: File of the rows.
        jobs: Number of processes.
        root: Folder of the data sets.
        memory: Whether to measure peak bytes as well.

    Returns:
        The outcomes without a row, with their errors.

    Raises:
        FileNotFoundError: If a data set is not there and cannot be downloaded.
    """
    # Local: rich comes with the cli extra.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    failures = []
    todo = pending(grid, path)
    fetch_missing(todo, root)
    look = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn()
    screen = Console(stderr=True)
    with Progress(*look, TimeRemainingColumn(), console=screen, transient=True) as bar:
        shown = bar.add_task("runs", total=len(todo))
        for outcome in run_grid(todo, path, jobs=jobs, root=root):
            bar.update(shown, advance=1, description=outcome.task.config.key.method)
            failures += [outcome] if outcome.row is None else []
        if memory:
            for config in add_memory(grid, path, root=root):
                bar.update(shown, description=f"memory of {config.key.method}")
    return failures
