"""`"Learnt Sparsification for Interpretable Graph Neural Networks"
<https://arxiv.org/abs/2106.12920>`_ as in the paper: masks learned together with the
weights, from the labels alone.

With 60 labels, as in the public split of PubMed, most edges are far from any label;
here 60 % of the nodes have one. Random edges and edges of high resistance are trained
on from scratch with the same recipe.
"""

from functools import partial
from pathlib import Path

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.grid import Task, grid_rows, tasks
from gsparse.bench.findings import Finding, target
from gsparse.bench.paired import scores
from gsparse.bench.verdicts import gap

CLAIM = "80 % of the edges dropped for about 2 points, from labels alone"
DATA, MINUTES = "PubMed, CS, Computers, Cora_ML", (3, 250)
TABLE, SPLIT, SPARSITY = "labels", "60-20-20", 0.8
NAMED, BESIDE = "PubMed", ("CS", "Computers", "Cora_ML")
LEARNED = ("KEdge", "SparseGAT", "PTDNet", "NeuralSparse")
CONTROLS = ("RandomEdge", "EffectiveResistance")
EPOCHS = 2000  # the cap of the citation graphs' recipe stops training early
QUICK_SEEDS, NAMED_SEEDS, BESIDE_SEEDS = 1, 5, 3
MOST_SEEDS = 10  # of the methods that a claim names
MOST_LOST = 2.0  # points


def runs(quick: bool) -> list[Task]:
    """Return KEdge and random edges on PubMed, or all methods on four graphs."""
    if quick:
        return tasks(_cells(NAMED, LEARNED[:1], CONTROLS[:1]), range(QUICK_SEEDS))
    found = tasks(_cells(NAMED, LEARNED, CONTROLS), range(NAMED_SEEDS))
    found += tasks(_cells(NAMED, LEARNED[:1], CONTROLS[:1]), range(MOST_SEEDS))
    for graph in BESIDE:
        found += tasks(_cells(graph, LEARNED, CONTROLS), range(BESIDE_SEEDS))
    return list(dict.fromkeys(found))


def _cells(
    graph: str, learned: tuple[str, ...], controls: tuple[str, ...]
) -> list[Config]:
    grid = partial(
        configs,
        [graph],
        ["gcn"],
        sparsities=[SPARSITY],
        split=SPLIT,
        epochs=EPOCHS,
        table=TABLE,
        teacher="none",
    )
    return [*grid(methods=learned, trainings=["joint"]), *grid(methods=controls)]


def findings(out: Path, quick: bool, root: Path | None = None) -> list[Finding]:
    """Return the points lost on PubMed, and the gain over random edges.

    Args:
        out: Folder of ``labels.jsonl``, which holds the rows of :func:`runs`.
        quick: As for :func:`runs`.
        root: Not used.
    """
    rows, found = grid_rows(runs(quick), out / f"{TABLE}.jsonl"), []
    seen = {row["dataset"] for row in rows}
    for graph in (it for it in (NAMED, *BESIDE) if it in seen):
        here = partial(scores, rows, dataset=graph, model="gcn")
        ours, random = (here(method=it) for it in ("KEdge", "RandomEdge"))
        lost, above = gap(here(method="Dense"), ours), gap(ours, random)
        verdict = lost.at_most(MOST_LOST)
        claim = "gcn, 80% cut: points lost"
        source = "paper" if graph == NAMED else "target"
        found.append(
            Finding(graph, claim, MOST_LOST, lost.mean, verdict, lost.half, source)
        )
        claim = "gcn, 80% cut: above random"
        found.append(target(graph, claim, 0.0, above.mean, above.above(), above.half))
    return found
