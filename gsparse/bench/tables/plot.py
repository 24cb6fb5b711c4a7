"""Plot accuracy against sparsity."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gsparse.bench.tables.rows import Row
from gsparse.bench.tables.summary import Block, Line, line_of, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "osD^vPX*"
COLORS = 10  # of matplotlib's cycle
MOST = 99.99  # percent: the end of the axis of weights
IN_A_ROW = 4  # names in a line of the legend


def plot_rows(rows: list[Row], path: Path) -> None:
    """Draw one panel per block: mean line, one-deviation band, every seed as a dot.

    Panels stand in two columns above one legend; a method has the same colour in all.
    The dense run is a horizontal band and the MLP a dotted line. The x axis is the
    sparsity achieved: of the weights, where there are pruners, else of the edges. The
    file is written beside its place and then renamed.

    Args:
        rows: As :func:`~gsparse.bench.tables.rows.read_rows` returns them.
        path: The suffix decides the format (``.png``, ``.pdf``, ``.svg``).

    Raises:
        ModuleNotFoundError: matplotlib is missing; it comes with the ``cli`` extra.
        ValueError: There are no rows with test scores, or the suffix is unknown.
    """
    # Local: matplotlib is an extra, and half a second of import.
    from matplotlib.figure import Figure

    scored = [row for row in rows if row["test_score"] is not None]
    blocks = summarise(scored)
    if not blocks:
        raise ValueError("a plot needs rows with test scores (got none)")
    wide = min(len(blocks), 2)
    high = -(-len(blocks) // wide)
    figure = Figure(figsize=(5.0 * wide, 3.6 * high + 0.5), layout="constrained")
    panels = figure.subplots(high, wide, squeeze=False).flatten()
    labels = _labels(blocks)
    for axes, block in zip(panels, blocks, strict=False):
        _draw(axes, block, scored, labels)
    for axes in panels[len(blocks) :]:
        axes.remove()
    _add_legend(figure, panels[: len(blocks)])
    save_figure(figure, path)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure beside its place, and then rename the file."""
    scratch = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        figure.savefig(scratch, dpi=150)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _labels(blocks: list[Block]) -> dict[str, str]:
    """Return the words of each curve: without letters where nothing is confused."""
    lines = [it for block in blocks for it in block.lines]
    plain = {it.name: it.plain_name for it in lines}
    known = list(plain.values())
    words = {k: v if known.count(v) == 1 else k for k, v in plain.items()}
    return {k: v for k, v in words.items() if k not in ("Dense", "MLP")}


def _add_legend(figure: "Figure", panels: Iterable["Axes"]) -> None:
    """Draw one legend below all panels."""
    handles: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=IN_A_ROW,
        fontsize="small",
        frameon=False,
    )


def _draw(
    axes: "Axes", block: Block, rows: list[Row], labels: Mapping[str, str]
) -> None:
    curves: dict[str, list[Line]] = {}
    for line in block.lines:
        curves.setdefault(line.name, []).append(line)
    for line in curves.pop("Dense", []):
        mean, std = 100 * (line.test_mean or 0), 100 * (line.test_std or 0)
        axes.axhspan(mean - std, mean + std, color="0.85", zorder=0)
        axes.axhline(mean, color="0.4", lw=1, label="Dense")
    for line in curves.pop("MLP", []):
        axes.axhline(100 * (line.test_mean or 0), color="0.4", ls=":", label="MLP")
    order = list(labels)
    for name, lines in curves.items():
        _draw_curve(axes, order.index(name), labels[name], lines, rows, block)
    t = block.title
    axes.set_title(block.heading)
    what = "weights" if _of_weights(block) else "undirected edges"
    axes.set_xlabel(f"{what} removed (%)")
    if _of_weights(block):
        _spread_out(axes, [100 * (line.weight_sparsity or 0.0) for line in block.lines])
    elif curves:
        cuts = {round(100 * it.sparsity) for lines in curves.values() for it in lines}
        axes.set_xticks(sorted(cuts))
    axes.set_ylabel(f"test {t['metric']} (%)")


def _draw_curve(
    axes: "Axes", i: int, name: str, lines: list[Line], rows: list[Row], block: Block
) -> None:
    of_weights = _of_weights(block)
    x = [
        100 * (line.weight_sparsity or 0.0 if of_weights else line.sparsity)
        for line in lines
    ]
    mean = [100 * (line.test_mean or 0) for line in lines]
    std = [100 * (line.test_std or 0) for line in lines]
    color = f"C{i}"
    axes.plot(
        x,
        mean,
        marker=MARKERS[i % len(MARKERS)],
        ls="-" if i < COLORS else "--",
        color=color,
        label=name,
    )
    low = [m - s for m, s in zip(mean, std, strict=True)]
    high = [m + s for m, s in zip(mean, std, strict=True)]
    axes.fill_between(x, low, high, color=color, alpha=0.15, lw=0)
    inside = [r for r in rows if all(r.get(k) == v for k, v in block.title.items())]
    seeds = [row for row in inside if line_of([row]).name == lines[0].name]
    axes.scatter(
        [100 * row["weight_sparsity" if of_weights else "sparsity"] for row in seeds],
        [100 * row["test_score"] for row in seeds],
        s=8,
        color=color,
        alpha=0.4,
        lw=0,
    )


def _of_weights(block: Block) -> bool:
    """Whether the lines differ in the weights that are gone, not in the edges."""
    return any(line.pruner is not None for line in block.lines)


def _spread_out(axes: "Axes", sparsities: list[float]) -> None:
    """Scale the axis so that 90, 99 and 99.9 % are equally far apart."""
    functions = (
        lambda percent: -np.log1p(-np.minimum(percent, MOST) / 100),
        lambda place: -100 * np.expm1(-place),
    )
    axes.set_xscale("function", functions=functions)
    ticks = sorted({round(value, 1) for value in sparsities if value > 0})
    axes.set_xticks(ticks, [f"{value:g}" for value in ticks])
