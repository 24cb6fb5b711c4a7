"""Memory of this process, and the number of edges that fit into a bound."""

import sys
from pathlib import Path

from gsparse.data.folders.byte_sizes import format_bytes

LEAST = 1 << 16  # edges of the smallest block
MOST = 1 << 24  # edges of the largest block
RESERVE = 40_000_000  # bytes for libraries and the allocator


def status_bytes(key: str) -> int | None:
    """Return a line of ``/proc/self/status`` in bytes; None where there is none."""
    path = Path("/proc/self/status")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    return None


def resident_bytes() -> int:
    """Return the resident memory of this process, or 0 where the system hides it."""
    found = status_bytes("VmRSS")
    if found is not None:
        return found
    if sys.platform == "win32":
        return 0
    # A local import: this module does not exist on Windows.
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return scale * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def edges_within(
    memory: int, per_edge: int, *, beside: int = 0, most: int = MOST
) -> int:
    """Return how many edges may be in memory at a time.

    Args:
        memory: Bound of the memory of the whole process in bytes.
        per_edge: Bytes per edge.
        beside: Bytes that are needed besides, for example per node.
        most: Number of edges beyond which a block is not faster.

    Raises:
        ValueError: If the bound is too small for the smallest block.
    """
    fixed = resident_bytes() + RESERVE + beside
    least = fixed + per_edge * LEAST
    if memory < least:
        rounded = -(-least // 10_000_000) * 10_000_000
        raise ValueError(
            f"the memory must be at least {format_bytes(rounded)} for this graph (got "
            f"{format_bytes(memory)}); the program and its libraries take "
            f"{format_bytes(fixed - beside)}, the nodes {format_bytes(beside)}"
        )
    return min((memory - fixed) // per_edge, most)
