"""Tables of resistances: errors, bottlenecks, and the solvers behind them."""

from statistics import fmean

from gsparse.bench.contests.bottleneck_cuts import METHODS
from gsparse.bench.contests.bottleneck_scores import SCORED
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import (
    Column,
    GridTable,
    Line,
    markdown,
    percent,
    points,
)
from gsparse.bench.tables.published.speed import duration
from gsparse.bench.tables.rows import Filter, Row, select

CUT = ("clique_ring", "joined_random_graphs", "two_communities")
TARGETS = (0.16, 0.06, 0.03, 0.01, 0.003)
OWNERS = {
    "ours": ("tree", "jl", "exact"),
    "approximate inverse": ("approximate inverse",),
    "networkit": ("ApproxSpanningEdge", "SpanningEdgeCentrality"),
    "pyamg": ("pyamg JL",),
}
SOLVERS = {
    "diagonal": "Jacobi",
    "approximate Cholesky": "approximate Cholesky",
    "pyamg, smoothed": "pyamg SA",
    "pyamg, unsmoothed": "pyamg SA, unsmoothed",
}


def _feature_errors() -> GridTable:
    """Return what sparsifying changes in the layers of a trained GAT."""

    def cell(rows: list[Row]) -> str:
        return f"{rows[0]['first_layer_error']:.2f} / {rows[0]['output_error']:.2f}"

    lines = [
        Line((graph, f"{epsilon}"), {"dataset": graph, "epsilon": epsilon})
        for graph in ("PubMed", "Computers", "tolokers", "cornell5")
        for epsilon in (0.1, 0.3, 0.5, 0.9)
    ]
    used = {"method": "EffectiveResistance, weights used"}
    columns = (
        Column("removed", used, lambda rows: percent(rows[0]["sparsity"])),
        Column("resistance, weights used", used),
        Column("weights ignored", {"method": "EffectiveResistance, weights ignored"}),
        Column("random edges", {"method": "RandomEdge"}),
    )
    return GridTable("feature_error", ("graph", "eps"), lines, columns, cell=cell)


def _scores() -> GridTable:
    """Return how close resistances are to what degrees say."""
    lines = [Line((graph,), {"dataset": graph, "seed": 0}) for graph in SCORED]
    columns = (
        Column("edges", cell=lambda rows: f"{rows[0]['num_pairs']:,}"),
        Column("Pearson", cell=lambda rows: f"{rows[0]['pearson']:.3f}"),
        Column("Spearman", cell=lambda rows: f"{rows[0]['spearman']:.3f}"),
        Column(
            "edges with R > 2 (1/d_u + 1/d_v)",
            cell=lambda rows: f"{rows[0]['num_above_twice']}",
        ),
        Column("largest ratio", cell=lambda rows: f"{rows[0]['largest_ratio']:.2f}"),
    )
    return GridTable("bottlenecks", ("graph",), lines, columns)


def _cuts(results: Results) -> str:
    """Return what stays connected, and the extreme eigenvalues, for every cut."""
    lines = []
    for graph in CUT:
        here = select(results("bottlenecks"), {"dataset": graph})
        for sparsity in dict.fromkeys(row["sparsity_target"] for row in here):
            for method in METHODS:
                rows = select(here, {"sparsity": sparsity, "method": method})
                edges = fmean(row["planted_edges"] for row in rows)
                spectra = [
                    [row[key] for row in rows if row.get(key) is not None]
                    for key in ("smallest_eigenvalue", "largest_eigenvalue")
                ]
                lines.append(
                    [
                        graph,
                        f"{100 * rows[0]['sparsity']:.1f} %",
                        method,
                        str(sum(row["num_components"] == 1 for row in rows)),
                        f"{edges:.1f} of {rows[0]['planted_edges_before']}",
                        *(f"{min(it):.2f} to {max(it):.2f}" for it in spectra),
                    ]
                )
    titles = ("graph", "removed", "method", "connected", "between")
    return markdown([*titles, "smallest", "largest"], lines)


