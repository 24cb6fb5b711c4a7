"""Write a folder beside its place and rename it when it is complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gsparse.data.folders.header import NAME

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

SCRATCH = "scratch"  # subfolder for what is not part of the result


class ResumableError(RuntimeError):
    """Work that the same call resumes later."""


@contextmanager
def publishing(folder: Path, *, resume: bool = False) -> Iterator[Path]:
    """Yield a temporary folder and rename it to ``folder`` after the block.

    Other processes see nothing or the complete folder. The temporary folder is a
    hidden sibling. If the block fails, it is removed, unless the work can resume.

    Args:
        folder: Path of the folder, which must not exist.
        resume: Whether to keep the temporary folder of an interrupted call, and to
            yield it again at the next one.

    Raises:
        FileNotFoundError: If the folder above does not exist.
        ValueError: If the folder exists, another process is writing it, or a folder of
            another kind has the temporary name.
    """
    folder = Path(os.path.abspath(folder))
    check_new_folder(folder)
    part = part_of(folder)
    part.mkdir(exist_ok=True)
    with _locked(part, folder):
        _check_ours(part)
        if not resume:
            clear(part)
        (part / SCRATCH).mkdir(exist_ok=True)
        try:
            yield part
            shutil.rmtree(part / SCRATCH)
            _sync(part)
            check_new_folder(folder)
            part.rename(folder)
            _sync(folder.parent)
        except BaseException as error:
            failed = isinstance(error, Exception)
            if not resume or (failed and not isinstance(error, ResumableError)):
                shutil.rmtree(part, ignore_errors=True)
            raise


def part_of(folder: Path) -> Path:
    """Return the temporary folder to which the files of ``folder`` are written."""
    return folder.with_name(f".{folder.name}.part")


def check_new_folder(folder: Path) -> None:
    """Refuse a folder that exists or has no folder above it.

    Raises:
        FileNotFoundError: If the folder above does not exist.
        ValueError: If the folder exists.
    """
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {folder.parent}")
    if folder.exists():
        raise ValueError(
            f"{folder} must not exist yet (it does); remove it or write to another one"
        )


def _check_ours(part: Path) -> None:
    """Refuse a folder that this module has not made, whose files would be removed."""
    ours = [SCRATCH, NAME]
    if any(part.iterdir()) and not any((part / name).exists() for name in ours):
        raise ValueError(
            f"{part} must be a temporary folder of gsparse (it holds other files); "
            "rename it"
        )


@contextmanager
def _locked(part: Path, folder: Path) -> Iterator[None]:
    """Hold a lock that the system releases at the end of the process."""
    if fcntl is None:
        yield
        return
    handle = os.open(part, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another process may have renamed or removed the folder before the lock.
            same = os.path.samestat(os.fstat(handle), os.stat(part))
        except OSError:
            same = False
        if not same:
            raise ValueError(f"another process is writing {folder}; wait")
        yield
    finally:
        os.close(handle)


def clear(part: Path, keep: str = "") -> None:
    """Remove everything from a temporary folder, so that work starts anew.

    Args:
        part: The folder.
        keep: Name of a folder in its scratch folder that stays.
    """
    for folder in (part, part / SCRATCH):
        for path in folder.iterdir() if folder.exists() else ():
            if path.name not in {SCRATCH, keep}:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    (part / SCRATCH).mkdir(exist_ok=True)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
