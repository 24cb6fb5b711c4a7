"""How compiled kernels are built and shared among threads."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from numba.extending import intrinsic as typed_intrinsic

from gsparse.kernels.team import run_on_team

F = TypeVar("F", bound=Callable[..., Any])

#: ``numba.extending.intrinsic``; its change of signature is beyond mypy.
intrinsic: Any = typed_intrinsic

#: Below this many inner steps a second thread costs more than it brings.
MIN_WORK = 200_000

_LOCK = threading.RLock()
_POOL: ThreadPoolExecutor | None = None
_POOL_SIZE = 0


def jit(**options: object) -> Callable[[F], F]:
    """``numba.njit`` with the options all our kernels share.

    Compiles on the first call, releases the GIL, divides as NumPy does, and keeps
    the machine code on disk; where no cache folder can be written the kernel is
    compiled anew in every process instead of failing.

    Args:
        **options: Further options of ``numba.njit``.

    Returns:
        A decorator.
    """
    shared: Any = {"nogil": True, "error_model": "numpy", **options}

    def decorate(function: F) -> F:
        try:
            return numba.njit(cache=True, **shared)(function)
        except RuntimeError:  # "cannot cache function: no locator available"
            return numba.njit(**shared)(function)

    return decorate


def array(tensor: torch.Tensor) -> np.ndarray:
    """What a kernel takes for a tensor: its numbers in order, without its history."""
    return tensor.detach().contiguous().numpy()


@intrinsic
def take_block(typingctx: Any, counter: Any) -> Any:  # noqa: ANN401
    """Atomically return ``counter[0]`` and add one to it (int64 array)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
        array = context.make_array(signature.args[0])(context, builder, args[0])
        one = context.get_constant(numba.types.int64, 1)
        return builder.atomic_rmw("add", array.data, one, "monotonic")

    return numba.types.int64(counter), codegen


def run_blocks(kernel: Callable[..., None], work: int, *args: Any) -> None:  # noqa: ANN401
    """Run a kernel that takes blocks from a shared counter, on torch's thread count.

    ``kernel(counter, *args)`` must loop ``b = take_block(counter)`` until ``b`` runs
    out and write each block to places of its own; then the result does not depend on
    the number of threads. Unlike a ``prange`` this needs no lock and survives a fork.
    The threads are those of torch's own OpenMP team; without one, threads of ours, for
    which nobody waits before they have begun.

    Args:
        kernel: A function compiled by :func:`jit`, without ``parallel=True``.
        work: Estimate of the inner steps; small calls stay on the calling thread.
        *args: Arrays and scalars for the kernel.
    """
    counter = np.zeros(1, np.int64)
    helpers = torch.get_num_threads() - 1 if work >= MIN_WORK else 0
    if helpers and run_on_team(lambda: kernel(counter, *args), helpers + 1):
        return
    futures = [_workers(helpers).submit(kernel, counter, *args) for _ in range(helpers)]
    try:
        kernel(counter, *args)
    finally:
        for future in futures:
            if not future.cancel():
                future.result()


def _workers(count: int) -> ThreadPoolExecutor:
    global _POOL, _POOL_SIZE
    with _LOCK:
        if _POOL is None or count > _POOL_SIZE:
            _POOL_SIZE = max(count, 1)
            _POOL = ThreadPoolExecutor(_POOL_SIZE, "gsparse-kernel")
        return _POOL


def _forget_workers() -> None:
    """A forked child has no copies of the threads, perhaps a lock held by one."""
    global _LOCK, _POOL
    _LOCK, _POOL = threading.RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