def _grid(results: Results) -> str:
    """Return the mean number of components of a road grid, by method."""
    rows = select(results("bottlenecks"), {"dataset": "road_grid"})
    names = {
        "EffectiveResistance": "resistance",
        "DSpar": "DSpar",
        "RandomEdge": "random edges",
    }
    texts = []
    for method, name in names.items():
        found = [row["num_components"] for row in select(rows, {"method": method})]
        texts.append(f"{fmean(found):.1f} with {name}")
    return ", ".join(texts)


def _models() -> GridTable:
    """Return the accuracy of GATs whose labels depend on a bottleneck."""

    def bridges(rows: list[Row]) -> str:
        return f"{fmean(row['planted_edges'] for row in rows):.1f}"

    def reached(rows: list[Row]) -> str:
        return f"{100 * fmean(row['reached'] for row in rows):.1f} %"

    cut = ("EffectiveResistance", "DSpar", "RandomEdge")
    cells = [("Dense", 0.0), *((name, s) for s in (0.5, 0.7, 0.9) for name in cut)]
    lines = [
        Line((percent(sparsity), name), {"method": name, "sparsity": sparsity})
        for name, sparsity in cells
    ]
    lines.append(Line((percent(1), "MLP"), {"method": "MLP"}, (0,)))
    columns = (
        Column("accuracy", cell=lambda rows: points(rows, 10, "test_accuracy")),
        Column("bridges left, of 96", cell=bridges),
        Column("test nodes reached", cell=reached),
    )
    where: Filter = {"dataset": "satellite_cliques"}
    return GridTable("bottlenecks", ("removed", "method"), lines, columns, where)


def _families(results: Results) -> str:
    """Return reported and true errors of ``jl`` on graphs with bottlenecks."""

    def share(value: float | None, digits: int = 2) -> str:
        return "" if value is None else f"{100 * value:.{digits}f} %"

    lines = []
    for row in select(results("resistance_families"), {"method": "jl"}):
        covered = [share(row.get(f"{it}covered"), 1) for it in ("", "critical_")]
        cut = (
            f"{row['cut_mean']:.3f} ± {row['cut_std']:.3f}" if "cut_mean" in row else ""
        )
        lines.append(
            [
                row["dataset"],
                share(row["reported_error"]),
                share(row.get("rms_relative_error")),
                share(row.get("max_relative_error"), 1),
                share(row.get("critical_rms_error")),
                " / ".join(covered) if all(covered) else "",
                cut,
            ]
        )
    titles = ["graph", "reported", "true rms", "largest", "critical 100"]
    more = ["covered, all / critical", "leverage of the cut"]
    return markdown(titles + more, lines)


def _methods(results: Results) -> str:
    """Return the worst of every method over the graphs with bottlenecks."""
    lines = []
    for method in ("jl", "tree", "exact", "auto"):
        rows = select(results("resistance_families"), {"method": method})
        known = [row for row in rows if row.get("rms_relative_error") is not None]
        lines.append(
            [
                method,
                f"{len(known)}",
                f"{max(row['true_over_reported'] for row in known):.2f}",
                *(
                    f"{100 * min(row[key] for row in known):.1f} %"
                    for key in ("covered", "critical_covered")
                ),
                f"{100 * max(row['max_relative_error'] for row in known):.1f} %",
            ]
        )
    titles = ["method", "graphs", "true over reported", "least covered"]
    return markdown([*titles, "of the critical 100", "largest error"], lines)


