"""Processes of ``torch.distributed`` that share the columns of a streamed graph."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from gsparse.data.folders.publish import ResumableError

T = TypeVar("T")


class LeadingRank:
    """The first process: it tells the others what to do, and cuts the graph.

    Args:
        group: The processes.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self._group, self._size = group, dist.get_world_size(group)

    def open(self, folder: Path, seed: int) -> None:
        """Tell the others where the files are, and the seed."""
        send((str(folder.resolve()), seed), self._group)

    def share(self, batches: range) -> range:
        """Tell the others which batches are needed, and return the first share."""
        send(batches, self._group)
        return batches[:: self._size]

    def wait(self, failure: Exception | None) -> None:
        """Wait until all have done their shares.

        Args:
            failure: Failure of the share of the first process, which is raised.

        Raises:
            RuntimeError: If a share of another process failed.
        """
        all_failures = gather(describe(failure), self._group)
        if failure is not None:
            raise failure
        raise_any(all_failures)


def meet() -> None:
    """Wait until all processes are here; one that has ended is noticed at once."""
    _call(dist.barrier)


def agree(arguments: tuple[str, ...], group: dist.ProcessGroup) -> None:
    """Refuse different arguments in different processes.

    Raises:
        ValueError: If they differ.
    """
    found = gather(arguments, group)
    for rank, other in enumerate(found):
        if other != found[0]:
            both = zip(found[0], other, strict=True)
            ours, theirs = next(pair for pair in both if pair[0] != pair[1])
            raise ValueError(
                "all processes must call sparsify_folder with the same arguments (got "
                f"{ours} in process 0 and {theirs} in process {rank})"
            )


def describe(failure: Exception | None) -> str | None:
    """Return the type and the message of an error."""
    return None if failure is None else f"{type(failure).__name__}: {failure}"


def raise_any(failures: list[str | None]) -> None:
    """Raise an error that names the first process that failed, if one has.

    Raises:
        RuntimeError: If a process failed.
    """
    for rank, failure in enumerate(failures):
        if failure is not None:
            raise RuntimeError(f"process {rank} failed: {failure}")


def portable(error: Exception) -> Exception:
    """Return an error that other processes can receive."""
    try:
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    except Exception:  # any class may define how its errors are pickled
        pass
    return RuntimeError(f"process 0 failed: {describe(error)}")


def send(message: object, group: dist.ProcessGroup) -> None:
    """Send a message from the first process to all others."""
    _call(dist.broadcast_object_list, [message], group_src=0, group=group)


def receive(group: dist.ProcessGroup) -> Any:  # noqa: ANN401
    """Return the next message of the first process."""
    box: list[Any] = [None]
    _call(dist.broadcast_object_list, box, group_src=0, group=group)
    return box[0]


def gather(own: T, group: dist.ProcessGroup) -> list[T]:
    """Return the objects of all processes."""
    found: list[Any] = [None] * dist.get_world_size(group)
    _call(dist.all_gather_object, found, own, group=group)
    return found


def _call(function: Callable[..., object], *args: object, **options: Any) -> None:  # noqa: ANN401
    try:
        function(*args, **options)
    except RuntimeError as error:
        raise ResumableError(
            f"a process of the group has ended ({str(error).splitlines()[0][:80]}); "
            "start the same command again, and it goes on from the solved columns"
        ) from None
