"""Run kernels on torch's own OpenMP threads, between operations of torch.

A thread of the team that has finished its part of an operation stays awake for some
milliseconds and keeps its core busy, waiting for more work. Threads of our own would
have to share the cores with it, so the work is given to the team.

The entry point ``GOMP_parallel`` is private to OpenMP libraries; CONTRIBUTING.md lists
the versions of torch it was tested with. Where it is absent, or returns without having
called the function, kernels run on threads of our own.
"""

import ctypes
import os
import platform
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

_PART = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

#: An OpenMP team does not survive a fork.
_forked = False
_inside = threading.local()


def run_on_team(part: Callable[[], None], num_threads: int) -> bool:
    """Call a function once on every thread of the team, which includes the caller.

    Args:
        part: Function that each thread calls. It should release the GIL.
        num_threads: Number of threads to ask for; there may be fewer.

    Returns:
        True, or False with nothing done if there is no team: torch runs without OpenMP,
        this process is a forked child, or the caller itself belongs to the team.

    Raises:
        BaseException: The first error that ``part`` raised.
    """
    start = None if _forked or getattr(_inside, "team", False) else _team()
    if start is None:
        return False
    errors: list[BaseException | None] = []

    def call(_: Any) -> None:  # noqa: ANN401
        _inside.team = True
        try:
            part()
            errors.append(None)
        except BaseException as error:
            errors.append(error)
        finally:
            _inside.team = False

    start(_PART(call), None, num_threads, 0)
    for error in filter(None, errors):
        raise error
    return bool(errors)


@lru_cache(maxsize=1)
def _team() -> Any:  # noqa: ANN401
    """Return ``GOMP_parallel`` of torch's OpenMP library; None if it has none."""
    if platform.system() != "Linux" or not torch.backends.openmp.is_available():
        return None
    try:
        # The symbol is searched in the library and in all that it depends on.
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib/libtorch_cpu.so"))
        start = library.GOMP_parallel
    except (OSError, AttributeError):
        return None
    start.argtypes = [_PART, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    start.restype = None
    return start


def _in_forked_child() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_forked_child)
