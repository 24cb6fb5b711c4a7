"""Tables of learned edges, from ``kedge.jsonl``."""

from functools import partial
from statistics import fmean

from gsparse.bench.chosen import CHOSEN, chosen
from gsparse.bench.paired import paired_difference, scores
from gsparse.bench.papers import kedge_labels
from gsparse.bench.papers.kedge_graphs import GRAPHS
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import (
    Column,
    GridTable,
    Line,
    markdown,
    percent,
    points,
)
from gsparse.bench.tables.rows import Filter, Row, select

CONTROLS = ("KEdge", "PredictionAgreement", "RandomEdge")
SEARCHED = ("EdgeExchange", *CONTROLS)
OTHERS = (
    *("DSpar", "EffectiveResistance", "Teddy", "FeatureCosine"),
    *("SparseGAT", "PTDNet", "EdgeLottery"),
)
WITH_TEACHER = (
    *("KEdge", "EdgeExchange", "PredictionAgreement", "EdgeGates"),
    *("SparseGAT", "PTDNet", "NeuralSparse"),
)
SPARSITIES = {
    "PubMed": (0.5, 0.8, 0.9, 0.95),
    "Cora": (0.5, 0.8),
    "CiteSeer": (0.5, 0.8),
}
DENSE: Filter = {"method": "Dense", "sparsity": 0.0, "training": "scratch"}
MLP: Filter = {"method": "MLP", "sparsity": 1.0, "model": "mlp", "training": "scratch"}
ALONE: Filter = {"teacher": "none"}


def kedge_rows(results: Results) -> list[Row]:
    """Return the rows of learned edges, and those that validation chose."""
    rows = results("kedge")
    return [*rows, *chosen(rows)]


def method(name: str, edge_terms: bool | None = None) -> Filter:
    """Return the values of a method's rows, with as much of a teacher as it needs."""
    teacher = "edges" if name in WITH_TEACHER else "none"
    return {"method": name, "teacher": teacher, "edge_terms": edge_terms}


def _by_training(graph: str, model: str) -> GridTable:
    """Return the table of all methods on one graph, with all ways of training."""
    lines = [Line((percent(0), "Dense"), {**DENSE, **ALONE}, (3,))]
    for sparsity in SPARSITIES[graph]:
        for name in (*SEARCHED, *(OTHERS if graph == "PubMed" else ())):
            if name != "EdgeLottery" or sparsity == 0.8:
                wanted = {**method(name), "sparsity": sparsity}
                lines.append(Line((percent(sparsity), name), wanted))
    lines.append(Line((percent(1), "MLP"), {**MLP, **ALONE}, (3,)))
    columns = [
        Column(title, {"model": model, "training": training})
        for title, training in (
            ("at rest", "rest"),
            ("fine-tuned", "finetune"),
            ("chosen", CHOSEN),
            ("from scratch", "scratch"),
        )
    ]
    where = {"dataset": graph}
    return GridTable(kedge_rows, ("removed", "method"), lines, columns, where)


def _headline() -> GridTable:
    """Return the table of the README: three graphs, GCN, at rest or fine-tuned."""
    columns: list[Column] = []
    first = []
    for graph, sparsities in SPARSITIES.items():
        first.append(len(columns))
        for sparsity in sparsities:
            name = f"{graph} " if sparsity == sparsities[0] else ""
            wanted = {"dataset": graph, "sparsity": sparsity, "model": "gcn"}
            wanted["training"] = CHOSEN
            columns.append(Column(name + percent(sparsity), wanted))
    lines = [Line((name,), method(name)) for name in SEARCHED]
    lines.append(Line(("Dense (0 %)",), {**DENSE, **ALONE}, tuple(first)))
    lines.append(Line(("MLP (100 %)",), {**MLP, **ALONE}, tuple(first)))
    return GridTable(kedge_rows, ("method",), lines, columns)


def _edge_terms(model: str) -> GridTable:
    """Return the table of learned masks with and without terms of single edges."""
    named = (
        ("KEdge", "features and edge terms", None),
        ("KEdge", "features", False),
        ("EdgeGates", "edge terms", None),
        ("SparseGAT", "features and edge terms", True),
        ("SparseGAT", "features", None),
        ("PTDNet", "features and edge terms", True),
        ("PTDNet", "features", None),
        ("NeuralSparse", "features and edge terms", True),
    )
    lines = [Line((name, what), method(name, has)) for name, what, has in named]
    lines.append(Line(("RandomEdge", ""), method("RandomEdge")))
    where = {"dataset": "PubMed", "model": model, "training": "finetune"}
    columns = [
        Column(percent(sparsity), {"sparsity": sparsity}, _first_three)
        for sparsity in SPARSITIES["PubMed"]
    ]
    columns.append(Column("classes kept, 80 %", {"sparsity": 0.8}, _kept))
    return GridTable(kedge_rows, ("method", "gates from"), lines, columns, where)


