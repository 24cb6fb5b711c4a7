"""Graphs in files: ``.pt``, ``.npz`` and text. No reader runs code."""

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
    """Reads a graph; the format follows from the end of the name.

    - ``.pt``: a ``Data`` or a dictionary of tensors, read with ``weights_only=True``.
    - ``.npz``: ``edge_index`` with any other arrays of numbers, or ``row``, ``col`` and
      perhaps ``data``, or a square matrix saved by ``scipy.sparse.save_npz``.
    - ``.mtx``, also with ``.gz``: a square sparse matrix in Matrix Market form.
    - ``.txt``, ``.csv``, ``.tsv``, also with ``.gz``: one edge a line, two nodes and
      perhaps a weight, or Matrix Market text. ``#`` and ``%`` begin comments.

    The first line of a list may name the columns: ``source``, ``target``, ``weight``
    and usual synonyms in any order; columns of other names are not read, so that a
    time is never taken for a weight. Two columns of unknown names are source and
    target; where nodes are texts, names must be known. Byte-order marks, Windows and
    old Mac line ends, quotes, and commas, semicolons, tabs or spaces as delimiters are
    understood.

    The number of nodes is read from a comment ``# nodes: 5``, or else it is the
    largest number plus one, which must not exceed ten million and a hundred times the
    number of edges: with ``relabel=True`` nodes may be any 64-bit integers or texts.

    Edges are returned as they stand in the file: a list that names every undirected
    edge once gives a graph with one direction only, unless ``symmetrize=True``.

    Args:
        path: The file.
        relabel: Whether to number the nodes from 0 in ascending order of their ids:
            of numbers if all are 64-bit integers, else of texts. Only nodes with an
            edge are numbered; ``node_label`` holds their ids, integers as a tensor and
            texts as a list.
        symmetrize: Whether to add the missing reverse of every edge.

    Raises:
        ValueError: Unknown format, broken file, one that could run code, or one whose
            meaning is not certain.
        FileNotFoundError: No such file.
    """
    path = Path(path)
    suffix = graph_suffix(path)
    check_readable(path)
    path.open("rb").close()  # no permission: said as such, not as a broken file
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
    """Writes a graph in the format that the name ends with, at once or not at all.

    A list of edges and a ``.mtx`` keep ``edge_index``, ``edge_weight`` and the number
    of nodes only. ``.npz`` keeps tensors and lists of texts, ``.pt`` everything.

    Raises:
        ValueError: Unknown format, a graph whose tensors do not fit each other, or an
            attribute that the format cannot keep.
        FileNotFoundError: No such folder.
    """
    with writing(data, Path(path)):
        pass


@contextmanager
def writing(data: Data, path: Path) -> Iterator[None]:
    """Write a graph that takes its place only if nothing is raised in the block."""
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
    """The end of the name that says the format.

    Raises:
        ValueError: If there is no such format.
    """
    name = path.name.lower()
    for suffix in sorted(FORMATS, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"a graph file must end in {', '.join(FORMATS)} (got {path.name})")


def check_target(path: Path) -> None:
    """Refuse a path at which no file can be written.

    Raises:
        FileNotFoundError: If there is no such folder.
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
    # Without a time stamp the same graph gives the same file.
    packed = gzip.compress(content, mtime=0) if suffix.endswith(".gz") else content
    path.write_bytes(packed)
    return None
