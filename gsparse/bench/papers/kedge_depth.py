"""`"Learnt Sparsification for Interpretable Graph Neural Networks"
<https://arxiv.org/abs/2106.12920>`_ beside `"DropEdge: Towards Deep Graph
Convolutional Networks on Node Classification" <https://arxiv.org/abs/1907.10903>`_ in
deep networks.

Two ways. First, the mask is fitted to the predictions of the standard two-layer GCN,
which helps to choose edges and enters no weight; deep GCNs are then trained from
scratch on the half of the edges that it leaves, half of which DropEdge leaves out of
every training step. RandomEdge in place of KEdge says what the choice is worth. Plain
training and DropEdge alone have the same recipe and all edges.

Second, :class:`~gsparse.train.GCNII` is trained with DropEdge, and
:class:`~gsparse.train.EdgeExchange` searches edges that keep its predictions, while its
weights stay at rest.
"""

from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import fmean

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.grid import Task, tasks
from gsparse.bench.findings import Finding, target
from gsparse.bench.paired import scores
from gsparse.bench.tables.rows import Row, latest, read_rows
from gsparse.bench.verdicts import MARGIN, gap

CLAIM = "deep GCNs no worse than with DropEdge, far above those on all edges"
DATA, MINUTES = "PubMed, CS", (15, 330)
TABLE, DATASET = "depth", "PubMed"
DROP = 0.7
"""Fraction of the edges that DropEdge alone leaves out of a training step."""

CUT, DROP_LEFT = 0.5, 0.5
"""Fraction removed for good, and fraction of the rest that DropEdge leaves out."""

CONTROL = "RandomEdge"
QUICK_DEPTHS, DEPTHS = (2, 16), (2, 4, 8, 16, 32)
QUICK_SEEDS, CONTROL_SEEDS, FULL_SEEDS = 1, 3, 5

BACKBONES = ("plain", "identity", "batch-norm")
DEEP = (16, 32)
"""Numbers of layers for which there is a target."""

RESTING, RESTED = "gcnii", ("EdgeExchange", "RandomEdge")
"""The backbone whose weights are left at rest, and how its edges are chosen."""

REST_CUTS = (0.5, 0.8)
REST_GRAPHS = {DATASET: "public", "CS": "60-20-20"}
"""Their splits."""

PLAINER = "identity"
"""A backbone without residuals whose weights are left at rest on half of the edges."""

SHALLOW = "plain"
"""The backbone of the two-layer GCN on all edges with which deep ones are compared."""

WANTED_ABOVE = 20.0  # points above the same GCN on all edges
PUBLISHED = {16: 78.5, 32: 77.0}
"""The best that DropEdge made of a GCN on PubMed's public split."""


def runs(quick: bool) -> list[Task]:
    """Return plain training, DropEdge and KEdge at every depth on every backbone.

    The control is added at the depths at which something is asked of KEdge.
    """
    cells = configs([DATASET], ["gcn"], ["DropEdge"], [DROP], table=TABLE)
    cut = configs([DATASET], ["gcn"], ["KEdge", CONTROL], [CUT], table=TABLE)
    cells += [replace(it, drop_edge=DROP_LEFT) for it in cut if it.sparsity == CUT]
    deep = [
        replace(cell, num_layers=depth, backbone=backbone)
        for depth in (QUICK_DEPTHS if quick else DEPTHS)
        for backbone in BACKBONES
        for cell in cells
        if cell.model == "gcn" and (cell.method != CONTROL or depth in DEEP)
    ]
    named = [cell for cell in deep if cell.method != CONTROL]
    beside = [cell for cell in deep if cell.method == CONTROL]
    found = tasks(named, range(QUICK_SEEDS if quick else FULL_SEEDS))
    found += tasks(beside, range(QUICK_SEEDS if quick else CONTROL_SEEDS))
    return found if quick else found + tasks(_rested(), range(FULL_SEEDS))


def _rested() -> list[Config]:
    """Return GCNII on all edges, with DropEdge, and then at rest on few edges.

    Beside it, a backbone without residuals. Weights at rest were trained with DropEdge.
    """
    found = []
    for graph, split in REST_GRAPHS.items():
        grid = partial(configs, [graph], ["gcn"], split=split, table=TABLE)
        named = [it for it in grid(["DropEdge"], [DROP]) if it.model == "gcn"]
        cut = [
            replace(it, drop_edge=DROP)
            for it in grid(RESTED, REST_CUTS, trainings=["rest"])
            if it.training == "rest"
        ]
        deep = [replace(it, backbone=RESTING) for it in (*named, *cut)]
        if graph == DATASET:
            half = [it for it in cut if it.sparsity == CUT]
            deep += [replace(it, backbone=PLAINER) for it in half]
        found += [replace(it, num_layers=depth) for depth in DEEP for it in deep]
        if graph != DATASET:  # there it is among the others
            found.append(replace(named[0], num_layers=2, backbone=SHALLOW))
    return list(dict.fromkeys(found))