def _first_three(rows: list[Row], key: str = "test_score") -> str:
    """Return the score of the seeds that all of these methods have."""
    return points([row for row in rows if row["seed"] < 3], 3, key)


_kept = partial(_first_three, key="predictions_kept")


def _differences(results: Results) -> str:
    """Return what KEdge is above the dense model and two controls, seed by seed."""
    lines, rows = [], kedge_rows(results)
    for model in ("gcn", "gat"):
        for graph, sparsities in SPARSITIES.items():
            here = select(rows, {"dataset": graph, "model": model})
            dense = scores(here, **DENSE, **ALONE)
            for sparsity in sparsities:
                cut = select(here, {"sparsity": sparsity, "training": CHOSEN})
                if not select(cut, method("KEdge")):
                    continue
                ours = scores(cut, **method("KEdge"))
                others = [dense, *(scores(cut, **method(it)) for it in CONTROLS[:0:-1])]
                gaps = [paired_difference(ours, it) for it in others]
                kept = fmean(
                    r["predictions_kept"] for r in select(cut, method("KEdge"))
                )
                name = graph if model == "gcn" else f"{graph} GAT"
                texts = [f"{mean:+.1f} ± {half:.1f}" for mean, half in gaps]
                lines.append([name, percent(sparsity), *texts, f"{100 * kept:.1f} %"])
    titles = ("graph", "removed", "Dense", "RandomEdge", "PredictionAgreement")
    return markdown([*titles, "classes kept"], lines)


def _denser_graphs() -> GridTable:
    """Return the table of five denser graphs, GCN, at rest or fine-tuned."""
    lines = [Line((percent(0), "Dense"), {**DENSE, **ALONE})]
    for sparsity in (0.8, 0.9, 0.95, 0.98):
        for name in ("EdgeExchange", "KEdge", "EffectiveResistance", "RandomEdge"):
            cut = {"sparsity": sparsity, "training": CHOSEN}
            lines.append(Line((percent(sparsity), name), {**method(name), **cut}))
    lines.append(Line((percent(1), "MLP"), {**MLP, **ALONE}))
    columns = [Column(it, {"dataset": it, "model": "gcn"}, _five) for it in GRAPHS]
    return GridTable(kedge_rows, ("removed", "method"), lines, columns)


def _denser_headline(results: Results) -> str:
    """Return what a GCN keeps without 95 % of the edges, and with random ones."""
    rows, texts = kedge_rows(results), []
    for graph in GRAPHS:
        here = select(rows, {"dataset": graph, "model": "gcn", "split": "60-20-20"})
        cut = select(here, {"sparsity": 0.95, "training": CHOSEN})
        ours, random, dense = (
            fmean(scores(found, method=name).values())
            for found, name in (
                (cut, "EdgeExchange"),
                (cut, "RandomEdge"),
                (here, "Dense"),
            )
        )
        texts.append(f"{ours:.1f} of {dense:.1f} on {graph} ({random:.1f})")
    return ", ".join(texts)


_five = partial(points, seeds=5)


def _fits(results: Results) -> str:
    """Return whole fits of masks beside a training of the model."""
    lines = []
    for graph in ("PubMed", "Cora", "CiteSeer", "amherst41", "cornell5"):
        rows = {it["method"]: it for it in select(results("mask_fits"), _of(graph))}
        training = rows["training"]["seconds"]
        lines.append([graph, f"{training:.1f} s"])
        for row in (rows[name] for name in FIXED):
            times = f"{row['seconds']:.1f} s ({row['seconds'] / training:.1f}x)"
            lines[-1].append(f"{100 * row['kept']:.1f} %, {times}")
        for row in (rows[name] for name in KEPT):
            found = f"{100 * row['kept']:.2f} %, {100 * row['sparsity']:.1f} % removed"
            lines[-1].append(f"{found}, {row['seconds']:.1f} s")
    titles = ("graph", "training", "KEdge, 80 % removed", "EdgeExchange, 80 %")
    kept = ("KEdge, keep=0.99", "keep=0.95", "EdgeExchange, keep=0.99", "keep=0.95")
    return markdown((*titles, *kept), lines)


