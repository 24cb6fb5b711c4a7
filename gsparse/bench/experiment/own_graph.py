"""Graphs that have no card: from a file, or from memory."""

import logging
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from torch_geometric.data import Data

from gsparse.bench.experiment.facts import graph_fingerprint
from gsparse.data import names, read_graph, split, split_name
from gsparse.data.io import FORMATS, graph_suffix
from gsparse.data.labelled_graph import MASKS, LabelledGraph, labelled_graph
from gsparse.train.split_graphs import INDUCTIVE, SplitGraphs, graphs_of_split

OWN, USUAL = "own", "60-20-20"
"""Name of the split that a graph brings along, and the split of a graph without."""

_RELABEL = "use relabel=True (--relabel) for other ids"
_NUMBER = (
    "number them first: gsparse sparsify IN OUT.npz --relabel --method RandomEdge "
    "--sparsity 0, which writes their names to OUT.nodes.csv"
)
_LABELS = "write the number of each node, as in the OUT.nodes.csv of its graph"
"""Advice of the reader, and advice for a command without this option."""

_log = logging.getLogger(__name__)


class OwnGraph(NamedTuple):
    """A graph without a card, ready for training."""

    name: str
    data: Data
    fingerprint: str
    path: str | None = None
    labels: str | None = None

    def resolve_split(self, wanted: str | None) -> str:
        """Return the full name of a split, by default that of the masks.

        Raises:
            ValueError: If the name is unknown, only some of the masks are there, or a
                node is in two of them.
        """
        given = [name for name in MASKS if self.data.get(name) is not None]
        part = (wanted or "").removeprefix(INDUCTIVE).removeprefix("-")
        if not part:
            part = OWN if given else USUAL
        if part == OWN and len(given) < len(MASKS):
            raise ValueError(
                f"split 'own' needs {', '.join(MASKS)} in {self.name} (got "
                f"{', '.join(given) or 'none'}); choose another, such as --split "
                f"{USUAL}"
            )
        part = part if part == OWN else split_name(part)
        if part in (OWN, "public", "given"):
            self._refuse_shared_nodes(part)
        is_inductive = wanted is not None and wanted.startswith(INDUCTIVE)
        return f"{INDUCTIVE}-{part}" if is_inductive else part

    def _refuse_shared_nodes(self, part: str) -> None:
        """Raise an error if a node is in two masks, which would leak its label."""
        for first, second in combinations(MASKS, 2):
            masks = self.data.get(first), self.data.get(second)
            if any(it is None for it in masks) or masks[0].shape != masks[1].shape:
                continue
            if (shared := int((masks[0] & masks[1]).sum())) > 0:
                raise ValueError(
                    f"split {part!r} needs masks without common nodes in {self.name} "
                    f"(got {shared:,} nodes in both {first!r} and {second!r}); choose "
                    f"another, such as --split {USUAL}"
                )


def is_graph_file(name: str) -> bool:
    """Return whether the name of a data set is the path of a graph file.

    Example:
        >>> is_graph_file("mine/graph.npz"), is_graph_file("PubMed")
        (True, False)
    """
    known = name.lower().endswith(FORMATS) or "/" in name or "\\" in name
    return known or (Path(name).is_file() and name not in names())


def open_graph(path: str, labels: str | None = None) -> OwnGraph:
    """Read a graph and its labels, and log what was added to it.

    Raises:
        ValueError: If the file is broken, or has no labels.
        FileNotFoundError: If there is no such file.
    """
    found = _read(path, labels)
    for note in found.notes:
        _log.warning("%s", note)
    name, mark = Path(path).name, graph_fingerprint(found.data)
    return OwnGraph(name, found.data, mark, path, labels)


def given_graph(data: Data, name: str) -> OwnGraph:
    """Return a graph in memory as one without a card; ``data`` is not changed."""
    found = labelled_graph(data, where=name)
    for note in found.notes:
        _log.warning("%s", note)
    return OwnGraph(name, found.data, graph_fingerprint(found.data))


def load_own(path: str, labels: str | None, fingerprint: str) -> Data:
    """Read a graph again, in a run.

    Raises:
        ValueError: If it is not the graph for which the run was planned.
    """
    data = _read(path, labels).data
    if graph_fingerprint(data) != fingerprint:
        raise ValueError(
            f"{path} must not change during a benchmark (its contents have changed); "
            "run the command again"
        )
    return data


def split_own(data: Data, kind: str, seed: int, device: str) -> SplitGraphs:
    """Return the graphs to fit and to test on, with the split of a run.

    The masks of split ``"own"`` may have several columns; every seed has its own, and
    larger seeds start again from the first.
    """
    part = kind.removeprefix(f"{INDUCTIVE}-")
    if part == OWN:
        part = "public" if data.train_mask.dim() == 1 else "given"
    return graphs_of_split(split(data, part, seed), kind, device=device)


def _read(path: str, labels: str | None) -> LabelledGraph:
    graph_suffix(Path(path))
    files = [Path(it) for it in (path, labels) if it is not None]
    stats = [file.stat() for file in files if file.exists()]
    stamps = tuple((it.st_mtime_ns, it.st_size) for it in stats)
    return _read_once(path, labels, stamps)


@lru_cache(maxsize=1)
def _read_once(path: str, labels: str | None, stamps: tuple) -> LabelledGraph:
    """Read a graph once while its files stay as they are."""
    try:
        data = read_graph(path)
    except ValueError as error:
        raise ValueError(str(error).replace(_RELABEL, _NUMBER)) from None
    try:
        return labelled_graph(data, labels, path)
    except ValueError as error:
        raise ValueError(str(error).replace(_RELABEL, _LABELS)) from None
