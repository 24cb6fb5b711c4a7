"""Sparsify a graph folder with several processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist

from gsparse.data import GraphFolder, open_graph
from gsparse.data.folders.publish import ResumableError
from gsparse.data.folders.sources import Report
from gsparse.distributed.ranks import (
    LeadingRank,
    agree,
    describe,
    gather,
    meet,
    portable,
    raise_any,
    receive,
    send,
)
from gsparse.linalg.stream_columns import StoredColumns
from gsparse.linalg.stream_pieces import find_pieces
from gsparse.transforms.base import EdgeSparsifier
from gsparse.transforms.out_of_core import block_size, cut_folder, open_folder
from gsparse.transforms.pair_stream import PairStream

PATIENCE = timedelta(days=7)  # a process may solve its columns for long


def sparsify_folder(
    folder: GraphFolder | str | Path,
    target: str | Path,
    transform: EdgeSparsifier,
    *,
    memory: str | int = "2GB",
    report: Report | None = None,
) -> GraphFolder:
    """Sparsify a graph folder with all processes of ``torch.distributed``.

    Every process calls this function with the same arguments, after
    ``torch.distributed.init_process_group("gloo")``. All of them must see the same
    files. The result is that of :func:`gsparse.deploy.sparsify_folder` in every bit,
    for any number of processes.

    The random columns of ``EffectiveResistance(method="stream")`` are shared: there are
    16 of them on graphs of large degrees, more on others, and each process solves eight
    at a time. All other work, and all other methods, are left to the first process.
    Solved columns stay in files beside the target until the end. If a process is lost,
    the others raise an error, and the same call with a seed goes on from these files.

    Args:
        folder: The graph.
        target: Path of the new folder, which must not exist.
        transform: A sparsifier for graph folders.
        memory: Bound of the memory of each process.
        report: Called with the progress of each pass of this process.

    Raises:
        RuntimeError: If there is no process group, or a process fails or is lost.
        ValueError: As for :func:`gsparse.deploy.sparsify_folder`, and if the arguments
            or the graphs of two processes differ.
    """
    if not dist.is_available() or not dist.is_initialized():
        raise RuntimeError(
            "torch.distributed must be initialized; call init_process_group('gloo') in "
            "every process first, or use gsparse.deploy.sparsify_folder in one process"
        )
    meet()  # a new group would wait in vain for a process that has ended
    group = dist.new_group(backend="gloo", timeout=PATIENCE)
    _check_arguments(folder, target, transform, group)
    if dist.get_rank(group) == 0:
        _lead(folder, target, transform, memory, report, group)
    else:
        _follow(folder, transform, memory, report, group)
    return open_graph(target)


def _check_arguments(
    folder: GraphFolder | str | Path,
    target: str | Path,
    transform: EdgeSparsifier,
    group: dist.ProcessGroup,
) -> None:
    """Compare the arguments of all processes, and the graphs that they see."""
    failure, graph = None, ""
    try:
        checksum = open_folder(folder, transform).header.checksum
        graph = f"a graph with the checksum {checksum}"
    except Exception as error:
        failure = error
    failures = gather(describe(failure), group)
    if failure is not None:
        raise failure
    raise_any(failures)
    agree((graph, f"the target {os.path.abspath(target)}", repr(transform)), group)


def in_torchrun() -> bool:
    """Return whether ``torchrun`` has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def process_group() -> Iterator[bool]:
    """Join the processes that ``torchrun`` has started, and leave them at the end.

    Yields whether this process is the first one.
    """
    dist.init_process_group("gloo")
    try:
        yield dist.get_rank() == 0
    finally:
        dist.destroy_process_group()


def _lead(
    folder: GraphFolder | str | Path,
    target: str | Path,
    transform: EdgeSparsifier,
    memory: str | int,
    report: Report | None,
    group: dist.ProcessGroup,
) -> None:
    """Cut the graph, and end the work of the others."""
    split = LeadingRank(group)
    try:
        cut_folder(folder, target, transform, memory=memory, report=report, split=split)
    except ResumableError:  # the others see for themselves that a process is lost
        raise
    except Exception as error:
        with suppress(ResumableError):  # the first error is the cause
            send(portable(error), group)
        raise
    send(None, group)


def _follow(
    folder: GraphFolder | str | Path,
    transform: EdgeSparsifier,
    memory: str | int,
    report: Report | None,
    group: dist.ProcessGroup,
) -> None:
    """Solve the shares of this process until the first one ends the work."""
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    columns: StoredColumns | None = None
    failure: Exception | None = None
    while (message := receive(group)) is not None:
        if isinstance(message, Exception):
            raise message
        try:
            if isinstance(message, range):
                if columns is not None:
                    columns.store(message[rank::size])
            else:
                columns = _open(folder, transform, memory, report, *message)
        except Exception as error:  # told to the first process, which raises it
            failure = error
        if isinstance(message, range):
            gather(describe(failure), group)


def _open(
    folder: GraphFolder | str | Path,
    transform: EdgeSparsifier,
    memory: str | int,
    report: Report | None,
    place: str,
    seed: int,
) -> StoredColumns:
    found, scratch = open_folder(folder, transform), Path(place)
    edges = block_size(found, transform, memory)
    stream = PairStream(found, edges, scratch, report)
    return StoredColumns(stream, find_pieces(stream), seed, scratch)
