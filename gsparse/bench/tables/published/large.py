"""Table and plot of graph folders of growing size."""

from collections.abc import Sequence
from pathlib import Path

from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import markdown
from gsparse.bench.tables.plot import save_figure
from gsparse.bench.tables.rows import Row, select
from gsparse.deploy import predict_steps

STYLES = {
    "convert": ("s", "#999999"),
    "RandomEdge": ("v", "#000000"),
    "DSpar": ("o", "#0072B2"),
    "LocalDegree": ("D", "#009E73"),
    "EffectiveResistance": ("^", "#D55E00"),
}
"""Marker and colour of each method; the colours differ for the colour-blind as well."""


def _sizes(rows: Sequence[Row]) -> list[int]:
    return sorted({row["size"] for row in rows})


def _edges(size: int) -> str:
    return f"{size / 1e6:g} M"


def _table(results: Results) -> str:
    """Return the time of an edge and the memory of each method by the size."""
    rows, lines = results("large"), []
    for method in STYLES:
        cells = []
        for size in _sizes(rows):
            (row,) = select(rows, {"method": method, "size": size})
            cells.append(f"{row['edge_ns']:.0f} ns, {row['peak_bytes'] / 1e9:.1f} GB")
        error = row["form_error"]
        cells.append("" if error is None else f"{100 * error:.2f} %")
        lines.append([method, *cells])
    titles = ["", *map(_edges, _sizes(rows)), "error of random cuts, largest graph"]
    return markdown(titles, lines)


def _growth(results: Results) -> str:
    """Say how much longer an edge takes on the largest graph than on the smallest."""
    rows = results("large")
    smallest, *_, largest = _sizes(rows)
    texts = []
    for method in STYLES:
        (small,) = select(rows, {"method": method, "size": smallest})
        (large,) = select(rows, {"method": method, "size": largest})
        texts.append(f"{method} {large['edge_ns'] / small['edge_ns']:.1f}")
    return ", ".join(texts)


def _estimate(_: Results) -> str:
    """Return the predicted cost of ten billion edges."""
    lines = []
    for method in ("DSpar", "EffectiveResistance"):
        steps = predict_steps(500_000_000, 10_000_000_000, method, machines=2)
        hours = sum(step.seconds for step in steps) / 3600
        memory = max(step.memory for step in steps) / 1e9
        files = max(step.disk for step in steps) / 1e12
        cells = [f"{hours:.1f} h", f"{memory:.0f} GB", f"{files:.2f} TB"]
        lines.append([method, *cells])
    titles = ["10 billion edges, 500 million nodes, two machines", "time"]
    return markdown([*titles, "memory of each", "files"], lines)


def plot_large(rows: Sequence[Row], path: Path) -> None:
    """Draw the nanoseconds of an edge against the number of edges.

    Args:
        rows: Rows of the table ``large``.
        path: The suffix decides the format (``.png``, ``.pdf``, ``.svg``).

    Raises:
        ModuleNotFoundError: matplotlib is missing; it comes with the ``cli`` extra.
        ValueError: There are no rows with seconds, or the suffix is unknown.
    """
    # Local: matplotlib is an extra, and half a second of import.
    from matplotlib.figure import Figure

    timed = [row for row in rows if row.get("edge_ns") is not None]
    if not timed:
        raise ValueError("a plot of sizes needs rows with seconds (got none)")
    figure = Figure(figsize=(6.0, 3.6), layout="constrained")
    axes = figure.subplots()
    for method, (marker, color) in STYLES.items():
        mine = sorted(select(timed, {"method": method}), key=lambda row: row["size"])
        places = [row["num_pairs"] for row in mine], [row["edge_ns"] for row in mine]
        axes.plot(*places, marker=marker, color=color)
        if mine:
            at = (places[0][-1], places[1][-1])
            axes.annotate(
                method, at, (8, 0), textcoords="offset points", va="center", color=color
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(right=max(row["num_pairs"] for row in timed) * 12)
    sizes = _sizes(timed)
    axes.set_xticks(sizes, [_edges(size) for size in sizes])
    axes.minorticks_off()
    axes.set_yticks([100, 300, 1000, 3000], ["0.1", "0.3", "1", "3"])
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("undirected edges")
    axes.set_ylabel("microseconds per edge, one core")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    save_figure(figure, path)


BLOCKS: Blocks = {"large": _table, "large-growth": _growth, "large-estimate": _estimate}
