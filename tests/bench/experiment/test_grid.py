"""Every task runs once, also after interruptions."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.grid import (
    Task,
    add_memory,
    grid_rows,
    groups,
    pending,
    run_grid,
    tasks,
)
from gsparse.bench.tables.rows import KEYS, read_rows


class Fake(Config):
    """Makes its row without training."""

    def run(self, workspace, seed):
        given = {"config_hash": self.hash, "seed": seed, "pid": os.getpid()}
        return dict.fromkeys((*KEYS, "training"), "x") | given


class Failing(Fake):
    def run(self, workspace, seed):
        raise ValueError("no\nsuch thing")


class Dying(Fake):
    def run(self, workspace, seed):
        os.kill(os.getpid(), signal.SIGKILL)


class Slow(Fake):
    def run(self, workspace, seed):
        time.sleep(0.2)
        return super().run(workspace, seed)


class Endless(Fake):
    def run(self, workspace, seed):
        Path(os.environ["PID_FOLDER"], f"{os.getpid()}.pid").touch()
        time.sleep(300)


SETTINGS = {
    "dense": ("digits", "random", "gat", "Dense", 0.0),
    "cut": ("digits", "random", "gat", "RandomEdge", 0.5),
    "more": ("digits", "random", "gcn", "RandomEdge", 0.8),
}
DENSE, CUT, MORE = GRID = [Fake(*given) for given in SETTINGS.values()]


def done(path):
    return sorted((row["config_hash"], row["seed"]) for row in read_rows(path))


def expected(grid, seeds):
    return sorted((config.hash, seed) for config in grid for seed in seeds)


def test_every_task_makes_one_row(tmp_path):
    path = tmp_path / "a.jsonl"
    outcomes = list(run_grid(tasks(GRID, range(2)), path))
    assert done(path) == expected(GRID, range(2))
    assert [outcome.row for outcome in outcomes] == read_rows(path)


def test_a_stopped_grid_continues_and_a_finished_one_does_nothing(tmp_path):
    path = tmp_path / "a.jsonl"
    grid = tasks(GRID, range(3))
    running = run_grid(grid, path)
    for _ in range(4):
        next(running)
    running.close()
    assert len(read_rows(path)) == 4
    assert len(list(run_grid(grid, path))) == 5
    assert done(path) == expected(GRID, range(3))
    assert list(run_grid(grid, path)) == []


def test_equal_tasks_run_once(tmp_path):
    path = tmp_path / "a.jsonl"
    assert pending([Task(CUT, 1), Task(CUT, 1)], path) == [Task(CUT, 1)]


def test_equal_seeds_count_once():
    """Else a table would have two equal rows, and no deviation."""
    assert [it.seed for it in tasks(["any"], [3, 5, 3])] == [3, 5]


def test_a_failure_is_an_outcome_and_the_rest_goes_on(tmp_path):
    path = tmp_path / "a.jsonl"
    failing = Failing(*SETTINGS["cut"])
    outcomes = list(run_grid(tasks([DENSE, failing, MORE], [5]), path))
    (failed,) = [outcome for outcome in outcomes if outcome.row is None]
    assert failed.task == Task(failing, 5)
    assert failed.error == "ValueError: no such thing"
    assert done(path) == expected([DENSE, MORE], [5])


def test_groups_share_graph_and_scores_and_seeds_are_outermost():
    found = groups(tasks(GRID, range(2)))
    assert found == [
        [Task(DENSE, 0)],
        [Task(CUT, 0), Task(MORE, 0)],
        [Task(DENSE, 1)],
        [Task(CUT, 1), Task(MORE, 1)],
    ]


def test_two_processes_do_the_same(tmp_path):
    path = tmp_path / "a.jsonl"
    outcomes = list(run_grid(tasks(GRID, range(2)), path, jobs=2))
    assert done(path) == expected(GRID, range(2))
    assert len(outcomes) == 6
    assert os.getpid() not in {row["pid"] for row in read_rows(path)}


@pytest.mark.slow
def test_a_worker_that_dies_is_said_and_rows_are_kept(tmp_path):
    path = tmp_path / "a.jsonl"
    kinds = zip((Slow, Dying, Slow), SETTINGS.values(), strict=True)
    grid = [kind(*given) for kind, given in kinds]
    with pytest.raises(RuntimeError, match="a worker process died"):
        list(run_grid(tasks(grid, [0]), path, jobs=2))
    rest = list(run_grid(tasks(GRID, [0]), path))
    assert CUT in [outcome.task.config for outcome in rest]
    assert done(path) == expected(GRID, [0])


def test_memory_is_added_once_to_the_first_seed(tmp_path):
    path = tmp_path / "a.jsonl"
    grid = tasks(GRID, range(2))
    list(run_grid(grid, path))

    def measure(config, seed, root):
        return {"train_peak_bytes": 7 + seed, "infer_peak_bytes": 5}

    assert list(add_memory(grid, path, measure=measure)) == GRID
    assert list(add_memory(grid, path, measure=measure)) == []
    rows = grid_rows(grid, path)
    assert [row.get("train_peak_bytes") for row in rows] == [7, 7, 7, None, None, None]
    assert pending(grid, path) == []


def test_jobs_below_one():
    with pytest.raises(ValueError, match=r"'jobs' must be at least 1 \(got 0\)"):
        next(run_grid([], None, jobs=0))


def test_a_terminated_grid_takes_its_workers_along(tmp_path):
    context = multiprocessing.get_context("spawn")
    parent = context.Process(target=run_slowly, args=(tmp_path,))
    parent.start()
    wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    workers = [int(file.stem) for file in tmp_path.glob("*.pid")]
    os.kill(parent.pid, signal.SIGTERM)
    parent.join(timeout=60)
    wait_until(lambda: not any(is_running(pid) for pid in workers))


def run_slowly(folder):
    os.environ["PID_FOLDER"] = str(folder)  # inherited by the workers
    todo = tasks([Endless(*given) for given in SETTINGS.values()], range(2))
    list(run_grid(todo, folder / "a.jsonl", jobs=2))


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(holds, seconds=120):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
