"""The decision table of the documents: what to do with the edges of each graph."""

from itertools import product
from statistics import fmean

from gsparse.bench.chosen import CHOSEN
from gsparse.bench.kept import SEARCH
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import markdown
from gsparse.bench.tables.published.kedge import kedge_rows
from gsparse.bench.tables.rows import Filter, Row, select

SPARSITY = 0.8
MOST_LOST = 0.01
"""Validation score that may be lost."""

TRANSFORMS = ("EffectiveResistance", "DSpar", "RandomEdge")
GRAPHS = {
    "public": ("PubMed", "Cora", "CiteSeer"),
    "60-20-20": ("Physics", "Computers", "GitHub", "tolokers", "cornell5"),
}


def _table(results: Results) -> str:
    """Return the test scores with 80 % removed, and the advice of validation."""
    lines = []
    for split, graphs in GRAPHS.items():
        for graph, model in product(graphs, ("gcn", "gat")):
            lines.append(_line(results, split, graph, model))
    titles = ("all edges", "MLP", "resistance", "DSpar", "random", "searched")
    return markdown(["graph", "model", *titles, "take"], lines)


def _line(results: Results, split: str, graph: str, model: str) -> list[str]:
    place: Filter = {"dataset": graph, "split": split}
    rows, mine = select(results("fastgat"), place), {"model": model}
    found = {"Dense": select(rows, {**mine, "method": "Dense"})}
    found["MLP"] = select(rows, {"method": "MLP"})
    cut: Filter = {**mine, "sparsity": SPARSITY}
    for name in TRANSFORMS:
        weighs = None if name == "RandomEdge" else model == "gcn"
        found[name] = select(rows, {**cut, "method": name, "reweight": weighs})
    wanted: Filter = {**place, **cut, "method": SEARCH, "training": CHOSEN}
    found[SEARCH] = select(kedge_rows(results), wanted)
    cells = [_mean(rows) for rows in found.values()]
    return [graph, model.upper(), *cells, advice(_validation(found))]


def advice(validation: dict[str, float]) -> str:
    """Return what to take, by the mean validation scores of the methods.

    The order is that of cost: no graph, random edges, DSpar, resistances, a search with
    a trained model; the first that loses at most a point is taken.

    Example:
        >>> advice({"Dense": 0.80, "MLP": 0.73, "RandomEdge": 0.76, "DSpar": 0.799})
        '`DSpar`'
        >>> advice({"Dense": 0.80, "MLP": 0.81, "RandomEdge": 0.76})
        'an MLP'
        >>> advice({"Dense": 0.80, "MLP": 0.73, "RandomEdge": 0.76})
        'cut less'
    """
    cheapest = ("MLP", "RandomEdge", "DSpar", "EffectiveResistance", SEARCH)
    for name in cheapest:
        if validation.get(name, 0.0) >= validation["Dense"] - MOST_LOST:
            return "an MLP" if name == "MLP" else f"`{name}`"
    return "cut less"


def _validation(found: dict[str, list[Row]]) -> dict[str, float]:
    """Return the mean validation scores of methods, over the seeds that all have."""
    found = {name: rows for name, rows in found.items() if rows}
    shared = set.intersection(*({it["seed"] for it in rows} for rows in found.values()))
    return {
        name: fmean(row["val_score"] for row in rows if row["seed"] in shared)
        for name, rows in found.items()
    }


def _mean(rows: list[Row]) -> str:
    return f"{100 * fmean(row['test_score'] for row in rows):.1f}" if rows else ""


BLOCKS: Blocks = {"choose-edges": _table}
