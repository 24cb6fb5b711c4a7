"""What a row says about the machine, the versions, the command and the features."""

import hashlib
import platform
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

PACKAGES = ("gsparse-gnn", "torch", "torch-geometric", "numpy", "scipy", "numba")


def versions() -> str:
    """Python and the packages that results may depend on, as ``name==version``."""
    parts = [f"python=={platform.python_version()}"]
    return " ".join(parts + [f"{name}=={version(name)}" for name in PACKAGES])


def command_line() -> str:
    """The command of this process, without the folder of its program."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.startswith("gsparse."):
        module = spec.name.removesuffix(".__main__")
        return shlex.join(["python", "-m", module, *sys.argv[1:]])
    program = Path(sys.argv[0] or "python").name
    return shlex.join([program, *sys.argv[1:]])


@cache
def commit(root: Path = Path(__file__).parents[3]) -> str | None:
    """The git commit of the package, with a ``+`` where its files were changed since.

    Args:
        root: The folder around the package.

    Returns:
        Twelve hexadecimal digits, or None where the package is no checkout of its own.
    """
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        found = subprocess.run(command, capture_output=True, text=True, check=True)
        return found.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "gsparse")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def fingerprint(x: Tensor) -> str:
    """Hash of a feature matrix, the same for its dense and its compressed form.

    Args:
        x: Features, dense or ``torch.sparse_csr``.

    Returns:
        Twelve hexadecimal digits of a SHA-256 over shape, positions and values of the
        entries other than zero.

    Shapes:
        - **x:** :math:`(N, F)`
    """
    if x.layout == torch.sparse_csr:
        count = x.crow_indices().diff()
        row = torch.arange(x.size(0)).repeat_interleave(count)
        col, value = x.col_indices(), x.values()
        stored = value != 0
        row, col, value = row[stored], col[stored], value[stored]
    else:
        row, col = x.nonzero(as_tuple=True)
        value = x[row, col]
    digest = hashlib.sha256(repr(tuple(x.shape)).encode())
    for part in (row.int(), col.int(), value.float()):
        digest.update(part.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
