"""`"Learning Global Pairwise Interactions with Bayesian Neural Networks"
<https://arxiv.org/abs/1901.08361>`_: which features work only together.

The paper's numbers could not be obtained, so the targets are ours. Interactions are
planted: on rows without a graph, where one of three changes its sign, and on a graph,
where labels depend on the product of two aggregated features, and more strongly on two
other features alone. The baseline is first-order saliency; that of a pair is the
product of both. Test nodes are not used.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.bench.experiment.grid import Task
from gsparse.bench.experiment.plan import PlanPart
from gsparse.bench.findings import Finding, target
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row, read_rows, select
from gsparse.bench.verdicts import exact, gap
from gsparse.data import load, planted_partition, split
from gsparse.explain import BayesianGCN, BayesianMLP, interactions, saliency
from gsparse.explain.groups import Groups
from gsparse.explain.propagate import propagated
from gsparse.train import FitConfig, fit
from gsparse.train.fit import seeded

CLAIM = "planted pairs found, and first on graphs; 500 features within 10 minutes"
DATA, MINUTES = "planted graphs and rows, PubMed", (2, 15)
TABLE, REVISION = "interactions", 1
QUICK_SEEDS, FULL_SEEDS, ROWS_SEEDS = 2, 10, 5
PLANTED = ((0, 1), (2, 3), (4, 5))
SCORES: dict[str, Groups] = {"AEH": 1, "GEH": 8, "EAH": "each"}
DRAWS = 20

LEAST_FOUND = 2.7  # of the three, on average
LEAST_FIRST = 0.9  # of the seeds
MOST_MINUTES = 10.0

SECONDS = {"planted graph": 2.0, "planted rows": 3.5, "PubMed": 110.0}
"""Seconds of a measurement with one thread of a Xeon."""

CONFIG = FitConfig(lr=0.01, weight_decay=0.0, epochs=600, patience=200)


def runs(quick: bool) -> list[Task]:
    """Return no runs of the common grid; :func:`findings` measures what is missing."""
    return []


def plan(out: Path, quick: bool) -> list[PlanPart]:
    """Predict the time of the measurements that :func:`findings` still has to make.

    Args:
        out: Folder of ``interactions.jsonl``.
        quick: As for :func:`findings`.
    """
    path = out / f"{TABLE}.jsonl"
    rows = read_rows(path) if path.exists() else []
    wanted = {"planted graph": QUICK_SEEDS if quick else FULL_SEEDS}
    wanted["planted rows"] = QUICK_SEEDS if quick else ROWS_SEEDS
    wanted["PubMed"] = 0 if quick else 1
    found = []
    for dataset, count in wanted.items():
        where = {"dataset": dataset, "revision": REVISION}
        done = {row["seed"] for row in select(rows, where)}
        left = len(set(range(count)) - done)
        if left:
            names = dataset, "", "bayesian", "GEH"
            found.append(PlanPart(*names, left, SECONDS[dataset], "measured"))
    return found


def planted_rows(seed: int, num_rows: int = 5000, num_features: int = 12) -> Data:
    """Return rows whose label depends on the pairs of :data:`PLANTED`.

    The label also depends on two single features. The third pair is
    :math:`(x_4^2 - 1) x_5`, an interaction of mean 0.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_rows, num_features, generator=generator)
    score = x[:, 0] * x[:, 1] - x[:, 2] * x[:, 3] + (x[:, 4] ** 2 - 1) * x[:, 5]
    score = score + x[:, 6] + x[:, 7].sin()
    chance = torch.sigmoid(3 * score)
    y = (torch.rand(num_rows, generator=generator) < chance).long()
    return split(Data(x=x, y=y), "60-20-20", seed)