def findings(out: Path, quick: bool, root: Path | None = None) -> list[Finding]:
    """Compare KEdge with DropEdge, plain training and the published numbers.

    Args:
        out: Folder of ``depth.jsonl``, which holds the rows of :func:`runs`.
        quick: As for :func:`runs`.
        root: Not used.
    """
    # Rows whose edges were chosen by an earlier fit of the mask count, too.
    rows, found = latest(read_rows(out / f"{TABLE}.jsonl")), []
    for depth in DEEP:
        if quick and depth not in QUICK_DEPTHS:
            continue
        found += [_not_below_drop_edge(rows, depth, name) for name in BACKBONES]
        found += [_above_dense(rows, depth, name) for name in BACKBONES]
        found.append(_published(rows, depth))
        if not quick:
            found += _all_at_rest(rows, depth)
    return found


def _all_at_rest(rows: list[Row], depth: int) -> list[Finding]:
    """Return the comparisons of weights at rest, on the graphs that have rows."""
    seen = {row["dataset"] for row in rows if row.get("training") == "rest"}
    cells = [*product(REST_GRAPHS, [RESTING], REST_CUTS), (DATASET, PLAINER, CUT)]
    return [
        _at_rest(rows, depth, *cell, other)
        for cell in cells
        if cell[0] in seen
        for other in ("2 layers", "DropEdge", "RandomEdge")
    ]


def _at_rest(
    rows: list[Row], depth: int, graph: str, backbone: str, cut: float, other: str
) -> Finding:
    """Compare edges searched for deep weights at rest.

    The others are a GCN of two layers on all edges, the same deep model with DropEdge,
    and random edges.
    """
    deep = partial(scores, rows, dataset=graph, num_layers=depth, backbone=backbone)
    ours = deep(method="EdgeExchange", sparsity=cut)
    claim = f"{depth}, {backbone}, {cut:.0%} cut: less {other}"
    if other == "RandomEdge":
        found = gap(ours, deep(method=other, sparsity=cut, training="rest"))
        return target(graph, claim, 0.0, found.mean, found.above(), found.half)
    if other == "DropEdge":
        found = gap(ours, deep(method=other))
    else:
        shallow = {"num_layers": 2, "backbone": SHALLOW, "method": "Dense"}
        found = gap(ours, scores(rows, dataset=graph, **shallow))
    verdict = found.at_least(-MARGIN)
    return target(graph, claim, -MARGIN, found.mean, verdict, found.half)


def _not_below_drop_edge(rows: list[Row], depth: int, backbone: str) -> Finding:
    """Check that KEdge is not below DropEdge by a point."""
    found = gap(*(_scores(rows, depth, backbone, it) for it in ("KEdge", "DropEdge")))
    claim, verdict = f"{depth}, {backbone}: less DropEdge", found.at_least(-MARGIN)
    return target(DATASET, claim, -MARGIN, found.mean, verdict, found.half)


def _above_dense(rows: list[Row], depth: int, backbone: str) -> Finding:
    """Compare with the same GCN trained on all edges."""
    found = gap(*(_scores(rows, depth, backbone, it) for it in ("KEdge", "Dense")))
    claim, verdict = f"{depth}, {backbone}: above Dense", found.at_least(WANTED_ABOVE)
    return target(DATASET, claim, WANTED_ABOVE, found.mean, verdict, found.half)


def _published(rows: list[Row], depth: int) -> Finding:
    """Compare KEdge on the backbone of the best validation score with DropEdge."""
    cells = [[r for r in rows if _is(r, depth, name, "KEdge")] for name in BACKBONES]
    best = max(cells, key=lambda cell: fmean(r["val_score"] for r in cell))
    ours = gap(scores(best), 0.0)
    wanted, claim = PUBLISHED[depth], f"{depth}: beside DropEdge's paper"
    return Finding(DATASET, claim, wanted, ours.mean, ours.at_least(wanted), ours.half)


def _is(row: Row, depth: int, backbone: str, method: str) -> bool:
    found = (row["num_layers"], row["backbone"], row["method"], row["dataset"])
    return found == (depth, backbone, method, DATASET)


def _scores(
    rows: list[Row], depth: int, backbone: str, method: str
) -> dict[int, float]:
    cell = {"num_layers": depth, "backbone": backbone, "method": method}
    return scores(rows, dataset=DATASET, **cell)
