"""Every block runs once with any number of threads, also in a forked process."""

import os
import threading

import numpy as np
import pytest
import torch

from gsparse.kernels import threads
from gsparse.kernels.threads import jit, run_blocks, take_block


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@jit()
def _mark(counter, visits):
    while True:
        block = take_block(counter)
        if block >= visits.shape[0]:
            break
        for _ in range(1000):
            visits[block] += 1


@pytest.fixture(params=["team", "own threads"])
def either_way(request, monkeypatch, two_threads):
    if request.param == "own threads":
        monkeypatch.setattr(threads, "run_on_team", lambda part, num_threads: False)


def test_every_block_runs_once(either_way):
    for _ in range(50):
        visits = np.zeros(64, np.int64)
        run_blocks(_mark, threads.MIN_WORK, visits)
        assert (visits == 1000).all()


def test_many_python_threads_may_call_at_once(either_way):
    visits = [np.zeros(64, np.int64) for _ in range(8)]
    callers = [
        threading.Thread(target=run_blocks, args=(_mark, threads.MIN_WORK, v))
        for v in visits
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert all((v == 1000).all() for v in visits)


def test_error_in_a_kernel_arrives(either_way):
    def fail(counter):
        raise ZeroDivisionError("by design")

    with pytest.raises(ZeroDivisionError, match="by design"):
        run_blocks(fail, threads.MIN_WORK)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_forked_child_can_run_kernels(either_way):
    visits = np.zeros(64, np.int64)
    run_blocks(_mark, threads.MIN_WORK, visits)
    child = os.fork()
    if child == 0:
        visits = np.zeros(64, np.int64)
        run_blocks(_mark, threads.MIN_WORK, visits)
        os._exit(0 if (visits == 1000).all() else 1)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_kernel_without_a_place_for_its_cache():
    """A function made from a string has no file, so numba finds no cache folder."""
    space = {}
    exec("def double(x):\n    return 2 * x", space)
    assert jit()(space["double"])(21) == 42
