"""Tables of pruned weights, from ``prune.jsonl``."""

from functools import partial
from itertools import product
from statistics import fmean

from gsparse.bench.paired import paired_difference
from gsparse.bench.papers.prune_citation import GRAPHS, MODELS, NAMED, SPARSITIES
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import (
    Column,
    GridTable,
    Line,
    markdown,
    percent,
    points,
)
from gsparse.bench.tables.rows import Filter, select

WHEN = {
    "after": (
        *("Magnitude", "Magnitude+U", "MagnitudeLoss", "LossPreservation"),
        *("GradientPreservation", "GradientNorm", "Wanda", "OptimalBrainDamage"),
        *("OptimalBrainSurgeon", "WoodFisher", "CombinatorialBrainSurgeon"),
    ),
    "while": ("GradualThreshold", "AutoPrune", "ProbMask"),
    "first": ("WeightLottery", "SNIP", "GraSP", "SynFlow"),
}
"""The pruners by the weights that they prune: trained ones, while training, fresh ones;
the baseline stands last."""
NARROW: Filter = {"hidden_channels": None}
SHORT = {"CombinatorialBrainSurgeon": "CBS"}


def _target(sparsity: float) -> Filter:
    return {"weight_sparsity_target": sparsity}


def _headline() -> GridTable:
    lines = [
        Line((graph, model.upper()), {"dataset": graph, "model": model})
        for model, graph in product(MODELS, GRAPHS)
    ]
    columns = [Column("Dense", {"pruner": None})]
    for name in ("Magnitude", "CombinatorialBrainSurgeon", "ProbMask", "RandomWeight"):
        for sparsity in (0.95, 0.98):
            title = percent(sparsity)
            title = title if sparsity > 0.95 else f"{SHORT.get(name, name)} {title}"
            columns.append(Column(title, {"pruner": name, **_target(sparsity)}))
    return GridTable("prune", ("graph", "model"), lines, columns, NARROW)


def _at_once(model: str) -> GridTable:
    lines = [
        Line((graph, percent(sparsity)), {"dataset": graph, **_target(sparsity)})
        for graph in GRAPHS
        for sparsity in (0.95, 0.98)
    ]
    order = ("Magnitude", "Magnitude+U", "CombinatorialBrainSurgeon", "ProbMask")
    columns = [Column(it, {"pruner": it}) for it in (*order, "RandomWeight")]
    assert {*order, "RandomWeight"} == set(NAMED)
    where = {**NARROW, "model": model}
    cell = partial(points, seeds=3, key="test_score_pruned")
    return GridTable("prune", ("graph", "pruned"), lines, columns, where, cell)


def _trained_on(graph: str, model: str) -> GridTable:
    lines = [
        Line((when, name), {"pruner": name})
        for when, names in (*WHEN.items(), ("after", ("RandomWeight",)))
        for name in names
    ]
    columns = [Column(percent(sparsity), _target(sparsity)) for sparsity in SPARSITIES]
    where = {**NARROW, "dataset": graph, "model": model}
    cell = partial(points, seeds=3)
    return GridTable("prune", ("pruned", "method"), lines, columns, where, cell)


def _with_baselines(results: Results, graph: str, model: str) -> str:
    """Return the table with two lines for the dense model and the MLP."""
    here = select(results("prune"), {**NARROW, "dataset": graph, "pruner": None})
    wanted = {"Dense, 0 %": model, "MLP, no edges": "mlp"}
    texts = {name: points(select(here, {"model": m}), 3) for name, m in wanted.items()}
    lines = [f"|  | {name}: {text} |" + " |" * 6 for name, text in texts.items()]
    head, rule, *rest = _trained_on(graph, model)(results).split("\n")
    return "\n".join([head, rule, *lines, *rest])


