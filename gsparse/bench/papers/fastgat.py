"""`"Fast Graph Attention Networks Using Effective Resistance Based Graph
Sparsification" <https://arxiv.org/abs/2006.08796>`_: up to 10x less time and memory.

The paper's claim is about fewer edges in the same layer, so it is measured on PyG's.
Beside it stands the whole way from PyG on the full graph to ours on the sparse one.
Accuracies are those of our layers, which compute the same.
"""

from collections.abc import Sequence
from pathlib import Path

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.grid import Task, grid_rows, tasks
from gsparse.bench.findings import Finding, target
from gsparse.bench.ladder import BESIDE, GRAPHS, RUNGS, climb
from gsparse.bench.paired import scores
from gsparse.bench.tables.measurement import append_rows
from gsparse.bench.tables.rows import Row, read_rows
from gsparse.bench.verdicts import exact, gap

CLAIM = "up to 10x less time and memory, accuracy kept"
TABLE, SPLIT = "fastgat", "60-20-20"
#: The most edges that may go at half a point, of 50, 80 and 90 %, by validation scores
#: of seeds 0 to 2; cornell5 loses more than that even at 30 %.
SPARSITY = {
    "Physics": 0.5,
    "Computers": 0.5,
    "GitHub": 0.5,
    "tolokers": 0.8,
    "cornell5": 0.3,
}
QUICK_GRAPHS, QUICK_SEEDS, FULL_SEEDS = ("tolokers",), 3, 10

PUBLISHED_RATIO = 10.0  # "up to": of the best graph
MOST_LOST = 0.5  # points
LEAST_RATIO = dict.fromkeys(GRAPHS, 30.0) | {"Computers": 12.0}
LEAST_MEMORY_RATIO = 10.0


def runs(quick: bool) -> list[Task]:
    """Return the runs of one graph with three seeds, or of five graphs with ten."""
    methods = ["EffectiveResistance", "RandomEdge"]
    cells = [
        cell
        for name in (QUICK_GRAPHS if quick else GRAPHS)
        for cell in configs(
            [name], ["gat"], methods, [SPARSITY[name]], split=SPLIT, table=TABLE
        )
    ]
    return tasks(cells, range(QUICK_SEEDS if quick else FULL_SEEDS))


def findings(out: Path, quick: bool, root: Path | None = None) -> list[Finding]:
    """Compare the trained models, and time what has no row yet.

    Args:
        out: Folder of ``fastgat.jsonl``, which holds the rows of :func:`runs`, and of
            ``ladder.jsonl``.
        quick: As for :func:`runs`.
        root: Folder of the data sets.
    """
    rows = grid_rows(runs(quick), out / f"{TABLE}.jsonl")
    found: list[Finding] = []
    best = {"epoch": 0.0, "peak bytes": 0.0}
    for name in QUICK_GRAPHS if quick else GRAPHS:
        found.append(_accuracy(name, rows))
        steps = {row["method"]: row for row in _ladder(name, out, root)}
        wanted = {"epoch": LEAST_RATIO[name], "peak bytes": LEAST_MEMORY_RATIO}
        for what, key in (
            ("epoch", "train_epoch_seconds"),
            ("peak bytes", "train_peak_bytes"),
        ):
            full, ours = steps["PyG"][key], max(steps[RUNGS[-1]][key], 1e-9)
            best[what] = max(best[what], full / max(steps[BESIDE][key], 1e-9))
            ratio, least = full / ours, wanted[what]
            claim, verdict = f"{what}, PyG full / ours", exact(ratio >= least)
            found.append(target(name, claim, least, ratio, verdict, unit="x"))
    for what, ratio in best.items():
        claim, least = f"{what}, PyG full / sparse", PUBLISHED_RATIO
        verdict = exact(ratio >= least)
        found.append(Finding("best of all", claim, least, ratio, verdict, unit="x"))
    return found


def _accuracy(name: str, rows: Sequence[Row]) -> Finding:
    """Compare the points that the sparse graph loses, seed by seed, with the target."""
    here = [row for row in rows if row["dataset"] == name]
    dense, sparse = (scores(here, method=it) for it in ("Dense", "EffectiveResistance"))
    lost, claim = gap(dense, sparse), "points of score lost"
    verdict = lost.at_most(MOST_LOST)
    return target(name, claim, MOST_LOST, lost.mean, verdict, lost.half)


def _ladder(name: str, out: Path, root: Path | None) -> list[Row]:
    """Return the rows of the epochs of one graph; measure them if there are none."""
    path = out / "ladder.jsonl"
    rows = read_rows(path) if path.exists() else []
    sparsity = SPARSITY[name]
    mine = [
        row
        for row in rows
        if row["dataset"] == name
        and row["sparsity"] in (0.0, sparsity)
        and "train_peak_bytes" in row
    ]
    if {row["method"] for row in mine} != {*RUNGS, BESIDE}:
        mine = climb(name, split=SPLIT, sparsity=sparsity, root=root, memory=True)
        append_rows(path, mine)
    return mine
