"""Tables of training epochs: PyG at its best against ours at its best.

The best is the fastest row of a graph, model and number of threads, over contenders and
allocators.
"""

from collections.abc import Sequence
from functools import partial
from statistics import fmean, stdev

from gsparse.bench.contests.allocators import name_of
from gsparse.bench.contests.epoch_rows import FEWER, SECONDS, fastest
from gsparse.bench.paired import scores
from gsparse.bench.papers.fastgat import SPARSITY, SPLIT
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import markdown, percent
from gsparse.bench.tables.published.speed import duration, ratio
from gsparse.bench.tables.rows import Row, select

GRAPHS = {name: name for name in (*SPARSITY, "PubMed")} | {"chung_lu_2m": "Chung-Lu"}
MODELS = ("gat", "gcn", "sage")
THREADS = (1, 2)
PAGES = ("default", "kept")
LEVERS = (
    "PyG",
    "PyG, x as CSR",
    "PyG compiled",
    "sparse features",
    "fused",
    "sparse features, fused",
    "ours" + FEWER,
    "no edges",
)


def _rows(
    results: Results, graph: str, model: str, threads: int | None = None
) -> list[Row]:
    """Return the rows of one problem, of any number of threads if none is given."""
    rows = select(results("epoch"), {"dataset": graph, "model": model})
    return [row for row in rows if threads in (None, row["threads"])]


def removed_edges(rows: Sequence[Row]) -> float:
    """Return the sparsity of the sparsified graph; 0 if there is none."""
    return next((r["sparsity"] for r in rows if 0 < r["sparsity"] < 1), 0.0)


def _time(row: Row | None) -> str:
    return "-" if row is None else duration(row[SECONDS])


def _gain(first: Row | None, second: Row | None) -> str:
    """Return how many times as fast the second row is as the first."""
    if first is None or second is None:
        return "-"
    return ratio(first[SECONDS] / second[SECONDS])


def _way(row: Row | None) -> str:
    """Return how PyG was run, such as "compiled, kept pages"."""
    if row is None:
        return "-"
    words = row["method"].removesuffix(FEWER).removeprefix("PyG").strip(" ,")
    pages = name_of(row)
    parts = [words or "eager", "" if pages == "default" else f"{pages} pages"]
    parts.append("one thread" if row["threads"] == 1 else "")
    return ", ".join(filter(None, parts))


def _headline(results: Results) -> str:
    """Return the table of the README: the fastest of PyG and the fastest of ours."""
    lines = []
    for graph, title in GRAPHS.items():
        rows = _rows(results, graph, "gat")
        if not rows:
            continue
        best = partial(fastest, rows)
        pyg, full = (best(is_peer=it, sparsity=0.0) for it in (True, False))
        removed = removed_edges(rows)
        pyg_cut, cut = (best(is_peer=it, sparsity=removed) for it in (True, False))
        floor = best(is_peer=False, sparsity=1.0)
        lines.append(
            [
                f"{title}, {percent(removed)}",
                f"{_time(pyg)} ({_way(pyg)})",
                *(_time(full), _gain(pyg, full)),
                *(_time(pyg_cut), _time(cut), _gain(pyg_cut, cut), _gain(pyg, cut)),
                *(_gain(pyg, floor), _change(results, graph)),
            ]
        )
    titles = ["graph, edges removed", "PyG at its best", "ours", "ratio", "PyG, cut"]
    titles += ["ours, cut", "ratio", "full to cut", "full to no edges", "score"]
    return markdown(titles, lines)


def _levers(results: Results) -> str:
    """Return each lever alone, with default pages and with kept ones."""
    lines = []
    for graph, title in GRAPHS.items():
        for threads in THREADS:
            rows = _rows(results, graph, "gat", threads)
            if not rows:
                continue
            removed = removed_edges(rows)
            peers = [r for r in rows if r["is_peer"]]
            groups = [[r for r in rows if _lever(r) == lever] for lever in LEVERS]
            groups.insert(3, [r for r in peers if r["sparsity"] == removed])
            lines.append(
                [
                    f"{title} (-{percent(removed)})",
                    str(threads),
                    *(_both_pages(group) for group in groups),
                    _change(results, graph),
                ]
            )
    titles = [*LEVERS[:3], "PyG's best, fewer edges", *LEVERS[3:]]
    return markdown(["graph", "threads", *titles, "score"], lines)


