"""Sparsify a graph folder by the name of a method."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from gsparse.data import GraphFolder, open_graph
from gsparse.data.folders.header import NAME
from gsparse.data.folders.sources import Report
from gsparse.data.io import FORMATS
from gsparse.transforms.by_name import make_sparsifier, sparsifier_class
from gsparse.transforms.out_of_core import sparsify_folder


def is_folder_task(source: Path, target: Path) -> bool:
    """Return whether a graph folder is to be sparsified to another one.

    Raises:
        ValueError: If only one of both is a folder.
    """
    to_file = target.name.lower().endswith(FORMATS)
    if (source / NAME).exists() and to_file:
        raise ValueError(
            f"a graph folder is sparsified to a folder (got OUT {target}); for a file, "
            "use open_graph(folder).data() and write_graph in Python"
        )
    return source.is_dir() and not to_file


def sparsify_stored(
    source: Path,
    target: Path,
    method: str,
    *,
    sparsity: float | None = None,
    epsilon: float | None = None,
    seed: int | None = 0,
    memory: str | int = "2GB",
    report: Report | None = None,
    cut: Callable[..., GraphFolder] = sparsify_folder,
) -> dict[str, Any]:
    """Sparsify a graph folder and return a flat record of the result.

    Args:
        source: A graph folder.
        target: Path of the new folder, which must not exist.
        method: Class name of a sparsifier.
        sparsity: Fraction of the undirected edges to remove, in [0, 1).
        epsilon: Spectral tolerance, which is refused by name.
        seed: Random seed.
        memory: Bound of the memory of the process.
        report: Called with the name of each pass and its progress.
        cut: Function that does it, with the arguments of :func:`sparsify_folder`.

    Raises:
        ValueError: If the method is unknown or needs the whole graph in memory, the
            bound is too small, or the source is not a complete graph folder.
        FileNotFoundError: If a folder does not exist.
    """
    if sparsity is None and epsilon is None:
        raise ValueError("give --sparsity, or --epsilon if the method supports it")
    settings = {"sparsity": sparsity, "epsilon": epsilon, "seed": seed}
    settings |= sparsifier_class(method).folder_settings
    transform = make_sparsifier(method, **settings)
    folder, start = open_graph(source), perf_counter()
    out = cut(folder, target, transform, memory=memory, report=report)
    return {
        "method": repr(transform),
        "num_nodes": out.num_nodes,
        "num_pairs_before": folder.num_pairs,
        "num_pairs_after": out.num_pairs,
        "num_edges_before": 2 * folder.num_pairs,
        "num_edges_after": 2 * out.num_pairs,
        "seconds": perf_counter() - start,
        "output": str(target),
    }
