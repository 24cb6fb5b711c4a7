"""Make sure that the data sets of a grid are there, before anything runs."""

from collections.abc import Iterable
from pathlib import Path

from gsparse.bench.experiment.grid import Task
from gsparse.data import card, load
from gsparse.data.raw_files import find_raw


def fetch_missing(tasks: Iterable[Task], root: Path | None = None) -> None:
    """Download the data sets that are not there, and say once which cannot be had.

    Args:
        tasks: The runs that are to come.
        root: Folder of the data sets.

    Raises:
        FileNotFoundError: If files are missing; names each data set and its folder.
    """
    names = dict.fromkeys(name for task in tasks for name in task.config.datasets)
    absent, failed = [], []
    for name in names:
        entry = card(name)
        if entry.kind == "embedded" or find_raw(entry, root) is not None:
            continue
        try:
            load(name, root)
        except FileNotFoundError as error:
            absent.append(name)
            failed.append(str(error))
    if failed:
        raise FileNotFoundError(
            f"{'; '.join(failed)}; if the files are elsewhere, set GSPARSE_DATA or "
            "--data-root to the folder around "
            f"{', '.join(card(name).raw for name in absent)}"
        )
