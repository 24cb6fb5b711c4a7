"""Convert a graph of any size to a graph folder."""

from collections.abc import Callable, Iterable
from functools import partial
from os import PathLike
from pathlib import Path
from typing import get_args

from torch import Tensor
from torch_geometric.data import Data

from gsparse.data.folders.byte_sizes import parse_bytes
from gsparse.data.folders.graph_folder import GraphFolder, open_graph
from gsparse.data.folders.memory import edges_within
from gsparse.data.folders.merge import Copies, Merged, merge_directions
from gsparse.data.folders.publish import clear, publishing
from gsparse.data.folders.sort_stage import (
    PER_EDGE,
    SortedEdges,
    find_sorted,
    name_of,
    sort_edges,
)
from gsparse.data.folders.sorted_runs import Entries, choose_cuts
from gsparse.data.folders.sources import Report
from gsparse.data.folders.writer import FolderWriter


def convert_graph(
    source: Data | str | Path | Iterable[Tensor],
    folder: str | Path,
    *,
    relabel: bool = False,
    symmetrize: bool = False,
    copies: Copies = "check",
    memory: str | int = "2GB",
    report: Report | None = None,
) -> GraphFolder:
    """Convert a graph to a graph folder, which is opened by :func:`open_graph`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from gsparse.data import barbell, convert_graph
        >>> with TemporaryDirectory() as place:
        ...     convert_graph(barbell(4), f"{place}/barbell").num_pairs
        13

    Edge lists (``.txt``, ``.csv``, ``.tsv``, also with ``.gz``) and ``.parquet`` are
    read in blocks, so that the graph may be larger than the memory; other files of
    :func:`read_graph` are read at once. Only edges, their weights, and the labels of
    nodes are stored. The edges are sorted in files beside the folder, which take 8
    bytes per entry, 12 with weights. The folder appears when it is complete. After an
    interruption the same call goes on from the sorted edges.

    Parallel edges are added up: the weight of an edge is the sum of its copies, or
    their number if the source has no weights. It is rounded to float32. Self-loops are
    kept.

    Args:
        source: A graph, a file, a folder ``name.parquet`` of Parquet files, or an
            iterable of blocks of ``edge_index``, each of shape ``[2, n]``, for example
            a generator that reads a format of your own.
        folder: Path of the new folder, which must not exist.
        relabel: Whether to number the nodes from 0 in ascending order of their ids,
            which may be any 64-bit integers or text.
        symmetrize: Whether an undirected edge may be listed once. Otherwise both
            directions of every edge must be listed.
        copies: What to do with copies of an edge. ``"check"`` adds the copies of each
            direction and refuses a graph whose directions differ. ``"add"`` adds all
            copies in both directions, so that every line is an undirected edge of its
            own. ``"one"`` keeps one copy, of weight 1, of a source without weights.
        memory: Bound of the memory of the process, for example ``"4GB"``. Graphs that
            are read at once may exceed it.
        report: Called with the name of the step and its progress.

    Raises:
        ValueError: If the source is broken, ambiguous or not undirected, a weight is
            negative, the folder exists, or the bound of the memory is too small.
        TypeError: If a block is not a tensor.
        FileNotFoundError: If there is no such file, or no folder above the new one.
        ModuleNotFoundError: If the source needs the extra ``scale``.
    """
    bound = parse_bytes(memory)
    if copies not in get_args(Copies):
        known = ", ".join(map(repr, get_args(Copies)))
        raise ValueError(f"'copies' must be one of {known} (got {copies!r})")
    if isinstance(source, str | PathLike):
        source = Path(source)
    if not isinstance(source, Data | Path) and not isinstance(source, Iterable):
        raise TypeError(
            "'source' must be a graph, a path or an iterable of blocks (got "
            f"{type(source).__name__})"
        )
    if isinstance(source, Path) and not source.exists():
        raise FileNotFoundError(f"no such file: {source}")
    with publishing(Path(folder), resume=True) as part:
        found = find_sorted(part, source, relabel)
        if found is None:
            clear(part)
            found = sort_edges(
                part, source, relabel=relabel, bound=bound, report=report
            )
        if found.weighted and copies == "one":
            raise ValueError(
                f"{name_of(source)} has weights, and copies='one' would drop them; use "
                "copies='add'"
            )
        merge = partial(
            merge_directions,
            symmetrize=symmetrize,
            copies=copies,
            where=name_of(source),
        )
        _write(part, found, merge, bound, report)
    return open_graph(folder)


def _write(
    part: Path,
    found: SortedEdges,
    merge: Callable[[Entries, Entries], Merged],
    bound: int,
    report: Report | None,
) -> None:
    """Write the folder from the sorted edges."""
    ahead, back = found.runs(part)
    total = sum(found.forward) + sum(found.backward)
    cuts = choose_cuts([ahead, back], edges_within(bound, PER_EDGE))
    writer = FolderWriter(part, found.num_nodes, True if found.weighted else None)
    done = 0
    try:
        for forward, backward in zip(ahead.parts(cuts), back.parts(cuts), strict=True):
            writer.write(*merge(forward, backward))
            done += forward.key.size + backward.key.size
            if report is not None:
                report("writing", done, total)
        writer.finish({"entries": total}, found.labels)
    finally:
        writer.close()
