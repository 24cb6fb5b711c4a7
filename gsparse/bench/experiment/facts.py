"""Facts for rows: versions, command, commit, and a hash of the features."""

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
from torch_geometric.data import Data

from gsparse.bench.experiment.machine import allocator, cpu
from gsparse.bench.tables.rows import Row

PACKAGES = ("gsparse-gnn", "torch", "torch-geometric", "numpy", "scipy", "numba")
GRAPH_KEYS = (
    "edge_index",
    "edge_weight",
    "y",
    "train_mask",
    "val_mask",
    "test_mask",
)


def run_facts() -> Row:
    """Return what a row says of the program and the machine that made it."""
    return {
        "versions": versions(),
        "command": command_line(),
        "commit": commit(),
        "allocator": allocator(),
        "cpu": cpu(),
    }


def versions() -> str:
    """Return the versions of Python and of the packages that results may depend on."""
    parts = [f"python=={platform.python_version()}"]
    return " ".join(parts + [f"{name}=={version(name)}" for name in PACKAGES])


def command_line() -> str:
    """Return the command of this process, without the folder of its program."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.startswith("gsparse."):
        module = spec.name.removesuffix(".__main__")
        return shlex.join(["python", "-m", module, *sys.argv[1:]])
    program = Path(sys.argv[0] or "python").name
    return shlex.join([program, *sys.argv[1:]])


@cache
def commit(root: Path = Path(__file__).parents[3]) -> str | None:
    """Return the git commit of the package, with a ``+`` if its files have changed.

    Args:
        root: The folder around the package.

    Returns:
        Twelve hexadecimal digits, or None if the package is not in a git checkout.
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
    """Hash a feature matrix; dense and compressed matrices have the same hash.

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


def graph_fingerprint(data: Data) -> str:
    """Hash the edges, weights, features, labels and masks of a graph.

    Returns:
        Twelve hexadecimal digits of a SHA-256; dense and compressed features count as
        equal.

    Shapes:
        - **data.edge_index:** :math:`(2, E)`
    """
    digest = hashlib.sha256(f"{data.num_nodes} {fingerprint(data.x)}".encode())
    for key in GRAPH_KEYS:
        value = data.get(key)
        if value is not None:
            value = value.double() if value.is_floating_point() else value.long()
            digest.update(f"{key} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()[:12]