def _steps(results: Results) -> str:
    """Return PyG as it comes and each step of a user, two threads, default pages."""
    lines = []
    for graph, title in GRAPHS.items():
        rows = [
            row
            for row in _rows(results, graph, "gat", 2)
            if name_of(row) == "default" and row.get(SECONDS) is not None
        ]
        if not rows:
            continue
        by_name = {_lever(row): row for row in rows}
        start = by_name["PyG"]
        cells = []
        for name in ("sparse features", "fused", "sparse features, fused"):
            row = by_name.get(name)
            text = "" if row is None else f"{_time(row)}, {_gain(start, row)}"
            cells.append(text)
        cut = by_name[f"ours{FEWER}"]
        removed = f"{_time(cut)}, {_gain(start, cut)} (-{percent(removed_edges(rows))})"
        lines.append([title, _time(start), *cells, removed])
    titles = ["graph", "PyG as it comes", "`sparse_features`", "`accelerate`", "both"]
    return markdown([*titles, "and edges removed"], lines)


def _lever(row: Row) -> str:
    """Return the lever of a row; compiled PyG has features in their best storage."""
    compiled = row["method"].startswith("PyG compiled") and row["sparsity"] == 0
    return "PyG compiled" if compiled else row["method"]


def _both_pages(rows: list[Row]) -> str:
    """Return the fastest of the rows with default pages, and with kept ones."""
    timed = [r for r in rows if r.get(SECONDS) is not None]
    cells = []
    for pages in PAGES:
        here = [r for r in timed if name_of(r) == pages]
        cells.append(_time(min(here, key=lambda r: r[SECONDS], default=None)))
    return " / ".join(cells) if rows else ""


def _change(results: Results, graph: str) -> str:
    """Return the points of score won by the sparse graph, over seeds."""
    if graph not in SPARSITY:
        return ""
    where = {"dataset": graph, "model": "gat", "split": SPLIT}
    rows = select(results("fastgat"), where)
    dense = scores(rows, method="Dense")
    cut = scores(
        rows, method="EffectiveResistance", sparsity=SPARSITY[graph], reweight=False
    )
    change = [cut[seed] - dense[seed] for seed in sorted(dense.keys() & cut)]
    return f"{fmean(change):+.1f} ± {stdev(change):.1f}"


def _models(results: Results) -> str:
    """Return the same full graph for each model, against eager and compiled PyG."""
    lines = []
    for graph, title in GRAPHS.items():
        for model in MODELS:
            rows = _rows(results, graph, model)
            if not rows:
                continue
            best = partial(fastest, rows, sparsity=0.0)
            eager, compiled = (best(is_peer=True, compiled=it) for it in (False, True))
            ours = best(is_peer=False)
            lines.append(
                [
                    f"{title}, {model.upper()}",
                    f"{_time(eager)} ({_way(eager)})",
                    f"{_time(compiled)} ({_way(compiled)})",
                    *(_time(ours), _gain(eager, ours), _gain(compiled, ours)),
                ]
            )
    titles = ["graph, model", "PyG, eager", "PyG, compiled", "ours", "eager / ours"]
    return markdown([*titles, "compiled / ours"], lines)


def _others(results: Results) -> str:
    """Return the gains of GCN and SAGE on the same full graph, as a list."""
    parts = []
    for model in MODELS[1:]:
        gains = []
        for graph, title in GRAPHS.items():
            rows = _rows(results, graph, model)
            if rows:
                pyg, ours = (
                    fastest(rows, is_peer=it, sparsity=0.0) for it in (True, False)
                )
                gains.append(f"{_gain(pyg, ours)} on {title}")
        parts.append(f"{model.upper()} {' and '.join(gains)}")
    return ", ".join(parts)


def _pages(results: Results) -> str:
    """Return what kept pages gain PyG's fastest eager way, and ours."""
    lines = []
    for graph, title in GRAPHS.items():
        rows = _rows(results, graph, "gat", 1)
        if not rows:
            continue
        cells = []
        for is_peer in (True, False):
            before, after = (
                fastest(
                    [r for r in rows if name_of(r) == pages],
                    is_peer=is_peer,
                    sparsity=0.0,
                    compiled=False,
                )
                for pages in PAGES
            )
            cells += [_time(before), _time(after), _gain(before, after)]
        lines.append([title, *cells])
    titles = ["graph", "PyG, default", "kept", "ratio", "ours, default", "kept"]
    return markdown([*titles, "ratio"], lines)


BLOCKS: Blocks = {
    "epoch-headline": _headline,
    "epoch-levers": _levers,
    "epoch-models": _models,
    "epoch-others": _others,
    "epoch-steps": _steps,
    "memory-pages": _pages,
}
