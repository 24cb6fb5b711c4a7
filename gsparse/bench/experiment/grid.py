"""Running many (configuration, seed) tasks: each once, resumable, in processes."""

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

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.memory import peak_bytes
from gsparse.bench.experiment.protocol import Workspace, run_one
from gsparse.bench.tables.rows import Row, append_row, finished, latest, read_rows

Run = Callable[[Config, int, Workspace], Row]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One run: a configuration and a seed."""

    config: Config
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a row, or the reason why there is none."""

    task: Task
    row: Row | None
    error: str | None = None


def run_own(config: Config, seed: int, workspace: Workspace) -> Row:
    """One row, by a method ``run`` where a configuration is of another kind."""
    own = getattr(config, "run", None)
    return run_one(config, seed, workspace) if own is None else own(seed, workspace)


def tasks(grid: Iterable[Config], seeds: Iterable[int]) -> list[Task]:
    """Every configuration with every seed."""
    seeds = list(seeds)
    return [Task(config, seed) for config in grid for seed in seeds]


def pending(tasks: Iterable[Task], path: Path) -> list[Task]:
    """The tasks without a row in the file ``path``, each once, in order."""
    done = finished(read_rows(path)) if path.exists() else set()
    todo = {
        (task.config.config_hash(), task.seed): task
        for task in tasks
        if (task.config.config_hash(), task.seed) not in done
    }
    return list(todo.values())


def grid_rows(tasks: Iterable[Task], path: Path) -> list[Row]:
    """The rows of a file that belong to these tasks."""
    wanted = {(task.config.config_hash(), task.seed) for task in tasks}
    rows = latest(read_rows(path)) if path.exists() else []
    return [row for row in rows if (row["config_hash"], row["seed"]) in wanted]


def groups(tasks: Iterable[Task]) -> list[list[Task]]:
    """Bring together what shares a graph and its scores; seeds outermost.

    A group differs only in model, sparsity and weights, so that one scoring serves
    all of it. Seeds come first so that an interrupted grid has all its methods.
    """
    found: dict[tuple, list[Task]] = {}
    for task in sorted(tasks, key=lambda task: task.seed):
        config = task.config
        key = (config.dataset, config.split, task.seed, config.method)
        found.setdefault(key, []).append(task)
    return list(found.values())


def run_grid(
    tasks: Iterable[Task],
    path: Path,
    *,
    jobs: int = 1,
    root: Path | None = None,
    run: Run = run_own,
) -> Iterator[Outcome]:
    """Run what has no row yet, append the rows, and yield every outcome.

    Stopping early (an exception or ``close()``) stops the workers; rows already
    written stay, and the same call later continues after them.

    Args:
        tasks: The whole grid, finished tasks included.
        path: The ``.jsonl`` file that holds the rows.
        jobs: Number of processes. More than one are started by spawn, each with its
            share of the threads; their timings are those of a busy machine.
        root: Folder of the data sets; None for the usual places.
        run: Computes one row.

    Raises:
        ValueError: ``jobs`` is below one, or the file holds something else than rows.
    """
    if jobs < 1:
        raise ValueError(f"'jobs' must be at least 1 (got {jobs})")
    todo = groups(pending(tasks, path))
    if jobs == 1 or len(todo) < 2:
        workspace = Workspace(root)
        for group in todo:
            yield from _run_group(group, path, workspace, run)
    else:
        with _sigterm_interrupts():
            yield from _run_in_processes(todo, path, jobs, root, run)


def add_memory(
    tasks: Iterable[Task],
    path: Path,
    *,
    root: Path | None = None,
    measure: Callable[..., dict[str, int]] = peak_bytes,
) -> Iterator[Config]:
    """Measure peak bytes once a configuration, at its first seed.

    The row is appended again with the new keys; readers take the last one.

    Args:
        tasks: The whole grid; what has no row yet, or has its bytes, is passed over.
        path: The file that holds the rows.
        root: Folder of the data sets.
        measure: Gives the new keys of one configuration and seed.

    Yields:
        Each configuration before its measurement.
    """
    rows = {(row["config_hash"], row["seed"]): row for row in grid_rows(tasks, path)}
    seen = set()
    for task in sorted(tasks, key=lambda task: task.seed):
        key = task.config.config_hash()
        row = rows.get((key, task.seed))
        if key in seen or row is None:
            continue
        seen.add(key)
        if "train_peak_bytes" not in row:
            yield task.config
            append_row(path, row | measure(task.config, task.seed, root))


def _run_group(
    group: list[Task], path: Path, workspace: Workspace, run: Run
) -> Iterator[Outcome]:
    for task in group:
        try:
            row = run(task.config, task.seed, workspace)
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


def _work(group: list[Task], path: Path, run: Run) -> list[Outcome]:
    assert _workspace is not None
    return list(_run_group(group, path, _workspace, run))


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Within, a SIGTERM ends the workers too, as Ctrl-C does; they would run on."""

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
    todo: list[list[Task]], path: Path, jobs: int, root: Path | None, run: Run
) -> Iterator[Outcome]:
    executor = ProcessPoolExecutor(
        jobs,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(root, max(1, torch.get_num_threads() // jobs)),
    )
    before = {child.pid for child in multiprocessing.active_children()}
    try:
        futures: list[Future] = [executor.submit(_work, g, path, run) for g in todo]
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
