"""Tables of deep GCNs, from ``depth.jsonl``."""

from functools import partial
from itertools import product

from gsparse.bench.paired import scores
from gsparse.bench.papers.kedge_depth import (
    BACKBONES,
    DATASET,
    DEEP,
    DROP_LEFT,
    PLAINER,
    REST_CUTS,
    REST_GRAPHS,
    RESTED,
    RESTING,
    SHALLOW,
)
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import Column, GridTable, Line, markdown, points
from gsparse.bench.tables.rows import Filter, select
from gsparse.bench.verdicts import gap

COLUMNS: dict[str, Filter] = {
    "all edges": {"method": "Dense"},
    "DropEdge": {"method": "DropEdge"},
    "KEdge 50 % + DropEdge": {"method": "KEdge", "sparsity": 0.5},
    "RandomEdge 50 % + DropEdge": {
        "method": "RandomEdge",
        "sparsity": 0.5,
        "drop_edge": DROP_LEFT,
    },
}

REST_COLUMNS: dict[str, Filter] = {
    "all edges": {"method": "Dense"},
    "DropEdge": {"method": "DropEdge"},
    **{
        f"{method} {cut:.0%}".replace("%", " %"): {
            "method": method,
            "sparsity": cut,
            "training": "rest",
        }
        for cut, method in product(REST_CUTS, RESTED)
    },
}


def _scores() -> GridTable:
    lines = [
        Line((name, str(depth)), _cell(DATASET, name, depth))
        for name in BACKBONES
        for depth in (2, 4, 8, 16, 32)
    ]
    columns = [Column(title, where) for title, where in COLUMNS.items()]
    cell = partial(points, seeds=5)
    return GridTable("depth", ("backbone", "layers"), lines, columns, cell=cell)


def _rested(results: Results) -> str:
    """Return the table of deep weights that stay as they are on few edges."""
    seen = {row["dataset"] for row in select(results("depth"), {"training": "rest"})}
    cells: list[tuple[str, str, int]] = [(it, SHALLOW, 2) for it in REST_GRAPHS]
    cells += product(REST_GRAPHS, [RESTING], DEEP)
    cells += product([DATASET], [PLAINER], DEEP)
    lines = [Line((*it[:2], str(it[2])), _cell(*it)) for it in cells if it[0] in seen]
    columns = [Column(title, where) for title, where in REST_COLUMNS.items()]
    cell = partial(points, seeds=5)
    labels = ("graph", "backbone", "layers")
    return GridTable("depth", labels, lines, columns, cell=cell)(results)


def _cell(graph: str, backbone: str, depth: int) -> Filter:
    return {"dataset": graph, "backbone": backbone, "num_layers": depth}


def _differences(results: Results) -> str:
    """Return what KEdge is above the others, with 95 % intervals and seeds."""
    lines = []
    for depth in (16, 32):
        for name in BACKBONES:
            rows = select(results("depth"), _cell(DATASET, name, depth))
            ours = scores(rows, method="KEdge", sparsity=0.5)
            cells = []
            for title in ("DropEdge", "all edges", "RandomEdge 50 % + DropEdge"):
                found = gap(ours, scores(rows, **COLUMNS[title]))
                mean, half = _short(found.mean, "+"), _short(found.half)
                cells.append(f"{mean} ± {half} ({found.pairs})")
            lines.append([name, str(depth), *cells])
    titles = ("less DropEdge", "less all edges", "less random edges")
    return markdown(["backbone", "layers", *titles], lines)


def _short(value: float, sign: str = "") -> str:
    """Format points with one decimal, or with none from 9.95 on."""
    return f"{value:{sign}.{0 if abs(value) >= 9.95 else 1}f}"


BLOCKS: Blocks = {
    "depth-scores": _scores(),
    "depth-differences": _differences,
    "depth-rest": _rested,
}
