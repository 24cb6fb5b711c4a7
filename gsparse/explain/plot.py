"""Interactions as pictures: bars with their uncertainty, and a graph."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx

from gsparse.explain.table import Interactions, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOR = "#0072b2"
LONGEST = 24  # characters of a name


def plot_pairs(found: Interactions, path: Path | str, k: int = 15) -> None:
    """Draw the strongest pairs: mean scores, with the interval over the draws.

    Args:
        found: The scores.
        path: The suffix decides the format (``.png``, ``.pdf``, ``.svg``).
        k: How many pairs.

    Raises:
        ModuleNotFoundError: matplotlib is missing; it comes with the ``cli`` extra.
    """
    # Local: matplotlib is an extra, and half a second of import.
    from matplotlib.figure import Figure

    best = found.top(k)
    rows = best.rows()
    names = [
        f"{shorten(row['first'], LONGEST)} x {shorten(row['second'], LONGEST)}"
        for row in rows
    ]
    width = 4.5 + 0.08 * max(map(len, names))
    figure = Figure(figsize=(width, 1.0 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    places = list(range(len(rows)))
    mean = [row["mean"] for row in rows]
    spread = None
    if best.draws.size(0) > 1:
        # The mean of a skewed score may lie outside of its interval.
        low = [max(row["mean"] - row["low"], 0.0) for row in rows]
        high = [max(row["high"] - row["mean"], 0.0) for row in rows]
        spread = [low, high]
    axes.errorbar(mean, places, xerr=spread, fmt="o", color=COLOR, ms=5, capsize=3)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    label = f"{found.score}"
    if spread is not None:
        label += f", mean and {100 * found.level:g} % of {found.draws.size(0)} draws"
    axes.set_xlabel(label)
    _save(figure, Path(path))


def plot_graph(found: Interactions, path: Path | str, k: int = 15) -> None:
    """Draw the units of the strongest pairs, joined by lines as wide as their scores.

    Args:
        found: The scores.
        path: The suffix decides the format.
        k: How many pairs.

    Raises:
        ModuleNotFoundError: matplotlib is missing; it comes with the ``cli`` extra.
    """
    from matplotlib.figure import Figure  # local: an extra

    graph = nx.Graph()
    for row in found.top(k).rows():
        graph.add_edge(row["i"], row["j"], weight=row["mean"])
    names = {unit: shorten(found.name(unit), LONGEST) for unit in graph}
    figure = Figure(figsize=(6.0, 5.0), layout="constrained")
    axes = figure.subplots()
    weights = [graph.edges[edge]["weight"] for edge in graph.edges]
    most = max(weights, default=0.0) or 1.0
    place = nx.circular_layout(graph)
    nx.draw_networkx_edges(
        graph,
        place,
        width=[0.5 + 5.5 * weight / most for weight in weights],
        edge_color=COLOR,
        alpha=0.7,
        ax=axes,
    )
    nx.draw_networkx_nodes(
        graph, place, node_size=220, node_color="white", edgecolors="black", ax=axes
    )
    for unit, (x, y) in place.items():
        side = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
        axes.text(*(1.1 * x, 1.1 * y), names[unit], ha=side, va="center", fontsize=9)
    room = 1.2 + 0.05 * max(map(len, names.values()), default=0)
    axes.set(xlim=(-room, room), ylim=(-1.25, 1.25))
    axes.set_axis_off()
    axes.set_title(f"{found.score}: the strongest of {len(found):,} pairs")
    _save(figure, Path(path))


def _save(figure: "Figure", path: Path) -> None:
    """Write the file beside its place, then rename it."""
    scratch = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(scratch, dpi=150)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
