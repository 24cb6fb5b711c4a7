"""Notice other processes on the cores, which slow down several threads."""

import os

import torch


def busy_cores(
    threads: int | None = None, load: float | None = None, cores: int | None = None
) -> str | None:
    """Return advice if other processes leave fewer cores than there are threads.

    At the end of every parallel loop the threads of OpenMP wait for the slowest, which
    is the one that shares its core.

    Args:
        threads: Number of threads; the default is torch's.
        load: Number of running processes; the default is the load of the last minute.
        cores: Number of cores; the default is that of this process.

    Returns:
        One line, or None if nothing is wrong or the system does not tell its load.

    Example:
        >>> from gsparse.deploy.busy_cores import busy_cores
        >>> busy_cores(threads=2, load=1.9, cores=2)
        'cores are busy (load 1.9 of 2): set OMP_WAIT_POLICY=passive or use --threads 1'
        >>> busy_cores(threads=2, load=0.1, cores=2) is None
        True
    """
    threads = torch.get_num_threads() if threads is None else threads
    cores = _num_cores() if cores is None else cores
    if load is None:
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if threads <= 1 or load + threads < cores + 0.5:
        return None
    return (
        f"cores are busy (load {load:.1f} of {cores}): "
        "set OMP_WAIT_POLICY=passive or use --threads 1"
    )


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
