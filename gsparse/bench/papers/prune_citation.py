"""Prune the weights of GNNs on the citation graphs.

What `"Effective Sparsification of Neural Networks with Global Sparsity Constraint"
<https://arxiv.org/abs/2105.01571>`_ (ProbMask), `"Combinatorial Brain Surgeon"
<https://arxiv.org/abs/2203.04466>`_, `"Exploring Sparsity in Recurrent Neural Networks"
<https://arxiv.org/abs/1704.05119>`_ and `"A Gradient Flow Framework For Analyzing
Network Pruning" <https://arxiv.org/abs/2009.11839>`_ claim of their networks, asked of
GNNs. None of them has numbers for these graphs, so the targets are ours.

Every method's model is trained after pruning, with its last masks. GCN has 16 hidden
channels, GAT 8 heads of 8: at 512 every method looks good. GAT is trained on receptive
fields, which is the same with a quarter of the work on PubMed.
"""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean, median

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.grid import Task, grid_rows, tasks
from gsparse.bench.findings import Finding, target
from gsparse.bench.paired import scores
from gsparse.bench.tables.rows import Filter, Row, select
from gsparse.bench.verdicts import Gap, gap
from gsparse.train.by_name import weight_methods

CLAIM = "within 0.5 points of dense at 95 %, 1.5 at 98 %"
DATA, MINUTES = "PubMed, Cora, CiteSeer", (2, 260)
TABLE = "prune"
GRAPHS, MODELS = ("Cora", "CiteSeer", "PubMed"), ("gcn", "gat")
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
NAMED = (
    "Magnitude",
    "RandomWeight",
    "Magnitude+U",
    "ProbMask",
    "CombinatorialBrainSurgeon",
)
"""Rows that a target names: ten seeds, at the sparsities of :data:`MOST_LOST`."""

MOST_LOST = {0.95: 0.5, 0.98: 1.5}
LEAST_SUPERMASK = 20.0  # points of validation score
LEFT_OUT = ("ADMM", "LAMP")
"""ADMM prunes structures; LAMP equals Magnitude if one layer is pruned, as here."""

WIDE, NARROW, EQUAL = 64, 4, 0.9375
"""A wide network with so many of its weights gone is as large as the narrow one."""

QUICK_SEEDS, FULL_SEEDS = 3, 10
_TARGET = {"weight_sparsity_target": SPARSITIES[4]}


def runs(quick: bool) -> list[Task]:
    """Return the runs of Cora with GCN and three seeds, or all, in two stages."""
    if quick:
        cells = configs(
            ["Cora"],
            ["gcn"],
            [],
            [],
            table=TABLE,
            pruners=NAMED,
            weight_sparsities=list(MOST_LOST),
        )
        return tasks(cells, range(QUICK_SEEDS))
    named = _cells(NAMED, list(MOST_LOST))
    grid = _cells(
        [name for name in weight_methods() if name not in LEFT_OUT], SPARSITIES
    )
    sizes = configs(
        GRAPHS,
        ["gcn"],
        [],
        [],
        table=TABLE,
        pruners=["Magnitude"],
        weight_sparsities=[EQUAL],
        hidden_channels=WIDE,
    )
    sizes += configs(GRAPHS, ["gcn"], [], [], table=TABLE, hidden_channels=NARROW)
    found = tasks(named, range(FULL_SEEDS)) + tasks(sizes, range(FULL_SEEDS))
    return list(dict.fromkeys(found + tasks(grid, range(QUICK_SEEDS))))


def _cells(names: Sequence[str], sparsities: Sequence[float]) -> list[Config]:
    """Return the experiments of both models on all graphs with these pruners."""
    found = [
        configs(
            GRAPHS,
            [model],
            [],
            [],
            table=TABLE,
            pruners=names,
            weight_sparsities=sparsities,
            local=model == "gat",
        )
        for model in MODELS
    ]
    return list(dict.fromkeys(chain.from_iterable(found)))


def findings(out: Path, quick: bool, root: Path | None = None) -> list[Finding]:
    """Compare the best method with the targets, and the papers' methods with theirs.

    The best method is the one of highest validation score; its test score is reported.

    Args:
        out: Folder of ``prune.jsonl``, which holds the rows of :func:`runs`.
        quick: As for :func:`runs`.
        root: Not used.
    """
    rows = grid_rows(runs(quick), out / f"{TABLE}.jsonl")
    graphs, models = (("Cora",), ("gcn",)) if quick else (GRAPHS, MODELS)
    found = []
    for graph in graphs:
        for model in models:
            where = {"dataset": graph, "model": model, "hidden_channels": None}
            cell = select(rows, where)
            for sparsity, most in MOST_LOST.items():
                found.append(_lost(cell, graph, model, sparsity, most))
            found += [_above(cell, graph, model, name) for name in NAMED[3:]]
            found += [_at_once(cell, graph, model, name) for name in NAMED[2::2]]
    if not quick:
        found += [_wide(rows, graph) for graph in graphs]
        found += [_converges(rows, graph) for graph in graphs]
        found += [_supermask(rows, graph) for graph in graphs]
    return found


