"""Sparsify a graph folder that need not fit into memory."""

from pathlib import Path

import torch

from gsparse.data import EdgeBlock, GraphFolder, open_graph
from gsparse.data.folders.byte_sizes import parse_bytes
from gsparse.data.folders.memory import edges_within
from gsparse.data.folders.publish import SCRATCH, clear, publishing
from gsparse.data.folders.sources import Report
from gsparse.data.folders.writer import FolderWriter, copy_labels
from gsparse.linalg.stream_columns import Split
from gsparse.transforms.base import EdgeSparsifier, Selection
from gsparse.transforms.pair_stream import PairBlock, PairStream

PER_EDGE = 280  # bytes of memory per edge of a block
MOST = 1 << 19  # edges of a block; larger ones leave the cache of the processor
#: With fewer nodes, eight columns of float64 are below 32 MiB. The C library then takes
#: them from its heap, where more is held than is used.
HEAP = 1 << 19


def sparsify_folder(
    folder: GraphFolder | str | Path,
    target: str | Path,
    transform: EdgeSparsifier,
    *,
    memory: str | int = "2GB",
    report: Report | None = None,
) -> GraphFolder:
    r"""Sparsify a graph folder of any size and write the result to a new one.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from gsparse.data import barbell, convert_graph
        >>> from gsparse.deploy import sparsify_folder
        >>> from gsparse.transforms import DSpar
        >>> with TemporaryDirectory() as place:
        ...     folder = convert_graph(barbell(4), f"{place}/barbell")  # 13 edges
        ...     transform = DSpar(sparsity=0.5, seed=51913)
        ...     sparsify_folder(folder, f"{place}/cut", transform).num_pairs
        7

    Keeps exactly the edges, with exactly the weights, that the transform keeps of
    ``folder.data()`` with the same seed, at the same exact budget. The edges are read
    in blocks several times: to compute degrees, to find the score at which the kept
    edges end (in usually two passes), and to write them. ``KNeighbor`` and
    ``LocalDegree`` first rank the edges of every node in files beside the target, which
    take 32 bytes per edge. Needs memory for :math:`O(N)` numbers and one block.

    ``EffectiveResistance(method="stream")`` also reads the edges about 30 to 200 times
    and keeps the squares of its random columns in files, usually 24 bytes per edge; an
    interrupted call with the same target, settings and seed goes on from them. It needs
    480 bytes per node, 1,200 below 500,000 nodes.

    Args:
        folder: The graph.
        target: Path of the new folder, which must not exist. It appears when it is
            complete; an interrupted call leaves nothing that the next one uses.
        transform: :class:`~gsparse.transforms.RandomEdge`,
            :class:`~gsparse.transforms.KNeighbor`,
            :class:`~gsparse.transforms.LocalDegree`,
            :class:`~gsparse.transforms.DSpar`, or
            :class:`~gsparse.transforms.EffectiveResistance` with ``method="stream"``;
            the last two with ``sparsity`` and without ``connected``.
        memory: Bound of the memory of the process, for example ``"4GB"``.
        report: Called with the name of each pass and its progress.

    Raises:
        TypeError: If ``transform`` is not an edge sparsifier.
        ValueError: If the transform needs the whole graph in memory, the bound of the
            memory is too small, or the target exists.
        FileNotFoundError: If there is no such folder.
    """
    cut_folder(folder, target, transform, memory=memory, report=report)
    return open_graph(target)


def cut_folder(
    folder: GraphFolder | str | Path,
    target: str | Path,
    transform: EdgeSparsifier,
    *,
    memory: str | int,
    report: Report | None = None,
    split: Split | None = None,
) -> None:
    """Sparsify a graph folder, see :func:`sparsify_folder`.

    Args:
        folder: The graph.
        target: Path of the new folder.
        transform: The method.
        memory: Bound of the memory of the process.
        report: Called with the progress.
        split: Processes that share the work where the method can divide it.
    """
    found = open_folder(folder, transform)
    size = block_size(found, transform, memory)
    weighted = found.is_weighted or (transform.reweights and transform.reweight)
    resumes = transform.resumes
    with publishing(Path(target), resume=bool(resumes)) as part:
        clear(part, keep=resumes)
        stream = PairStream(found, size, part / SCRATCH, report, split)
        select = transform.select_blocks(stream)
        writer = FolderWriter(part, found.num_nodes, weighted)
        try:
            for block in stream.blocks("writing"):
                row, col, weight = _cut(block, select(block), weighted)
                new = None if weight is None else weight.numpy()
                writer.write(row.numpy(), col.numpy(), new)
            made = {"source": found.path.name, "method": repr(transform)}
            writer.finish(made, copy_labels(found.path, part, found.header.files))
        finally:
            writer.close()


def open_folder(
    folder: GraphFolder | str | Path, transform: EdgeSparsifier
) -> GraphFolder:
    """Check the arguments of :func:`sparsify_folder` and open the folder."""
    if not isinstance(transform, EdgeSparsifier):
        raise TypeError(
            f"'transform' must be an edge sparsifier (got {type(transform).__name__})"
        )
    return folder if isinstance(folder, GraphFolder) else open_graph(folder)


def block_size(
    folder: GraphFolder, transform: EdgeSparsifier, memory: str | int
) -> int:
    """Return the number of edges that may be in memory at a time."""
    beside = bytes_of_nodes(type(transform), folder.num_nodes)
    return edges_within(parse_bytes(memory), PER_EDGE, beside=beside, most=MOST)


def bytes_of_nodes(method: type[EdgeSparsifier], num_nodes: int) -> int:
    """Return the memory for the nodes of a graph folder."""
    beside = method.bytes_per_node * num_nodes
    return beside * 5 // 2 if num_nodes < HEAP else beside


def _cut(block: PairBlock, selection: Selection, weighted: bool) -> EdgeBlock:
    """Return the kept edges of a block with their new weights; self-loops are kept."""
    row, col, weight = block.stored
    if weighted:
        new = torch.ones(row.numel()) if weight is None else weight.clone()
        if selection.factor is not None:
            of_pairs = selection.factor * new[block.is_pair]  # in float64
            new[block.is_pair] = of_pairs.to(new.dtype)
        weight = new
    keep = torch.ones_like(block.is_pair)
    keep[block.is_pair] = selection.keep
    return EdgeBlock(row[keep], col[keep], weight[keep] if weight is not None else None)