FIXED = ("KEdge, 80% removed", "EdgeExchange, 80% removed")
SHARES = (0.99, 0.95)
KEPT = tuple(f"{it}, keep {k}" for it in ("KEdge", "EdgeExchange") for k in SHARES)


def _short_fits(results: Results) -> str:
    """Return the predictions kept after few epochs, with and without features."""
    rows, lines = results("short_fits"), []
    graphs = ("PubMed", "Cora", "amherst41")
    for name in ("features and edge terms", "edge terms", "features"):
        for graph in graphs:
            found = select(rows, {**_of(graph), "method": name})
            by_epochs = sorted(found, key=lambda row: row["epochs"])
            kept = [f"{100 * it['kept']:.1f}" for it in by_epochs]
            lines.append([graph, name, *kept])
    lines.sort(key=lambda line: graphs.index(line[0]))
    return markdown(["graph", "gates from", "10", "20", "50", "100", "200"], lines)


def _of(graph: str) -> Filter:
    return {"dataset": graph, "model": "gcn"}


def _labels(results: Results) -> str:
    """Return the table of masks and weights from the labels of most nodes."""
    graphs = (kedge_labels.NAMED, *kedge_labels.BESIDE)
    seen = {row["dataset"] for row in results("labels")}
    where: Filter = {"model": "gcn", "teacher": "none"}
    lines = [Line((percent(0), "Dense"), {**where, "method": "Dense"})]
    for name in (*kedge_labels.LEARNED, *kedge_labels.CONTROLS):
        cut = {"method": name, "sparsity": kedge_labels.SPARSITY}
        lines.append(Line((percent(kedge_labels.SPARSITY), name), {**where, **cut}))
    lines.append(Line((percent(1), "MLP"), {"method": "MLP"}))
    columns = [Column(it, {"dataset": it}) for it in graphs if it in seen]
    return GridTable("labels", ("removed", "method"), lines, columns, cell=_five)(
        results
    )


def _labels_only(model: str) -> GridTable:
    learned = ("KEdge", "SparseGAT", "PTDNet", "NeuralSparse")
    lines = [Line((name,), {"method": name, "training": "joint"}) for name in learned]
    lines.append(
        Line(("EdgeLottery",), {"method": "EdgeLottery", "training": "scratch"})
    )
    wanted = {"method": "RandomEdge", "training": "scratch"}
    lines.append(Line(("RandomEdge, from scratch",), wanted))
    where = {"dataset": "PubMed", "model": model, "sparsity": 0.8, "teacher": "none"}
    return GridTable("kedge", ("method",), lines, [Column("test")], where)


def _distilled(model: str) -> GridTable:
    lines = [Line((percent(0), "Dense"), DENSE)]
    lines += [
        Line((percent(sparsity), name), {"method": name, "sparsity": sparsity})
        for sparsity in (0.8, 0.95)
        for name in ("KEdge", "RandomEdge")
    ]
    lines.append(Line((percent(1), "MLP"), {**MLP, "teacher_model": model}))
    where = {"dataset": "PubMed", "teacher": "weights"}
    column = Column("test", {"model": model}, partial(points, seeds=10))
    return GridTable("kedge", ("removed", "method"), lines, [column], where)


def _sentence(results: Results) -> str:
    """Return the table of masks learned from labels alone as a list, for GAT."""
    lines = _labels_only("gat")(results).split("\n")[2:]
    return ", ".join(" ".join(line.strip("| ").split(" | ")) for line in lines)


BLOCKS: Blocks = {
    "kedge-labels": _labels,
    "kedge-labels-only-gat": _sentence,
    "kedge-headline": _headline(),
    **{
        f"kedge-{graph.lower()}-{model}": _by_training(graph, model)
        for graph in SPARSITIES
        for model in ("gcn", "gat")
    },
    "kedge-edge-terms": _edge_terms("gcn"),
    "kedge-differences": _differences,
    "kedge-kept": _fits,
    "kedge-short-fits": _short_fits,
    "kedge-denser-headline": _denser_headline,
    "kedge-denser-graphs": _denser_graphs(),
    "kedge-labels-only": _labels_only("gcn"),
    "kedge-distilled": _distilled("gcn"),
    "kedge-distilled-gat": _distilled("gat"),
}