def _lost(
    rows: Sequence[Row], graph: str, model: str, sparsity: float, most: float
) -> Finding:
    """Compare the points that the best method by validation loses with the target."""
    validation: dict[str, list[float]] = {}
    for row in rows:
        if row.get("weight_sparsity_target") == sparsity:
            validation.setdefault(row["pruner"], []).append(row["val_score"])
    best = max(validation, key=lambda name: fmean(validation[name]))
    dense = scores(rows, method="Dense", pruner=None)
    found = gap(dense, _pruned(rows, best, sparsity))
    claim, verdict = f"{model}, {sparsity:.0%}: lost, {best[:13]}", found.at_most(most)
    return target(graph, claim, most, found.mean, verdict, found.half)


def _above(rows: Sequence[Row], graph: str, model: str, name: str) -> Finding:
    """Return the gain over magnitude, at the sparsity that validation chooses.

    It is the one of 95 % or more with the largest gain of the validation score.
    """
    gains: dict[float, float] = {}
    for sparsity in SPARSITIES[3:]:
        where = {"weight_sparsity_target": sparsity}
        ours, plain = (
            [row["val_score"] for row in select(rows, {"pruner": it, **where})]
            for it in (name, "Magnitude")
        )
        if ours and plain:  # the quick grid has no rows at 99 %
            gains[sparsity] = fmean(ours) - fmean(plain)
    best = max(gains, key=lambda it: gains[it])
    found = gap(*(_pruned(rows, it, best) for it in (name, "Magnitude")))
    return _gain(graph, f"{model}, {best:.0%}: {name[:13]} - Magn.", found)


def _gain(graph: str, claim: str, found: Gap, source: str = "target") -> Finding:
    """Check that one method is above another."""
    return Finding(
        graph, claim, 0.0, found.mean, found.above(), found.half, source=source
    )


def _at_once(rows: Sequence[Row], graph: str, model: str, name: str) -> Finding:
    """Compare with magnitude right after pruning, before the fine-tuning."""
    ours, plain = (
        {
            row["seed"]: 100 * row["test_score_pruned"]
            for row in select(rows, {"pruner": it, **_TARGET})
        }
        for it in (name, "Magnitude")
    )
    claim = f"{model}, at once: {name[:11]} - M."
    return _gain(graph, claim, gap(ours, plain), "paper")


def _wide(rows: Sequence[Row], graph: str) -> Finding:
    """Compare a pruned wide network with a dense narrow one of the same size."""
    cell = {"dataset": graph, "model": "gcn", "method": "Dense"}
    wide = scores(rows, **cell, hidden_channels=WIDE, pruner="Magnitude")
    narrow = scores(rows, **cell, hidden_channels=NARROW, pruner=None)
    found = gap(wide, narrow)
    return _gain(graph, f"{WIDE} pruned - {NARROW} dense", found, "paper")


def _converges(rows: Sequence[Row], graph: str) -> Finding:
    """Compare the epochs after pruning by magnitude with the median of the others.

    The median is taken over the other methods, seed by seed.
    """
    where: Filter = {
        "dataset": graph,
        "model": "gcn",
        "hidden_channels": None,
        "weight_sparsity_target": SPARSITIES[2],
    }
    ours: dict[int, float] = {}
    others: dict[int, list[float]] = {}
    for row in select(rows, where):
        if "epochs_to_converge" not in row or row["seed"] >= QUICK_SEEDS:
            continue
        if row["pruner"] == "Magnitude":
            ours[row["seed"]] = row["epochs_to_converge"]
        else:
            others.setdefault(row["seed"], []).append(row["epochs_to_converge"])
    found = gap(ours, {seed: median(values) for seed, values in others.items()})
    claim, verdict = "epochs, magnitude - median", found.at_most(0.0)
    return Finding(graph, claim, 0.0, found.mean, verdict, found.half)


def _supermask(rows: Sequence[Row], graph: str) -> Finding:
    """Compare selected untrained weights with all untrained ones, by validation."""
    where = {"dataset": graph, "model": "gcn", "pruner": "Supermask"}
    cell = select(rows, {**where, "weight_sparsity_target": SPARSITIES[0]})
    keys = ("val_score", "val_score_untrained")
    ours, untrained = ({r["seed"]: 100 * r[key] for r in cell} for key in keys)
    found, least = gap(ours, untrained), LEAST_SUPERMASK
    claim, verdict = "supermask - untrained", found.at_least(least)
    return target(graph, claim, least, found.mean, verdict, found.half)


def _pruned(rows: Sequence[Row], name: str, sparsity: float) -> dict[int, float]:
    return scores(rows, pruner=name, weight_sparsity_target=sparsity)
