"""Facts about the machine that decide how long a run takes."""

import os
import platform
from functools import cache
from pathlib import Path

_SYSTEM = platform.libc_ver()[0] or "system"


@cache
def cpu() -> str:
    """Return the model name of the processor, as far as the system tells it."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@cache
def allocator() -> str:
    """Return the name of the memory allocator and its settings in the environment."""
    path = Path("/proc/self/maps")
    loaded = path.read_text() if path.exists() else ""
    others = [n for n in ("jemalloc", "tcmalloc", "mimalloc") if f"lib{n}" in loaded]
    settings = [f"{k}={v}" for k, v in sorted(os.environ.items()) if "MALLOC_" in k]
    return " ".join([*others, *settings] or [_SYSTEM])


def has_own_allocator() -> bool:
    """Whether memory is allocated otherwise than the system does by default."""
    return allocator() != _SYSTEM
