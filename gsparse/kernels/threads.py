"""Compile kernels and distribute their work to threads."""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from numba.core import event
from numba.extending import intrinsic as typed_intrinsic

from gsparse.kernels.team import run_on_team

F = TypeVar("F", bound=Callable[..., Any])

#: ``numba.extending.intrinsic``, untyped because it changes the signature.
intrinsic: Any = typed_intrinsic

#: Below this many inner steps a second thread costs more than it saves.
MIN_WORK = 200_000

logger = logging.getLogger("gsparse.kernels")
_LOCK = threading.RLock()
_POOL: ThreadPoolExecutor | None = None
_POOL_SIZE = 0


class _FirstCompilation(event.Listener):
    """Log a line when the first kernel of a process has to be compiled."""

    logged = False

    def on_start(self, event: Any) -> None:  # noqa: ANN401
        module = event.data["dispatcher"].py_func.__module__ or ""
        if not self.logged and module.startswith("gsparse."):
            self.logged = True
            logger.warning(
                "compiling kernels that are new to this machine: up to half a minute"
            )

    def on_end(self, event: Any) -> None:  # noqa: ANN401
        pass


event.register("numba:compile", _FirstCompilation())


def jit(**options: object) -> Callable[[F], F]:
    """Return ``numba.njit`` with the options that all kernels share.

    The kernel is compiled on its first call, releases the GIL, divides like NumPy, and
    its machine code is kept on disk. Where no cache folder is writable, it is compiled
    again in every process.

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
    """Return a tensor as a contiguous array for a kernel, without its history."""
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

    ``kernel(counter, *args)`` must call ``b = take_block(counter)`` until all blocks
    are taken, and write the results of each block to separate memory; the result then
    does not depend on the number of threads. Unlike ``prange`` this needs no lock and
    survives a fork. The threads are those of torch's OpenMP team or, without one, our
    own; those that have not started when the work is done are cancelled.

    Args:
        kernel: A function compiled by :func:`jit`, without ``parallel=True``.
        work: Estimated number of inner steps; small calls stay on the calling thread.
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
    """Reset lock and pool in a forked child, which has no copies of the threads."""
    global _LOCK, _POOL
    _LOCK, _POOL = threading.RLock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
