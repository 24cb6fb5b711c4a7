"""Pruned weights on the citation graphs.

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
from statistics import fmean

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.config import Config
from gsparse.bench.experiment.grid import Task, grid_rows, tasks
from gsparse.bench.findings import Finding
from gsparse.bench.paired import paired_difference, scores, standard_error
from gsparse.bench.tables.rows import Row
from gsparse.train.by_name import weight_methods

CLAIM = "within 0.5 points of dense at 95 %, 1.5 at 98 %"
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
WIDE, NARROW, EQUAL = 64, 4, 0.9375
"""A wide network with so many of its weights gone is as large as the narrow one."""

QUICK_SEEDS, FULL_SEEDS = 3, 10


def runs(quick: bool) -> list[Task]:
    """Cora with GCN, three seeds and four methods; or all, in two stages."""
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
    all_names = [
        name for name in weight_methods() if name != "ADMM"
    ]  # prunes structures
    grid = _cells(all_names, SPARSITIES)
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
    """Both models on all graphs with these pruners."""
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
    """What the best method costs, and what the papers say of theirs.

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
            cell = [
                row
                for row in rows
                if (row["dataset"], row["model"]) == (graph, model)
                and "hidden_channels" not in row
            ]
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
    """Points that the best method loses, chosen by validation."""
    validation: dict[str, list[float]] = {}
    for row in rows:
        if row.get("weight_sparsity_target") == sparsity:
            validation.setdefault(row["pruner"], []).append(row["val_score"])
    best = max(validation, key=lambda name: fmean(validation[name]))
    dense = scores(rows, method="Dense", pruner=None)
    mean, half = paired_difference(dense, _pruned(rows, best, sparsity))
    claim = f"{model}, {sparsity:.0%}: lost, {best[:13]}"
    return Finding(graph, claim, most, mean, mean <= most, half, source="target")


def _above(rows: Sequence[Row], graph: str, model: str, name: str) -> Finding:
    """Points above magnitude where most, at 95 % or more."""
    best: tuple[float, Finding] | None = None
    for sparsity in SPARSITIES[3:]:
        try:
            ours = _pruned(rows, name, sparsity)
            plain = _pruned(rows, "Magnitude", sparsity)
        except ValueError:  # the quick grid has no rows there
            continue
        mean, half = paired_difference(ours, plain)
        error = standard_error({s: ours[s] - plain[s] for s in ours.keys() & plain})
        claim = f"{model}, {sparsity:.0%}: {name[:13]} - Magn."
        finding = Finding(
            graph, claim, round(error, 2), mean, mean > error, half, source="target"
        )
        if best is None or mean - error > best[0]:
            best = mean - error, finding
    assert best is not None
    return best[1]


def _at_once(rows: Sequence[Row], graph: str, model: str, name: str) -> Finding:
    """Points above magnitude right after pruning, before the weights are trained on."""
    found = []
    for pruner in (name, "Magnitude"):
        cell = [row for row in rows if row.get("pruner") == pruner]
        found.append(
            {
                row["seed"]: 100 * row["test_score_pruned"]
                for row in cell
                if row["weight_sparsity_target"] == SPARSITIES[4]
            }
        )
    ours, plain = found
    mean, half = paired_difference(ours, plain)
    error = standard_error({s: ours[s] - plain[s] for s in ours.keys() & plain})
    claim = f"{model}, at once: {name[:11]} - M."
    return Finding(graph, claim, round(error, 2), mean, mean > error, half)


def _wide(rows: Sequence[Row], graph: str) -> Finding:
    """A wide network with most weights gone against a narrow one of the same size."""
    cell = {"dataset": graph, "model": "gcn", "method": "Dense"}
    wide = scores(rows, **cell, hidden_channels=WIDE, pruner="Magnitude")
    narrow = scores(rows, **cell, hidden_channels=NARROW, pruner=None)
    mean, half = paired_difference(wide, narrow)
    claim = f"{WIDE} pruned - {NARROW} dense"
    return Finding(graph, claim, 0.0, mean, mean > 0, half)


def _converges(rows: Sequence[Row], graph: str) -> Finding:
    """Epochs that magnitude-pruned networks need, beside the median of the others."""
    cell = [
        row
        for row in rows
        if (row["dataset"], row["model"]) == (graph, "gcn")
        and row.get("weight_sparsity_target") == SPARSITIES[2]
        and "epochs_to_converge" in row
        and "hidden_channels" not in row
    ]
    epochs: dict[str, list[float]] = {}
    for row in cell:
        if row["seed"] < QUICK_SEEDS:
            epochs.setdefault(row["pruner"], []).append(row["epochs_to_converge"])
    ours = fmean(epochs.pop("Magnitude"))
    others = sorted(fmean(values) for values in epochs.values())
    middle = others[len(others) // 2]
    return Finding(graph, "epochs after magnitude", middle, ours, ours <= middle)


def _supermask(rows: Sequence[Row], graph: str) -> Finding:
    """What chosen but untrained weights score, above untrained ones; by validation."""
    cell = [
        row
        for row in rows
        if (row["dataset"], row["model"], row.get("pruner"))
        == (graph, "gcn", "Supermask")
        and row["weight_sparsity_target"] == SPARSITIES[0]
    ]
    gap = [100 * (row["val_score"] - row["val_score_untrained"]) for row in cell]
    return Finding(
        graph, "supermask - untrained", 20.0, fmean(gap), min(gap) > 20, source="target"
    )


def _pruned(rows: Sequence[Row], name: str, sparsity: float) -> dict[int, float]:
    return scores(rows, pruner=name, weight_sparsity_target=sparsity)
