"""Tables of pruned weights, from ``prune.jsonl``."""

from functools import partial
from itertools import product

from gsparse.bench.papers.prune_citation import GRAPHS, MODELS, NAMED, SPARSITIES
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import Column, GridTable, Line, percent, points
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


def _kept(results: Results, model: str, pruner: str, sparsity: float) -> str:
    """Return what a pruner keeps of the dense scores on the three graphs."""
    rows = select(results("prune"), {**NARROW, "model": model})
    texts = []
    for graph in GRAPHS:
        here = select(rows, {"dataset": graph})
        pruned = select(here, {"pruner": pruner, **_target(sparsity)})
        means = (points(it, None) for it in (pruned, select(here, {"pruner": None})))
        ours, dense = (text.partition(" ")[0] for text in means)
        texts.append(f"{ours} of {dense}")
    return ", ".join(texts)


BLOCKS: Blocks = {
    "prune-kept-gcn": partial(
        _kept, model="gcn", pruner="CombinatorialBrainSurgeon", sparsity=0.95
    ),
    "prune-kept-gat": partial(_kept, model="gat", pruner="Magnitude", sparsity=0.98),
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
