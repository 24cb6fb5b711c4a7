"""How compiled kernels are built and called: numba options, one lock, thread count."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numba
import torch

F = TypeVar("F", bound=Callable[..., Any])

_LOCK = threading.RLock()
_MAX_THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


def jit(**options: bool) -> Callable[[F], F]:
    """``numba.njit`` with the options all our kernels share.

    Compiles on the first call, releases the GIL, divides as NumPy does, and keeps
    the machine code on disk; where no cache folder can be written the kernel is
    compiled anew in every process instead of failing.

    Args:
        **options: Further options of ``numba.njit``, such as ``parallel=True``.
            Kernels with ``parallel=True`` must be called inside
            :func:`kernel_threads`.

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


@contextmanager
def kernel_threads() -> Iterator[int]:
    """One caller at a time, with as many numba threads as torch uses.

    numba's thread pools may not be entered from two Python threads at once, so
    every call of a ``parallel=True`` kernel stands inside this block. Entering it
    twice from one thread is allowed.

    Yields:
        The number of threads a ``prange`` will use.
    """
    with _LOCK:
        before = numba.get_num_threads()
        count = max(1, min(torch.get_num_threads(), _MAX_THREADS))
        numba.set_num_threads(count)
        try:
            yield count
        finally:
            numba.set_num_threads(before)
