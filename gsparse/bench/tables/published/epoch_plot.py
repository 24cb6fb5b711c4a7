"""Plot the seconds of a training epoch: PyG, PyG at its best, ours, and fewer edges."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path

from gsparse.bench.contests.allocators import name_of
from gsparse.bench.contests.epoch_rows import SECONDS, fastest
from gsparse.bench.tables.grid_table import percent
from gsparse.bench.tables.plot import save_figure
from gsparse.bench.tables.published.epoch import GRAPHS, MODELS, removed_edges
from gsparse.bench.tables.published.speed import ratio
from gsparse.bench.tables.rows import Row, select

STYLES = {
    "PyG as it comes": ("s", "#999999"),
    "PyG at its best": ("D", "#000000"),
    "gsparse": ("o", "#0072B2"),
    "gsparse, edges removed": ("^", "#D55E00"),
    "gsparse, no edges": ("|", "#009E73"),
}
"""Marker and colour of each step; the colours differ for the colour-blind as well."""

TICKS = {0.02: "20 ms", 0.1: "100 ms", 0.5: "500 ms", 2: "2 s", 6: "6 s"}


def plot_epochs(rows: Sequence[Row], path: Path) -> None:
    """Draw one line for each graph and model, with a marker for each step.

    Args:
        rows: Rows of the table ``epoch``.
        path: The suffix decides the format (``.png``, ``.pdf``, ``.svg``).

    Raises:
        ModuleNotFoundError: matplotlib is missing; it comes with the ``cli`` extra.
        ValueError: There are no rows with seconds, or the suffix is unknown.
    """
    # Local: matplotlib is an extra, and half a second of import.
    from matplotlib.figure import Figure

    models = [it for it in MODELS if select(rows, {"model": it})]
    what = models[0].upper() if len(models) == 1 else "model"
    lines = {label: it for label, it in _lines(rows, models) if len(it) > 1}
    if not lines:
        raise ValueError("a plot of epochs needs rows with seconds (got none)")
    figure = Figure(figsize=(7.0, 1.4 + 0.36 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for y, seconds in enumerate(lines.values()):
        axes.plot([*seconds.values()], [y] * len(seconds), color="0.8", lw=2, zorder=0)
        axes.annotate(
            _gains(seconds),
            (1.01, y),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
        )
    for title, (marker, color) in STYLES.items():
        found = [(it[title], y) for y, it in enumerate(lines.values()) if title in it]
        if found:
            axes.plot(
                *zip(*found, strict=True), marker, color=color, ms=8, mew=2, label=title
            )
    axes.set_xscale("log")
    axes.set_xticks([*TICKS], [*TICKS.values()], minor=False)
    axes.minorticks_off()
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.set_yticks(range(len(lines)), [*lines])
    axes.invert_yaxis()
    axes.set_xlabel(f"training epoch of a two-layer {what} (log scale, left is faster)")
    head, at = "speed against\nPyG at its best", (1.01, 1.02)
    axes.annotate(head, at, xycoords="axes fraction", fontsize="small", va="bottom")
    figure.legend(loc="outside lower center", ncols=3, fontsize="small", frameon=False)
    save_figure(figure, path)


def steps(rows: Sequence[Row]) -> dict[str, float]:
    """Return the seconds of each step of one graph and model, without those not run.

    PyG as it comes has two threads and the default allocator. The other steps are the
    fastest over threads, allocators and ways to run, as in the tables.
    """
    best = partial(fastest, rows)
    plain = [
        row
        for row in select(rows, {"method": "PyG", "threads": 2})
        if name_of(row) == "default" and row.get(SECONDS) is not None
    ]
    removed = removed_edges(rows)
    found = (
        plain[0] if plain else None,
        best(is_peer=True, sparsity=0.0),
        best(is_peer=False, sparsity=0.0),
        best(is_peer=False, sparsity=removed) if removed else None,
        best(is_peer=False, sparsity=1.0),
    )
    named = zip(STYLES, found, strict=True)
    return {title: row[SECONDS] for title, row in named if row is not None}


def _lines(
    rows: Sequence[Row], models: Sequence[str]
) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield label and steps of each graph and model."""
    for model, (graph, name) in product(models, GRAPHS.items()):
        here = select(rows, {"dataset": graph, "model": model})
        label = name if len(models) == 1 else f"{name}, {model.upper()}"
        removed = removed_edges(here)
        yield f"{label} (-{percent(removed)})" if removed else label, steps(here)


def _gains(seconds: dict[str, float]) -> str:
    """Return how many times as fast as PyG at its best, full and cut."""
    pyg, full, cut = (seconds.get(it) for it in [*STYLES][1:4])
    if pyg is None or full is None:
        return ""
    return ratio(pyg / full) + (f", cut {ratio(pyg / cut)}" if cut else "")
