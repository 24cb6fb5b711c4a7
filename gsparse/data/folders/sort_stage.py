"""First stage of a conversion: read a source and sort its edges in files."""

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch_geometric.data import Data

from gsparse.data.check_graph import check_num_nodes
from gsparse.data.folders.array_file import FileFacts
from gsparse.data.folders.memory import edges_within
from gsparse.data.folders.publish import SCRATCH
from gsparse.data.folders.sorted_runs import Keys, SortedRuns, Weights, pack
from gsparse.data.folders.sources import (
    Origin,
    Report,
    Settings,
    Source,
    open_source,
)
from gsparse.data.folders.writer import write_labels

PER_EDGE = 160  # bytes of memory per edge that is sorted or merged at a time
_DONE = "sorted.json"


@dataclass(frozen=True)
class SortedEdges:
    """The sorted edges of a source, also found after an interruption."""

    source: str
    weighted: bool
    num_nodes: int
    forward: list[int]
    backward: list[int]
    labels: dict[str, FileFacts]

    def runs(self, part: Path) -> tuple[SortedRuns, SortedRuns]:
        """Return the runs of edges ``u <= v`` and of the reverse ones."""
        ahead = SortedRuns(part / SCRATCH, "forward", 1, self.weighted, self.forward)
        back = SortedRuns(part / SCRATCH, "backward", 1, self.weighted, self.backward)
        return ahead, back


def find_sorted(part: Path, source: Origin, relabel: bool) -> SortedEdges | None:
    """Return what an interrupted conversion of the same source has sorted."""
    try:
        fields = json.loads((part / SCRATCH / _DONE).read_text())
        labels = {name: FileFacts(*it) for name, it in fields.pop("labels").items()}
        found = SortedEdges(**fields, labels=labels)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    same = found.source == _fingerprint(source, relabel)
    return found if same and isinstance(source, Path) else None


def sort_edges(
    part: Path, source: Origin, *, relabel: bool, bound: int, report: Report | None
) -> SortedEdges:
    """Read a source and write sorted runs of its edges.

    Args:
        part: Temporary folder of the conversion.
        source: A graph in memory, the path of one, or blocks of ``edge_index``.
        relabel: Whether nodes may have any ids.
        bound: Bound of the memory of the process in bytes.
        report: Called with the progress.
    """
    free = edges_within(bound, 1, most=bound)  # in bytes
    version = _fingerprint(source, relabel)  # a source may change while it is read
    settings = Settings(relabel, part / SCRATCH, free // 2, report)
    with closing(open_source(source, settings)) as opened:
        found = _sort(part, source, opened, edges_within(bound, PER_EDGE), version)
    (part / SCRATCH / _DONE).write_text(json.dumps(asdict(found)))
    return found


def _sort(
    part: Path, source: Origin, opened: Source, size: int, version: str
) -> SortedEdges:
    scratch, where = part / SCRATCH, name_of(source)
    ahead = SortedRuns(scratch, "forward", size, opened.is_weighted)
    back = SortedRuns(scratch, "backward", size, opened.is_weighted)
    used = num_edges = 0
    for row, col, weight in opened.chunks():
        _check_weight(weight, where)
        used = max(used, int(row.max()) + 1, int(col.max()) + 1)
        check_num_nodes(used, where)
        num_edges += row.size
        forward = row <= col
        ahead.add(*_side(row, col, weight, forward))
        back.add(*_side(col, row, weight, ~forward))
    ahead.flush()
    back.flush()
    num_nodes = opened.num_nodes(used, num_edges)
    check_num_nodes(num_nodes, where)
    labels = opened.labels()
    return SortedEdges(
        version,
        opened.is_weighted,
        num_nodes,
        ahead.lengths,
        back.lengths,
        {} if labels is None else write_labels(part, labels),
    )


def _side(
    small: NDArray[np.int64],
    large: NDArray[np.int64],
    weight: NDArray[np.float32] | None,
    side: NDArray[np.bool_],
) -> tuple[Keys, Weights | None]:
    """Return the keys and the weights of the edges of one direction."""
    return pack(small[side], large[side]), None if weight is None else weight[side]


def name_of(source: Origin) -> str:
    """Return the name of a source for error messages."""
    if isinstance(source, Path):
        return str(source)
    return "the graph" if isinstance(source, Data) else "the blocks"


def _check_weight(weight: NDArray[np.float32] | None, where: str) -> None:
    """Refuse weights that are no conductances."""
    if weight is None:
        return
    bad = ~np.isfinite(weight) | (weight < 0)
    if bad.any():
        raise ValueError(
            f"edge weights in {where} must be finite and not negative "
            f"(got {weight[bad][0]})"
        )


def _fingerprint(source: Origin, relabel: bool) -> str:
    """Identify a version of a source."""
    if not isinstance(source, Path):
        return ""
    paths = sorted(source.iterdir()) if source.is_dir() else [source]
    facts = [
        (str(it.resolve()), it.stat().st_size, it.stat().st_mtime_ns) for it in paths
    ]
    return json.dumps([facts, relabel])
