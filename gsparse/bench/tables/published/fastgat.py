"""Tables of edges chosen by resistance, from ``fastgat.jsonl`` and others."""

from functools import partial
from itertools import product
from statistics import fmean

from gsparse.bench.papers.fastgat import SPARSITY, SPLIT
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

METHODS = ("EffectiveResistance", "DSpar", "RandomEdge")
DENSE_GRAPHS = ("Physics", "Computers", "GitHub", "tolokers", "cornell5")
FIRST_SEEDS = 5  # those of the tables of denser graphs


def _first_seeds(rows: list[Row], num: int = FIRST_SEEDS) -> str:
    return points([row for row in rows if row["seed"] < num], num)


def _lines(
    cut: list[tuple[float, str]], mlp_in: tuple[int, ...] | None = None
) -> list[Line]:
    """Return a line for Dense, for every sparsity and method, and for the MLP."""
    dense: Filter = {"method": "Dense", "sparsity": 0.0, "reweight": None}
    mlp: Filter = {"method": "MLP", "model": "mlp", "reweight": None}
    lines = [Line((percent(0), "Dense"), dense)]
    for sparsity, name in cut:
        wanted: dict[str, object] = {"method": name, "sparsity": sparsity}
        if name == "RandomEdge":
            wanted["reweight"] = None
        lines.append(Line((percent(sparsity), name), wanted))
    return [*lines, Line((percent(1), "MLP"), mlp, mlp_in)]


def _citation() -> GridTable:
    columns = [
        Column(
            f"{graph} {model.upper()}",
            {"dataset": graph, "model": model, "reweight": model == "gcn"},
        )
        for graph, model in product(("PubMed", "Cora", "CiteSeer"), ("gcn", "gat"))
    ]
    lines = _lines(list(product((0.5, 0.8), METHODS)), mlp_in=(0, 2, 4))
    where = {"split": "public"}
    return GridTable("fastgat", ("removed", "method"), lines, columns, where)


def _converged() -> GridTable:
    """Return the table of GCN on citation graphs, trained until scores stop rising."""
    graphs = ("PubMed", "Cora", "CiteSeer")
    columns = [Column(it, {"dataset": it, "model": "gcn"}) for it in graphs]
    lines = _lines(list(product((0.5, 0.8), METHODS)), mlp_in=(0, 1, 2))
    return GridTable("converged", ("removed", "method"), lines, columns)


def _dense_graphs(model: str) -> GridTable:
    columns = [
        Column(graph, {"dataset": graph, "model": model, "reweight": model == "gcn"})
        for graph in DENSE_GRAPHS
    ]
    cut = list(product((0.5, 0.8, 0.9), METHODS))
    if model == "gat":
        cut.remove((0.5, "DSpar"))
    else:
        cut = [it for it in cut if it[0] > 0.5]
    return GridTable(
        "fastgat",
        ("removed", "method"),
        _lines(cut),
        columns,
        {"split": "60-20-20"},
        _first_seeds,
    )


def _half_points(results: Results) -> str:
    """Return the validation points that each cut loses, and the cut that is taken."""
    lines, wanted = [], {"model": "gat", "split": SPLIT}
    for graph, taken in SPARSITY.items():
        rows = select(results("cut"), {**wanted, "dataset": graph})
        dense = _validation(rows, 0.0)
        texts = [
            f"{percent(it)}: {fmean(dense[s] - v for s, v in cut.items()):.1f}"
            for it in (0.3, 0.5, 0.8)
            if (cut := _validation(rows, it))
        ]
        lines.append([graph, ", ".join(texts), percent(taken)])
    return markdown(("graph", "validation points lost", "taken"), lines)


def _validation(rows: list[Row], sparsity: float) -> dict[int, float]:
    wanted: Filter = {"sparsity": sparsity}
    if sparsity == 0.0:
        wanted = {"method": "Dense"}
    return {it["seed"]: 100 * it["val_score"] for it in select(rows, wanted)}


def _inductive() -> GridTable:
    columns = [
        Column(model.upper(), {"model": model, "reweight": model == "gcn"})
        for model in ("gat", "gcn")
    ]
    lines = _lines(list(product((0.8, 0.9), METHODS[::2])), mlp_in=(0,))
    cell = partial(points, seeds=5)
    return GridTable("inductive", ("removed", "method"), lines, columns, cell=cell)


def _reweighting() -> GridTable:
    lines = [
        Line((graph, name), {"dataset": graph, "method": name})
        for graph, name in product(("PubMed", "Computers"), METHODS[:2])
    ]

    def cell(rows: list[Row], key: str) -> str:
        return points([row for row in rows if row["seed"] < 3], 3, key)

    columns = [
        Column(title, {"reweight": used}, partial(cell, key=key))
        for title, used, key in (
            ("ignored: validation", False, "val_score"),
            ("test", False, "test_score"),
            ("used: validation", True, "val_score"),
            ("test", True, "test_score"),
        )
    ]
    where = {"model": "gat", "sparsity": 0.8}
    return GridTable("fastgat", ("graph", "method"), lines, columns, where)


BLOCKS: Blocks = {
    "fastgat-citation": _citation(),
    "fastgat-converged": _converged(),
    "fastgat-dense-gat": _dense_graphs("gat"),
    "fastgat-dense-gcn": _dense_graphs("gcn"),
    "fastgat-half-points": _half_points,
    "fastgat-inductive": _inductive(),
    "fastgat-reweighting": _reweighting(),
}
