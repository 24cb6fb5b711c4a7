"""torch's own OpenMP team, to run kernels of ours between operations of torch.

A thread of the team that has done its part of an operation stays awake for some
milliseconds and keeps its core busy, in the hope of more work. Threads of our own would
have to share the cores with it; so the work goes to the team instead.
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
    """Call a function once on every thread of the team, the caller being one of them.

    Args:
        part: What each thread does. It should let go of the GIL where it matters.
        num_threads: How many threads are asked for; there may be fewer.

    Returns:
        False, with nothing done, where there is no team: torch runs without OpenMP,
        this process is a forked child, or the caller is itself in the team.

    Raises:
        BaseException: What ``part`` raised first.
    """
    start = None if _forked or getattr(_inside, "team", False) else _team()
    if start is None:
        return False
    errors: list[BaseException] = []

    def call(_: Any) -> None:  # noqa: ANN401
        _inside.team = True
        try:
            part()
        except BaseException as error:
            errors.append(error)
        finally:
            _inside.team = False

    start(_PART(call), None, num_threads, 0)
    if errors:
        raise errors[0]
    return True


@lru_cache(maxsize=1)
def _team() -> Any:  # noqa: ANN401
    """``GOMP_parallel`` of the OpenMP library that torch was linked with."""
    if platform.system() != "Linux" or not torch.backends.openmp.is_available():
        return None
    try:
        # A symbol is searched in a library and all it depends on.
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
