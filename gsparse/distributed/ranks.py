"""Processes of ``torch.distributed`` that share the columns of a streamed graph."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist

from gsparse.data.folders.publish import ResumableError


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

    def wait(self) -> None:
        """Wait until all have done their shares.

        Raises:
            RuntimeError: If a share failed.
        """
        for rank, failure in enumerate(gather(None, self._group)):
            if failure is not None:
                raise RuntimeError(f"process {rank} failed: {failure}")


def send(message: object, group: dist.ProcessGroup) -> None:
    """Send a message from the first process to all others."""
    _call(dist.broadcast_object_list, [message], group_src=0, group=group)


def receive(group: dist.ProcessGroup) -> Any:  # noqa: ANN401
    """Return the next message of the first process."""
    box: list[Any] = [None]
    _call(dist.broadcast_object_list, box, group_src=0, group=group)
    return box[0]


def gather(failure: str | None, group: dist.ProcessGroup) -> list[str | None]:
    """Return the failure of each process, or None."""
    found: list[str | None] = [None] * dist.get_world_size(group)
    _call(dist.all_gather_object, found, failure, group=group)
    return found


def _call(function: Callable[..., object], *args: object, **options: Any) -> None:  # noqa: ANN401
    try:
        function(*args, **options)
    except RuntimeError as error:
        raise ResumableError(
            f"a process of the group has ended ({str(error).splitlines()[0][:80]}); "
            "start the same command again, and it goes on from the solved columns"
        ) from None
