"""Measure the peak memory of this process, and the memory that is available."""

import ctypes
import sys
from pathlib import Path

import torch

from gsparse.data.folders.memory import status_bytes


def reset_peak(device: torch.device) -> int:
    """Reset the peak and return the bytes in use now.

    Raises:
        RuntimeError: If this system does not tell a peak (it needs Linux, or CUDA).
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    if sys.platform != "linux":
        raise RuntimeError(f"no peak of the resident set on {sys.platform}")
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak(device: torch.device) -> int:
    """Return the peak of the bytes in use since the last reset."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status("VmHWM")


def available_bytes() -> int | None:
    """Return the bytes that new tensors can take on the CPU; None if unknown."""
    path = Path("/proc/meminfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    return None


def _status(key: str) -> int:
    """Return one line of /proc/self/status in bytes."""
    found = status_bytes(key)
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {key}")
    return found