def planted_graph(seed: int, num_nodes: int = 1000, num_features: int = 12) -> Data:
    r"""Return a planted partition whose labels depend on a product of features.

    They depend on :math:`(\hat{A}x)_0 (\hat{A}x)_1`, and on :math:`(\hat{A}x)_2` and
    :math:`(\hat{A}x)_3` alone.
    """
    data = planted_partition(num_nodes, 2, 4.0, 0.8, num_features, seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(num_nodes, num_features, generator=generator)
    seen = propagated(x, data.edge_index)
    seen = seen / seen.std(0)
    score = 2 * seen[:, 0] * seen[:, 1] + 0.7 * (seen[:, 2] + seen[:, 3])
    chance = torch.sigmoid(3 * score)
    y = (torch.rand(num_nodes, generator=generator) < chance).long()
    return split(Data(x=x, edge_index=data.edge_index, y=y), "60-20-20", seed)


def fitted(data: Data, seed: int, hidden: int = 32) -> BayesianMLP | BayesianGCN:
    """Return a network with concrete dropout, fitted to the training nodes."""
    kind = BayesianMLP if data.edge_index is None else BayesianGCN
    classes, num_train = int(data.y.max()) + 1, int(data.train_mask.sum())
    with seeded(seed):
        model = kind(data.x.size(1), hidden, classes, num_train)
    fit(model, data, config=CONFIG, seed=seed)
    return model


def measure_rows(seed: int) -> list[Row]:
    """Count the planted pairs among the three strongest, by each score."""
    data = planted_rows(seed)
    model, num_pairs = fitted(data, seed), data.x.size(1) * (data.x.size(1) - 1) // 2
    options: dict[str, Any] = {"draws": DRAWS, "nodes": data.val_mask, "seed": seed}
    ranks = {}
    for name, groups in SCORES.items():
        found = interactions(model, data, groups=groups, **options)
        ranks[name] = [found.rank(*pair) for pair in PLANTED]
    alone = saliency(model, data, **options)
    ranks["Saliency"] = [saliency_rank(alone, *pair) for pair in PLANTED]
    return [
        _row(
            "planted rows",
            name,
            seed,
            found=sum(rank <= len(PLANTED) for rank in places),
            worst_rank=max(places),
            num_pairs=num_pairs,
        )
        for name, places in ranks.items()
    ]


def measure_graph(seed: int) -> list[Row]:
    """Return the rank of the planted pair, by our score and by saliencies."""
    data = planted_graph(seed)
    model = fitted(data, seed)
    found = interactions(model, data, draws=DRAWS, seed=seed)
    alone = saliency(model, data, draws=DRAWS, seed=seed)
    ranks = {"GEH": found.rank(0, 1), "Saliency": saliency_rank(alone, 0, 1)}
    return [
        _row("planted graph", name, seed, rank=rank, num_pairs=len(found))
        for name, rank in ranks.items()
    ]


def measure_pubmed(seed: int, root: Path | None = None) -> list[Row]:
    """Return the seconds to score all pairs of PubMed's 500 features."""
    data = load("PubMed", root, split="public", sparse_features=True)
    start = perf_counter()
    model = fitted(data, seed, hidden=16)
    trained = perf_counter()
    found = interactions(model, data, draws=DRAWS, seed=seed, progress=True)
    return [
        _row(
            "PubMed",
            "GEH",
            seed,
            seconds=perf_counter() - trained,
            train_seconds=trained - start,
            num_draws=DRAWS,
            num_groups=8,
            num_pairs=len(found),
        )
    ]


def saliency_rank(alone: Tensor, i: int, j: int) -> int:
    """Return the rank of a pair by the product of both saliencies, from 1."""
    pairs = combinations(range(len(alone)), 2)
    return 1 + sum(bool(alone[a] * alone[b] > alone[i] * alone[j]) for a, b in pairs)


def findings(out: Path, quick: bool, root: Path | None = None) -> list[Finding]:
    """Compare measurements with the targets; measure what has no row yet.

    Args:
        out: Folder of ``interactions.jsonl``.
        quick: Two seeds; or ten on graphs, five without them, and PubMed.
        root: Folder of the datasets.
    """
    path = out / f"{TABLE}.jsonl"
    seeds, rows_seeds = (
        range(QUICK_SEEDS if quick else it) for it in (FULL_SEEDS, ROWS_SEEDS)
    )
    found = _graph(_measured(path, "planted graph", seeds, measure_graph))
    found.append(_planted(_measured(path, "planted rows", rows_seeds, measure_rows)))
    if not quick:
        rows = _measured(path, "PubMed", [0], lambda seed: measure_pubmed(seed, root))
        minutes = rows[0]["seconds"] / 60
        claim, verdict = (
            f"minutes, {rows[0]['num_pairs']:,} pairs",
            exact(minutes <= MOST_MINUTES),
        )
        found.append(target("PubMed", claim, MOST_MINUTES, minutes, verdict))
    return found


def _measured(
    path: Path, dataset: str, seeds: Sequence[int], measure: Callable[[int], list[Row]]
) -> list[Row]:
    """Return the rows of a dataset; measure the seeds that have none."""
    found = []
    for seed in seeds:
        where = {"dataset": dataset, "seed": seed, "revision": REVISION}
        mine = select(read_rows(path) if path.exists() else [], where)
        if not mine:
            mine = measure(seed)
            append_rows(path, mine)
        found += mine
    return found


def _planted(rows: Sequence[Row]) -> Finding:
    found = gap(_by_seed(rows, "GEH", "found"), 0.0)
    claim, verdict = "of 3 pairs in the top 3", found.at_least(LEAST_FOUND)
    return target("rows", claim, LEAST_FOUND, found.mean, verdict, found.half)


def _graph(rows: Sequence[Row]) -> list[Finding]:
    ours, theirs = (_by_seed(rows, it, "rank") for it in ("GEH", "Saliency"))
    wanted, first = LEAST_FIRST * len(ours), sum(it == 1 for it in ours.values())
    claim, ahead = f"first, in {len(ours)} seeds", gap(theirs, ours)
    above, mean = "ranks ahead of saliency", ahead.mean
    return [
        target("graph", claim, wanted, first, exact(first >= wanted)),
        target("graph", above, 0.0, mean, ahead.above(), ahead.half),
    ]


def _by_seed(rows: Sequence[Row], method: str, key: str) -> dict[int, float]:
    return {row["seed"]: row[key] for row in select(rows, {"method": method})}


def _row(dataset: str, method: str, seed: int, **found: Any) -> Row:  # noqa: ANN401
    settings: Row = {"seed": seed, "revision": REVISION}
    return measurement(TABLE, dataset, method, settings, **found)
