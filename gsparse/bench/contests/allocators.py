"""Run a contest once with each memory allocator, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from ctypes.util import find_library

from gsparse.bench.tables.rows import Row

KEPT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "68719476736",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Settings with which glibc keeps freed pages. By default it returns each large block
to the system, and the system clears its pages when they are used again."""
ALLOCATORS = ("default", "kept", "jemalloc")


def environment(name: str) -> dict[str, str]:
    """Return the environment of a process with that allocator.

    Args:
        name: ``"default"`` for glibc as it is, ``"kept"`` for :data:`KEPT`, or
            ``"jemalloc"``, which is loaded before glibc.

    Raises:
        ValueError: If the name is unknown.
        FileNotFoundError: If there is no jemalloc on this machine.
    """
    if name not in ALLOCATORS:
        known = ", ".join(ALLOCATORS)
        raise ValueError(f"'allocators' must be one of {known} (got {name})")
    clean = {k: v for k, v in os.environ.items() if k not in (*KEPT, "LD_PRELOAD")}
    if name == "jemalloc":
        library = find_library("jemalloc")
        if library is None:
            raise FileNotFoundError("jemalloc: left out, not on this machine")
        return clean | {"LD_PRELOAD": library}
    return clean | (KEPT if name == "kept" else {})


def name_of(row: Row) -> str:
    """Return the allocator of a row, one of ``ALLOCATORS``; old rows do not name it."""
    words = set(row.get("allocator", "").split())
    if "jemalloc" in words:
        return "jemalloc"
    return "kept" if {f"{k}={v}" for k, v in KEPT.items()} <= words else "default"


def run_with_each(names: Sequence[str], arguments: Sequence[str]) -> int:
    """Run ``python -m gsparse.bench.contests`` with each allocator.

    An allocator that is not on this machine is named and left out.

    Args:
        names: Of ``ALLOCATORS``.
        arguments: Arguments of the command, without ``--allocators``.

    Returns:
        The first exit code other than 0, or 0.

    Raises:
        ValueError: If a name is unknown; nothing has run then.
    """
    environments = {}
    for name in names:
        try:
            environments[name] = environment(name)
        except FileNotFoundError as error:
            _say(str(error))
    for name, variables in environments.items():
        _say(f"allocator: {name}")
        command = [sys.executable, "-m", "gsparse.bench.contests", *arguments]
        code = subprocess.run(command, env=variables, check=False).returncode
        if code != 0:
            return code
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
