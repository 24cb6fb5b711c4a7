"""Plot interactions with their intervals, or as a graph."""

from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx

from gsparse.data.places import replacing
from gsparse.explain.table import Interactions, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOR = "#0072b2"
LONGEST = 24  # maximum number of characters of a name


def plot_pairs(found: Interactions, path: Path | str, k: int = 15) -> None:
    """Plot the mean importances of the strongest pairs with their intervals.

    Args:
        found: Result of :func:`interactions`.
        path: Path of the image; the suffix determines the format (``.png``, ``.pdf``,
            ``.svg``).
        k: Number of pairs.

    Raises:
        ModuleNotFoundError: If matplotlib (in the ``cli`` extra) is missing.
    """
    from matplotlib.figure import Figure  # optional, and slow to import

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
        # The mean of a skewed distribution may be outside of the interval.
        low = [max(row["mean"] - row["low"], 0.0) for row in rows]
        high = [max(row["high"] - row["mean"], 0.0) for row in rows]
        spread = [low, high]
    axes.errorbar(mean, places, xerr=spread, fmt="o", color=COLOR, ms=5, capsize=3)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    label = found.score
    if spread is not None:
        label += f", mean and {100 * found.level:g} % of {found.draws.size(0)} draws"
    axes.set(xlabel=label, xlim=(0, None), axisbelow=True)
    _save(figure, Path(path))


def plot_graph(found: Interactions, path: Path | str, k: int = 15) -> None:
    """Plot the strongest pairs as a graph whose line widths are the importances.

    Args:
        found: Result of :func:`interactions`.
        path: Path of the image; the suffix determines the format.
        k: Number of pairs.

    Raises:
        ModuleNotFoundError: If matplotlib (in the ``cli`` extra) is missing.
    """
    from matplotlib.figure import Figure  # optional, and slow to import

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
    title = f"{found.score}: the strongest of {len(found):,} pairs"
    axes.set(xlim=(-room, room), ylim=(-1.25, 1.25), title=title)
    axes.set_axis_off()
    _save(figure, Path(path))


def _save(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
