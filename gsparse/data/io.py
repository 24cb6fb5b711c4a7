"""Read and write graph files without running code from them."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch_geometric.data import Data

from gsparse.data.array_files import read_npz, write_npz
from gsparse.data.check_graph import check_graph, make_data
from gsparse.data.edge_lists import read_edge_list, write_edge_list
from gsparse.data.file_bytes import check_readable, read_text
from gsparse.data.matrix_market import (
    is_matrix_market,
    read_matrix_market,
    write_matrix_market,
)
from gsparse.data.node_labels import relabel_ids
from gsparse.data.places import replacing
from gsparse.data.symmetrize import symmetrize as add_reverses
from gsparse.data.tensor_files import read_pt, write_pt

_TEXT = (".txt", ".csv", ".tsv", ".mtx")
FORMATS = (".pt", ".npz", *_TEXT, *(f"{suffix}.gz" for suffix in _TEXT))


def read_graph(
    path: str | Path, *, relabel: bool = False, symmetrize: bool = False
) -> Data:
    """Read a graph from a file; the suffix determines the format.

    - ``.pt``: a ``Data`` or a dictionary of tensors, read with ``weights_only=True``.
    - ``.npz``: ``edge_index`` with any other numeric arrays, or ``row``, ``col`` and
      optionally ``data``, or a square matrix saved by ``scipy.sparse.save_npz``.
    - ``.mtx`` (or ``.mtx.gz``): a square sparse matrix in Matrix Market format.
    - ``.txt``, ``.csv``, ``.tsv`` (or with ``.gz``): one edge per line with two nodes
      and an optional weight, or Matrix Market text. ``#`` and ``%`` start comments.

    The first line of an edge list may name the columns: ``source``, ``target``,
    ``weight`` and common synonyms in any order. Columns with other names are not read,
    so a time is never used as a weight. Two columns with unknown names are source and
    target; if nodes are text, the names must be known. Byte-order marks, Windows and
    old Mac line ends, quotes, and commas, semicolons, tabs or spaces as delimiters are
    supported.

    The number of nodes is read from a comment ``# nodes: 5``. Otherwise it is the
    largest id plus one, which must not exceed both ten million and a hundred times the
    number of edges. With ``relabel=True``, ids may be any 64-bit integers or text.

    Edges are returned as listed in the file. If every undirected edge is listed once,
    the graph has one direction only, unless ``symmetrize=True``.

    Args:
        path: Path of the file.
        relabel: Whether to number the nodes from 0 in ascending order of their ids:
            numerically if all ids are 64-bit integers, alphabetically otherwise. Only
            nodes with an edge are numbered. ``node_label`` holds their ids, integers as
            a tensor and text as a list.
        symmetrize: Whether to add the missing reverse of every edge.

    Returns:
        Graph with ``edge_index`` and the attributes found in the file.

    Raises:
        ValueError: If the format is unknown, or the file is broken, ambiguous, or could
            run code.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    suffix = graph_suffix(path)
    check_readable(path)
    path.open("rb").close()  # report a missing permission as such
    try:
        data = _read(path, suffix, relabel)
    except MemoryError:
        raise ValueError(f"{path} must fit into memory") from None
    data = check_graph(data, path)
    try:
        return add_reverses(data) if symmetrize else data
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def write_graph(data: Data, path: str | Path) -> None:
    """Write a graph to a file; the suffix determines the format.

    Edge lists and ``.mtx`` store only ``edge_index``, ``edge_weight`` and the number of
    nodes. ``.npz`` stores tensors and lists of strings, ``.pt`` everything. An existing
    file is replaced only after the new one is complete.

    Args:
        data: Graph to write.
        path: Path of the file.

    Raises:
        ValueError: If the format is unknown, the tensors do not fit each other, or the
            format cannot store an attribute.
        FileNotFoundError: If there is no such folder.
    """
    with writing(data, Path(path)):
        pass


@contextmanager
def writing(data: Data, path: Path) -> Iterator[None]:
    """Write a graph; an error in the block discards the new file."""
    suffix = graph_suffix(path)
    check_target(path)
    plain = check_graph(make_data(data.to_dict(), "the graph"), "the graph")
    with replacing(path) as temporary:
        try:
            _write(plain, temporary, suffix)
        except OSError as error:
            raise OSError(f"cannot write {path} ({error.strerror})") from error
        yield


def graph_suffix(path: Path) -> str:
    """Return the suffix that determines the format.

    Raises:
        ValueError: If the format is unknown.
    """
    name = path.name.lower()
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"a graph file must end in {', '.join(FORMATS)} (got {path.name})")


def check_target(path: Path) -> None:
    """Refuse a path to which no file can be written.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If the path is a folder.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}")
    if path.is_dir():
        raise ValueError(f"{path} must be a file (got a folder)")


def _read(path: Path, suffix: str, relabel: bool) -> Data:
    if suffix in (".pt", ".npz"):
        data = read_pt(path) if suffix == ".pt" else read_npz(path)
        return relabel_ids(data, path) if relabel else data
    content = read_text(path, packed=suffix.endswith(".gz"))
    kind = suffix.removesuffix(".gz")
    if kind == ".mtx" or is_matrix_market(content):
        data = read_matrix_market(content, path)
        return relabel_ids(data, path) if relabel else data
    return read_edge_list(content, kind, path, relabel=relabel)


def _write(data: Data, path: Path, suffix: str) -> None:
    if suffix == ".pt":
        return write_pt(data, path)
    if suffix == ".npz":
        return write_npz(data, path)
    kind = suffix.removesuffix(".gz")
    text = write_matrix_market(data) if kind == ".mtx" else write_edge_list(data, kind)
    content = text.encode()
    # No time stamp, so that the same graph gives the same file.
    packed = gzip.compress(content, mtime=0) if suffix.endswith(".gz") else content
    path.write_bytes(packed)
    return None
