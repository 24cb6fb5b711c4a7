"""Tables of deep GCNs, from ``depth.jsonl``."""

from functools import partial

from gsparse.bench.paired import scores
from gsparse.bench.papers.kedge_depth import BACKBONES
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import Column, GridTable, Line, markdown, points
from gsparse.bench.tables.rows import Filter, select
from gsparse.bench.verdicts import gap

COLUMNS: dict[str, Filter] = {
    "all edges": {"method": "Dense"},
    "DropEdge": {"method": "DropEdge"},
    "KEdge 50 % + DropEdge": {"method": "KEdge", "sparsity": 0.5},
    "RandomEdge 50 % + DropEdge": {"method": "RandomEdge", "sparsity": 0.5},
}


def _scores() -> GridTable:
    lines = [
        Line((name, str(depth)), {"backbone": name, "num_layers": depth})
        for name in BACKBONES
        for depth in (2, 4, 8, 16, 32)
    ]
    columns = [Column(title, where) for title, where in COLUMNS.items()]
    cell = partial(points, seeds=5)
    return GridTable("depth", ("backbone", "layers"), lines, columns, cell=cell)


def _differences(results: Results) -> str:
    """Return what KEdge is above the others, with 95 % intervals and seeds."""
    lines = []
    for depth in (16, 32):
        for name in BACKBONES:
            rows = select(results("depth"), {"backbone": name, "num_layers": depth})
            ours = scores(rows, method="KEdge", sparsity=0.5)
            cells = []
            for method in ("DropEdge", "Dense", "RandomEdge"):
                found = gap(ours, scores(rows, method=method))
                mean, half = _short(found.mean, "+"), _short(found.half)
                cells.append(f"{mean} ± {half} ({found.pairs})")
            lines.append([name, str(depth), *cells])
    titles = ("less DropEdge", "less all edges", "less random edges")
    return markdown(["backbone", "layers", *titles], lines)


def _short(value: float, sign: str = "") -> str:
    """Format points with one decimal, or with none from 9.95 on."""
    return f"{value:{sign}.{0 if abs(value) >= 9.95 else 1}f}"


BLOCKS: Blocks = {"depth-scores": _scores(), "depth-differences": _differences}
