"""Run many (experiment, seed) tasks, each once, resumable and in parallel."""

import logging
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from gsparse.bench.experiment.experiment import Experiment
from gsparse.bench.experiment.memory import peak_bytes
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.tables.rows import Row, append_row, finished, latest, read_rows

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One run: an experiment and a random seed."""

    config: Experiment
    seed: int


@dataclass(frozen=True)
class Outcome:
    """Result of a task: a row, or the error that prevented it."""

    task: Task
    row: Row | None
    error: str | None = None


def tasks(grid: Iterable[Experiment], seeds: Iterable[int]) -> list[Task]:
    """Return every experiment with every seed; equal seeds count once."""
    seeds = list(dict.fromkeys(seeds))
    return [Task(config, seed) for config in grid for seed in seeds]


def pending(tasks: Iterable[Task], path: Path) -> list[Task]:
    """Return the tasks without a row in the file ``path``, each once, in order."""
    done = finished(read_rows(path)) if path.exists() else set()
    names: dict[Experiment, tuple[str, ...]] = {}  # seeds share their hashes
    todo: dict[tuple[str, int], Task] = {}
    for task in tasks:
        if task.config not in names:
            names[task.config] = task.config.hashes
        known = names[task.config]
        if not any((name, task.seed) in done for name in known):
            todo[known[0], task.seed] = task
    return list(todo.values())


def grid_rows(tasks: Iterable[Task], path: Path) -> list[Row]:
    """Return the rows of a file that belong to these tasks."""
    wanted = {(known, task.seed) for task in tasks for known in task.config.hashes}
    rows = latest(read_rows(path)) if path.exists() else []
    return [row for row in rows if (row["config_hash"], row["seed"]) in wanted]


def groups(tasks: Iterable[Task]) -> list[list[Task]]:
    """Group the tasks that share a graph and its importances; seeds outermost.

    The tasks of a group differ only in model, sparsity, weights and training, so that
    edges are scored once for all of them. Seeds come first so that an interrupted grid
    has rows of all its methods.
    """
    found: dict[tuple, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: task.seed):
        key = task.config.key._replace(model="", pruner=None, training="")
        found.setdefault((key, task.seed), []).append(task)
    return list(found.values())


def run_grid(
    tasks: Iterable[Task],
    path: Path,
    *,
    jobs: int = 1,
    root: Path | None = None,
) -> Iterator[Outcome]:
    """Run the tasks that have no row yet, append their rows, and yield the outcomes.

    Stopping early (an exception or ``close()``) stops the workers. Rows already
    written stay, and the same call continues after them.

    Args:
        tasks: The whole grid, finished tasks included.
        path: The ``.jsonl`` file that holds the rows.
        jobs: Number of processes. Several processes are started by spawn, each with
            its share of the threads; their timings are those of a busy machine.
        root: Folder of the data sets; None for the usual places.

    Raises:
        ValueError: If ``jobs`` is below one, or the file holds anything but rows.
    """
    if jobs < 1:
        raise ValueError(f"'jobs' must be at least 1 (got {jobs})")
    todo = groups(pending(tasks, path))
    if jobs == 1 or len(todo) < 2:
        workspace = Workspace(root)
        for group in todo:
            yield from _run_group(group, path, workspace)
    else:
        with _sigterm_interrupts():
            yield from _run_in_processes(todo, path, jobs, root)


def add_memory(
    tasks: Iterable[Task],
    path: Path,
    *,
    root: Path | None = None,
    measure: Callable[..., dict[str, int]] = peak_bytes,
) -> Iterator[Experiment]:
    """Measure the peak bytes of every experiment once, with its first seed.

    The row is appended again with the new keys; readers take the last one.

    Args:
        tasks: The whole grid; tasks without a row or with bytes are skipped.
        path: The file that holds the rows.
        root: Folder of the data sets.
        measure: Returns the new keys of one experiment and seed.

    Yields:
        Each experiment before its measurement.
    """
    rows = {(row["config_hash"], row["seed"]): row for row in grid_rows(tasks, path)}
    seen = set()
    for task in sorted(tasks, key=lambda task: task.seed):
        known = (rows.get((key, task.seed)) for key in task.config.hashes)
        row = next((row for row in known if row is not None), None)
        if task.config.hash in seen or row is None:
            continue
        seen.add(task.config.hash)
        if "train_peak_bytes" not in row:
            yield task.config
            append_row(path, row | measure(task.config, task.seed, root))


def _run_group(
    group: list[Task], path: Path, workspace: Workspace
) -> Iterator[Outcome]:
    for task in group:
        try:
            row = task.config.run(workspace, task.seed)
        except Exception as error:
            _log.info("%s, seed %d failed", task.config, task.seed, exc_info=True)
            text = " ".join(f"{type(error).__name__}: {error}".split())
            yield Outcome(task, None, text)
        else:
            append_row(path, row)
            yield Outcome(task, row)


_workspace: Workspace | None = None  # of this worker process


def _start_worker(root: Path | None, threads: int) -> None:
    global _workspace
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    torch.set_num_threads(threads)
    _workspace = Workspace(root)


def _work(group: list[Task], path: Path) -> list[Outcome]:
    assert _workspace is not None
    return list(_run_group(group, path, _workspace))


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Turn SIGTERM into a KeyboardInterrupt, so that it ends the workers too."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run_in_processes(
    todo: list[list[Task]], path: Path, jobs: int, root: Path | None
) -> Iterator[Outcome]:
    executor = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(root, max(1, torch.get_num_threads() // jobs)),
    )
    before = {child.pid for child in multiprocessing.active_children()}
    try:
        futures: list[Future] = [executor.submit(_work, g, path) for g in todo]
        for future in as_completed(futures):
            yield from future.result()
    except BrokenProcessPool:
        raise RuntimeError(
            "a worker process died, perhaps for lack of memory; finished rows are kept,"
            " so run the same command again with fewer jobs"
        ) from None
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for child in multiprocessing.active_children():
            if child.pid not in before:
                child.terminate()
        raise
    executor.shutdown()