def _contest(results: Results) -> str:
    """Return the fastest setting of everybody that meets an rms error."""

    def fastest(rows: list[Row], methods: tuple[str, ...], target: float) -> Row | None:
        found = [
            row
            for row in rows
            if row["method"].startswith(methods)
            and row.get("seconds")
            and row["rms_relative_error"] <= target
        ]
        return min(found, key=lambda row: row["seconds"], default=None)

    def cell(row: Row | None) -> str:
        if row is None:
            return ""
        error = f"{100 * row['rms_relative_error']:.2g} %"
        largest = f"{100 * row['max_relative_error']:,.1f} %"
        name = "exact" if row["method"] == "exact" else ""
        name = name or f"{row['method']} {row['setting']:g}"
        name = name.removeprefix("approximate inverse ").removeprefix("pyamg JL ")
        return f"{name}: {row['seconds']:.2g} s, {error} / {largest}"

    lines = []
    for graph in ("PubMed", "tolokers", "Physics", "chung_lu"):
        rows = select(results("resistance"), {"dataset": graph})
        for target in TARGETS:
            best = [fastest(rows, methods, target) for methods in OWNERS.values()]
            if any(best):
                size = rows[0]["num_pairs"]
                title = f"{graph} ({size:,})" if target == TARGETS[0] else ""
                ours, *rivals = (row["seconds"] if row else None for row in best)
                times = [it for it in rivals if it]
                gain = f"{min(times) / ours:.2g}x" if ours and times else ""
                lines.append([title, f"{100 * target:g} %", *map(cell, best), gain])
    titles = ["graph (edges)", "rms at most", *OWNERS, "fastest rival / ours"]
    return markdown(titles, lines)


def _memory(results: Results) -> str:
    """Return the peak memory of scoring and cutting the largest graph."""
    (row,) = select(results("resistance"), {"method": "memory"})
    return f"{row['peak_ratio']:.1f} times"


def _headline(results: Results) -> str:
    """Return the time of exact resistances and of those of the largest graph."""
    rows = results("resistance")
    (exact,) = select(rows, {"dataset": "PubMed", "method": "exact"})
    (large,) = select(rows, {"dataset": "chung_lu", "method": "auto"})
    return (
        f"PubMed exactly in {exact['seconds']:.2f} s, {large['num_pairs'] / 1e6:.1f} "
        f"million edges in {large['seconds']:.1f} s with an error of "
        f"{100 * large['rms_relative_error']:.1f} %"
    )


def _scaling(results: Results) -> str:
    """Return the time of an epoch and of sparsifying by the number of nodes."""
    lines = []
    for full in select(results("scaling"), {"method": "Dense"}):
        nodes = {"num_nodes": full["num_nodes"], "method": "EffectiveResistance"}
        (sparse,) = select(results("scaling"), nodes)
        lines.append(
            [
                f"{full['num_nodes']:,}",
                f"{full['num_edges'] / 1e6:.1f} M",
                duration(full["train_epoch_seconds"]),
                f"{sparse['num_edges'] / 1e6:.2f} M",
                duration(sparse["train_epoch_seconds"]),
                f"{sparse['preprocess_seconds']:.1f} s",
            ]
        )
    titles = ["nodes", "edges", "full", "edges kept", "sparsified", "once, to sparsify"]
    return markdown(titles, lines)


def _solvers(results: Results) -> str:
    """Return the seconds and iterations of the solvers of Laplacian systems."""

    def seconds(value: float) -> str:
        return f"{value:.{3 if value < 0.1 else 2}f}"

    rows, lines = results("laplacian_solvers"), []
    for graph in dict.fromkeys(row["dataset"] for row in rows):
        cells = []
        for method in SOLVERS.values():
            (row,) = select(rows, {"dataset": graph, "method": method})
            setup = "" if method == "Jacobi" else f"{seconds(row['setup_seconds'])} + "
            cells.append(f"{setup}{seconds(row['seconds'])} s ({row['num_iters']})")
        lines.append([graph, *cells])
    return markdown(["graph", *SOLVERS], lines)


BLOCKS: Blocks = {
    "feature-errors": _feature_errors(),
    "bottleneck-scores": _scores(),
    "bottleneck-cuts": _cuts,
    "bottleneck-grid": _grid,
    "bottleneck-models": _models(),
    "resistance-families": _families,
    "resistance-methods": _methods,
    "laplacian-solvers": _solvers,
    "resistance-contest": _contest,
    "resistance-headline": _headline,
    "resistance-memory": _memory,
    "scaling": _scaling,
}