def _supermasks() -> GridTable:
    lines = [
        Line((graph, model.upper()), {"dataset": graph, "model": model})
        for model, graph in product(MODELS, GRAPHS)
    ]
    columns = [Column(percent(sparsity), _target(sparsity)) for sparsity in SPARSITIES]
    for title, key in (
        ("validation, 50 %", "val_score"),
        ("untrained", "val_score_untrained"),
    ):
        cell = partial(points, seeds=3, key=key)
        columns.append(Column(title, _target(0.5), cell))
    where = {**NARROW, "pruner": "Supermask"}
    cell = partial(points, seeds=3)
    return GridTable("prune", ("graph", "model"), lines, columns, where, cell)


def _mlps(results: Results) -> str:
    """Return the scores of the MLPs in a sentence."""
    rows = select(results("prune"), {**NARROW, "model": "mlp"})
    *front, last = (points(select(rows, {"dataset": it}), None) for it in GRAPHS)
    return f"{', '.join(front)} and {last}"


def _kept(results: Results, model: str, sparsity: float) -> str:
    """Return what the best pruner by validation keeps of the dense scores.

    It is chosen for each graph, among the methods with ten seeds.
    """
    rows = select(results("prune"), {**NARROW, "model": model})
    texts = []
    for graph in GRAPHS:
        here = select(rows, {"dataset": graph})
        cut = {it: select(here, {"pruner": it, **_target(sparsity)}) for it in NAMED}
        best = max(NAMED, key=lambda it: fmean(row["val_score"] for row in cut[it]))
        means = (points(it, None) for it in (cut[best], select(here, {"pruner": None})))
        ours, dense = (text.partition(" ")[0] for text in means)
        texts.append(f"{ours} of {dense} ({SHORT.get(best, best)})")
    return ", ".join(texts)


def _above_magnitude(results: Results) -> str:
    """Return differences from magnitude, seed by seed, with 95 % intervals."""
    rows, lines = select(results("prune"), NARROW), []
    for name in ("CombinatorialBrainSurgeon", "ProbMask", "Magnitude+U"):
        for when, key in (("before", "test_score_pruned"), ("after", "test_score")):
            for sparsity in (0.95, 0.98):
                cells = []
                for model, graph in product(MODELS, GRAPHS):
                    where = {"dataset": graph, "model": model, **_target(sparsity)}
                    ours, plain = (
                        {r["seed"]: 100 * r[key] for r in select(rows, {**where, **it})}
                        for it in ({"pruner": name}, {"pruner": "Magnitude"})
                    )
                    mean, half = paired_difference(ours, plain)
                    cells.append(f"{mean:+.1f} ± {half:.1f}")
                lines.append([SHORT.get(name, name), when, percent(sparsity), *cells])
    graphs = (f"{graph} {model.upper()}" for model, graph in product(MODELS, GRAPHS))
    return markdown(("method", "fine-tuning", "pruned", *graphs), lines)


def _epoch_ratios(results: Results) -> str:
    """Return how many times as long an epoch of ProbMask takes as a plain one."""
    seconds = {
        (row["dataset"], row["model"], row["method"]): row["train_epoch_seconds"]
        for row in results("training_steps")
    }
    return ", ".join(
        f"{value / seconds[graph, model, 'whole']:.1f} ({graph} {model.upper()})"
        for (graph, model, method), value in seconds.items()
        if method == "ProbMask"
    )


BLOCKS: Blocks = {
    "prune-epoch-ratios": _epoch_ratios,
    "prune-above-magnitude": _above_magnitude,
    "prune-kept-gcn": partial(_kept, model="gcn", sparsity=0.95),
    "prune-kept-gat": partial(_kept, model="gat", sparsity=0.98),
    "prune-headline": _headline(),
    "prune-mlps": _mlps,
    "prune-supermasks": _supermasks(),
    **{f"prune-at-once-{model}": _at_once(model) for model in MODELS},
    **{
        f"prune-{graph.lower()}-{model}": partial(
            _with_baselines, graph=graph, model=model
        )
        for graph, model in product(GRAPHS, MODELS)
    },
}
