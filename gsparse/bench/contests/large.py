"""Graph folders of growing size: converted and cut to a tenth, within bounded memory.

The seconds of an edge should not grow with the number of edges, and the memory only
with the number of nodes.
"""

import math
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.contests.large_graphs import chung_lu_blocks
from gsparse.bench.tables.rows import Row
from gsparse.data import GraphFolder, convert_graph
from gsparse.deploy import sparsify_folder
from gsparse.deploy.peak_memory import peak, reset_peak
from gsparse.transforms import DSpar, EffectiveResistance, LocalDegree, RandomEdge
from gsparse.transforms.base import EdgeSparsifier

DEGREE, SPARSITY, SEED, MEMORY = 40, 0.9, 73009, "6GB"
HUGE = 30_000_000  # edges above which each contender has a single turn
VECTORS = 8
METHODS: dict[str, Callable[[], EdgeSparsifier]] = {
    "RandomEdge": partial(RandomEdge, SPARSITY, seed=SEED),
    "DSpar": partial(DSpar, SPARSITY, seed=SEED),
    "LocalDegree": partial(LocalDegree, SPARSITY),
    "EffectiveResistance": partial(
        EffectiveResistance, SPARSITY, method="stream", seed=SEED
    ),
}


class Made(NamedTuple):
    """A new folder, the peak of the memory, and the transform that made it."""

    folder: GraphFolder
    peak_bytes: int
    transform: EdgeSparsifier | None


def contenders(problem: Problem) -> list[Contender]:
    """Return the conversion of a Chung-Lu graph, and four methods on the result."""
    size = int(float(problem.size or 20_000))
    size = 20_000 if problem.graph == "toy" else size
    place = TemporaryDirectory(prefix="gsparse-large-")
    source = _convert(size, Path(place.name) / "source").folder
    facts: Row = {"num_nodes": source.num_nodes, "num_pairs": source.num_pairs}
    settings: Row = {"size": size, "sparsity": SPARSITY, "memory": MEMORY}

    def contender(method: str, run: Callable[[Path], Made]) -> Contender:
        def turn(_: int) -> Made:
            target = Path(place.name) / "target"
            shutil.rmtree(target, ignore_errors=True)
            return run(target)

        return Contender(
            method,
            {"seconds": turn},
            settings,
            facts=facts,
            check=partial(_check, source, place),
            max_turns=1 if size > HUGE else None,
        )

    return [
        contender("convert", partial(_convert, size)),
        *(
            contender(name, partial(_cut, source, make))
            for name, make in METHODS.items()
        ),
    ]


def _convert(size: int, target: Path) -> Made:
    blocks = chung_lu_blocks(2 * size // DEGREE, size, SEED)
    return _measured(
        lambda: convert_graph(
            blocks, target, symmetrize=True, copies="one", memory=MEMORY
        )
    )


def _cut(source: GraphFolder, make: Callable[[], EdgeSparsifier], target: Path) -> Made:
    transform = make()
    found = _measured(lambda: sparsify_folder(source, target, transform, memory=MEMORY))
    return found._replace(transform=transform)


def _measured(run: Callable[[], GraphFolder]) -> Made:
    device = torch.device("cpu")
    reset_peak(device)
    folder = run()
    return Made(folder, peak(device), None)


def _check(source: GraphFolder, _: TemporaryDirectory[str], made: Made) -> Row:
    """Return the peak, and how well the cut graph preserves random cuts."""
    found: Row = {"peak_bytes": made.peak_bytes}
    if made.transform is None:
        return found | {"kept": None, "form_error": None, "foster": None}
    error = None
    if made.transform.reweights:
        ratio = _forms(made.folder) / _forms(source)
        error = float((ratio - 1).abs().max())
    return found | {
        "kept": made.folder.num_pairs,
        "form_error": error,
        "foster": getattr(made.transform, "foster", None),
    }


def _forms(folder: GraphFolder) -> Tensor:
    """Return the weight across random cuts, a quadratic form of the Laplacian."""
    generator = torch.Generator().manual_seed(SEED)
    side = torch.randint(2, (folder.num_nodes, VECTORS), generator=generator).bool()
    total = torch.zeros(VECTORS, dtype=torch.float64)
    for row, col, weight in folder.blocks():
        across = (side[row] ^ side[col]).double()
        total += across.sum(0) if weight is None else weight.double() @ across
    return total


def _last(values: list[Any]) -> Any:  # noqa: ANN401
    """Return the value of the last turn; all turns of a method do the same."""
    return values[-1]


def _per_edge(rows: list[Row], method: str) -> Iterator[tuple[int, float]]:
    for row in rows:
        if row["method"] == method and row["seconds"] is not None:
            yield row["num_pairs"], row["seconds"] / row["num_pairs"]


def summary(rows: list[Row]) -> str:
    """Return the seconds of an edge on the largest graph beside the smallest one."""
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        found = sorted(_per_edge(rows, method))
        if len(found) > 1 and found[-1][0] > found[0][0]:
            times = found[-1][1] / found[0][1]
            growth = math.log10(found[-1][0] / found[0][0])
            lines.append(f"{method}: {times:.2f} times over {growth:.0f} decades")
    return "\n".join(lines)


def finish(rows: list[Row]) -> list[Row]:
    """Add the nanoseconds of an edge."""
    for row in rows:
        seconds = row["seconds"]
        row["edge_ns"] = None if seconds is None else 1e9 * seconds / row["num_pairs"]
    return rows


CONTEST = Contest(
    name="large",
    about="graph folders of 1e6 to 1e8 edges, converted and cut",
    contenders=contenders,
    graphs=("chung_lu",),
    sizes=("1e6", "1e7", "1e8"),
    quick_graphs=("chung_lu",),
    quick_sizes=("2e4",),
    keys=("size",),
    baseline="RandomEdge",
    columns={
        "edge_ns": "ns per edge",
        "seconds": "ms",
        "peak_bytes": "peak MB",
        "form_error": "cuts",
    },
    repeats=3,
    limit=1200,
    warm_up=0,
    toy="toy",
    average=_last,
    finish=finish,
    summary=summary,
)
