"""Draw a graph before and after a cut."""

from typing import TYPE_CHECKING

from torch import Tensor
from torch_geometric.data import Data

from gsparse.deploy.cut_drawing import (
    COLORS,
    Drawing,
    choose_part,
    classes_of,
    pairs_of,
    which_are_kept,
)
from gsparse.deploy.saved_graph import check_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LIGHT = ("#e69f00", "#56b4e9", "#f0e442")  # with dark numbers on them
OTHERS, KEPT, REMOVED, INK = "#999999", "#4b5563", "#d55e00", "#1b1f24"
_FEW = 40  # nodes that are large enough for their numbers


def plot_cut(
    before: Data,
    after: Data,
    *,
    max_nodes: int = 600,
    max_edges: int = 4000,
    seed: int = 0,
    names: list[str] | None = None,
) -> "Figure":
    """Draw a graph before and after a cut, with the same positions.

    On the left are all edges, with those that were removed in orange, and on the right
    those that are left. Nodes have the colours of their classes, if ``before`` has
    ``y``. The titles count all edges and the share that joins nodes of one class, also
    where only a part of the graph is drawn: of a large graph some nodes that random
    walks visit, and of a dense one some edges.

    It takes some seconds for 600 nodes.

    Args:
        before: The graph.
        after: The graph that is left, on the same nodes.
        max_nodes: Largest number of nodes that are drawn.
        max_edges: Largest number of edges that are drawn.
        seed: Random seed of the choice of nodes and edges, and of the positions.
        names: Names of the classes.

    Returns:
        A figure; ``figure.savefig("cut.png", dpi=150)`` writes it.

    Raises:
        ModuleNotFoundError: If matplotlib (in the ``cli`` extra) is missing.
        TypeError: If a graph is heterogeneous or a batch.
        ValueError: If ``after`` has other nodes, or edges that are not in ``before``.

    Example:
        >>> from gsparse.data import karate
        >>> from gsparse.deploy import plot_cut
        >>> from gsparse.transforms import EffectiveResistance
        >>> data = karate()
        >>> figure = plot_cut(data, EffectiveResistance(sparsity=0.5, seed=7)(data))
        >>> print(figure.axes[1].get_title(loc="left"))
        After: 39 edges, 50 % removed
    """
    from matplotlib.figure import Figure  # optional, and slow to import
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    for name, value in (("max_nodes", max_nodes), ("max_edges", max_edges)):
        if value < 1:
            raise ValueError(f"{name!r} must be at least 1 (got {value})")
    for graph in (before, after):
        check_kind(graph)
    found = [pairs_of(graph) for graph in (before, after)]
    kept = which_are_kept(before, after, found)
    drawing = choose_part(before, found[0], kept, max_nodes, max_edges, seed, names)
    arranged = ConstrainedLayoutEngine(wspace=0.06)
    figure = Figure(figsize=(11.0, 6.2), layout=arranged, facecolor="white")
    sides = figure.subplots(1, 2, sharex=True, sharey=True)
    removed = 1 - found[1].size(1) / max(found[0].size(1), 1)
    texts = (
        f"Before: {found[0].size(1):,} edges",
        f"After: {found[1].size(1):,} edges, {100 * removed:.0f} % removed",
    )
    for axes, text, pairs in zip(sides, texts, found, strict=True):
        axes.set_title(text, loc="left", fontsize=12, weight="bold", color=INK)
        axes.set_title(_within(before, pairs), loc="right", fontsize=9, color=KEPT)
        _draw(axes, drawing, everything=axes is sides[0])
    _legend(figure, drawing)
    figure.supxlabel(_caption(before, found[0], drawing), fontsize=9, color=KEPT)
    return figure


def _draw(axes: "Axes", drawing: Drawing, *, everything: bool) -> None:
    """Draw the edges and nodes of one side."""
    from matplotlib.collections import LineCollection  # optional

    place, count = drawing.place.numpy(), drawing.nodes.numel()
    width = 0.5 + 1.2 / (1 + drawing.pairs.size(1) / 150)
    for is_kept in (False, True) if everything else (True,):
        lines = place[drawing.pairs[:, drawing.kept == is_kept].t().numpy()]
        color, alpha = (KEPT, 0.75) if is_kept else (REMOVED, 0.55)
        axes.add_collection(
            LineCollection(lines, colors=color, alpha=alpha, linewidths=width)
        )
    x, y = place.T
    few = count <= _FEW
    colors = [[*COLORS, OTHERS][it] for it in drawing.color.tolist()]
    axes.scatter(
        x,
        y,
        s=230.0 if few else max(9.0, 9000 / count),
        c=colors,
        edgecolors="white",
        linewidths=1.0 if few else 0.4,
        zorder=3,
    )
    for number, node in enumerate(drawing.nodes.tolist() if few else ()):
        text = axes.text(x[number], y[number], str(node), ha="center", va="center")
        ink = INK if colors[number] in _LIGHT else "white"
        text.set(color=ink, weight="bold", fontsize=8, zorder=4)
    axes.set(xlim=(-1.06, 1.06), ylim=(-1.06, 1.06), aspect="equal")
    axes.set_axis_off()


def _within(before: Data, pairs: Tensor) -> str:
    """Return the share of the edges that join nodes of one class."""
    y = classes_of(before)
    if y is None or not pairs.numel():
        return ""
    same = y[pairs[0]] == y[pairs[1]]
    return f"{100 * same.double().mean():.0f} % within a class"


def _legend(figure: "Figure", drawing: Drawing) -> None:
    """Name the colours of nodes and edges."""
    from matplotlib.lines import Line2D  # optional

    handles = [
        Line2D([], [], ls="", marker="o", color=color, markersize=7)
        for color, _ in zip([*COLORS, OTHERS], drawing.names, strict=False)
    ]
    edges = {"kept": KEPT, "removed": REMOVED}
    handles += [Line2D([], [], color=color, lw=2) for color in edges.values()]
    figure.legend(
        handles,
        [*drawing.names, *edges],
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        handletextpad=0.4,
        columnspacing=1.4,
    )


def _caption(before: Data, pairs: Tensor, drawing: Drawing) -> str:
    """Say what is drawn of the graph."""
    count, total = drawing.nodes.numel(), int(before.num_nodes or 0)
    drawn, left = drawing.pairs.size(1), int(drawing.kept.sum())
    if count == total and not drawing.hidden:
        return f"all {total:,} nodes and all {pairs.size(1):,} edges"
    edges = f"all {drawn:,} edges"
    if drawing.hidden:
        edges = f"{drawn:,} of the {drawn + drawing.hidden:,} edges"
    return (
        f"drawn: {count:,} of {total:,} nodes and {edges} between them, of which "
        f"{left:,} are kept; the titles count the whole graph"
    )
