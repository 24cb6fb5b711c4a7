"""Tables of seconds and bytes, from measurements."""

from statistics import fmean, stdev

from gsparse.bench.ladder import BESIDE, RUNGS
from gsparse.bench.paired import scores
from gsparse.bench.papers.fastgat import SPARSITY
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import markdown, percent
from gsparse.bench.tables.rows import Row, select

SHAPES = ("8x8", "4x64")
LAYER_GRAPHS = {
    "PubMed": "PubMed (89 k)",
    "tolokers": "tolokers (1.0 M)",
    "cornell5": "cornell5 (1.6 M)",
    "chung_lu_2m": "Chung-Lu (2.0 M)",
    "chung_lu_23m": "Chung-Lu (23 M)",
}
CITATION = ("PubMed", "CiteSeer", "Cora")
PAIRS = {"tolokers": "tolokers (519,000 pairs)", "cornell5": "cornell5 (790,000 pairs)"}


def duration(seconds: float) -> str:
    """Format seconds with two or three digits.

    Example:
        >>> [duration(it) for it in (0.00046, 0.0123, 0.427, 2.679)]
        ['0.5 ms', '12 ms', '427 ms', '2.68 s']
    """
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    return f"{1e3 * seconds:.{1 if seconds < 0.00995 else 0}f} ms"


def ratio(value: float) -> str:
    """Format a ratio with two digits.

    Example:
        >>> ratio(4.93), ratio(30.7)
        ('4.9x', '31x')
    """
    return f"{value:.{1 if value < 9.95 else 0}f}x"


def _by(rows: list[Row], key: str = "method") -> dict[str, Row]:
    return {row[key]: row for row in rows}


def _layers(results: Results) -> str:
    """Return PyG's attention layer beside ours."""
    lines = []
    for graph, name in LAYER_GRAPHS.items():
        for shape in SHAPES:
            where = {"dataset": graph, "shape": shape}
            found = _by(select(results("attention"), where))
            ours, pyg = found["ours"], found.get("pyg")
            cells = []
            for key in ("train_step_seconds", "infer_seconds"):
                time = duration(ours[key])
                if pyg is None:
                    fits = "does not fit" if key == "train_step_seconds" else ""
                    cells += [fits, time, ""]
                else:
                    cells += [duration(pyg[key]), time, ratio(pyg[key] / ours[key])]
            size, key = ours["train_peak_bytes"], "train_peak_bytes"
            memory = f"{size / 1e9:.1f} GB" if pyg is None else f"{size / pyg[key]:.2f}"
            lines.append([name, shape, *cells, memory])
    titles = ["graph (directed edges)", "shape", "PyG train", "ours", "ratio"]
    titles += ["PyG inference", "ours", "ratio", "peak memory"]
    return markdown(titles, lines)


def _rungs(results: Results, graph: str) -> dict[str, Row]:
    rows = select(results("ladder"), {"dataset": graph})
    return _by([row for row in rows if row["sparsity"] in (0.0, SPARSITY[graph])])


def _changes(results: Results, graph: str) -> list[float]:
    """Return the points won by the sparse graph, seed by seed."""
    rows = select(
        results("fastgat"), {"dataset": graph, "model": "gat", "split": "60-20-20"}
    )
    dense = scores(rows, method="Dense")
    cut = scores(
        rows, method="EffectiveResistance", sparsity=SPARSITY[graph], reweight=False
    )
    return [cut[seed] - dense[seed] for seed in sorted(dense.keys() & cut)]


def _ladder(results: Results) -> str:
    """Return an epoch of a GAT from PyG's to ours, step by step."""
    lines = []
    for graph, sparsity in SPARSITY.items():
        rows = _rungs(results, graph)
        first, last, beside = rows[RUNGS[0]], rows[RUNGS[-1]], rows[BESIDE]
        time, size = "train_epoch_seconds", "train_peak_bytes"
        before, after = first[size], last[size]
        memory = f"{before / 1e6:.0f} to {after / 1e6:.0f} MB, {before / after:.0f}x"
        gains = (
            f"{first[time] / beside[time]:.1f}x, memory {before / beside[size]:.1f}x"
        )
        change = _changes(results, graph)
        lines.append(
            [
                f"{graph} (-{percent(sparsity)})",
                *(duration(rows[rung][time]) for rung in RUNGS),
                f"**{first[time] / last[time]:.0f}x**",
                memory,
                gains,
                f"{fmean(change):+.1f} ± {stdev(change):.1f}",
            ]
        )
    titles = ["graph", "PyG, full", *(f"+ {rung}" for rung in RUNGS[1:]), "in all"]
    return markdown([*titles, "peak memory", "PyG, fewer edges", "score"], lines)


def _epochs(results: Results) -> str:
    """Return the table of the README: PyG on all edges against ours on fewer."""
    lines = []
    for graph, sparsity in SPARSITY.items():
        if graph == "cornell5":  # loses more than half a point
            continue
        rows = _rungs(results, graph)
        first, last = rows[RUNGS[0]], rows[RUNGS[-1]]
        times = [row["train_epoch_seconds"] for row in (first, last)]
        size = first["train_peak_bytes"] / last["train_peak_bytes"]
        where = {"dataset": graph, "model": "gat", "split": "60-20-20"}
        found = select(results("fastgat"), where)
        cut = {"method": "EffectiveResistance", "sparsity": sparsity, "reweight": False}
        means = [
            fmean(scores(found, **it).values()) for it in ({"method": "Dense"}, cut)
        ]
        lines.append(
            [
                f"{graph}, {percent(sparsity)}",
                *map(duration, times),
                f"{times[0] / times[1]:.0f}x",
                f"{size:.0f}x less",
                f"{means[0]:.1f} to {means[1]:.1f}",
            ]
        )
    titles = ["graph, edges removed", "PyG, full graph", "gsparse, sparse graph"]
    return markdown([*titles, "ratio", "memory", "test score"], lines)


def _steps(results: Results, graph: str, model: str) -> dict[str, Row]:
    where = {"dataset": graph, "model": model}
    return _by(select(results("training_steps"), where))


def _parts(results: Results) -> str:
    """Return epochs on the whole graph and on receptive fields."""
    lines = []
    for graph in CITATION:
        for model in ("gat", "gcn"):
            found = _steps(results, graph, model)
            keys = ("train_epoch_seconds", "infer_seconds")
            pairs = [(found["whole"][key], found["part"][key]) for key in keys]
            whole, part = (sum(it) for it in zip(*pairs, strict=True))
            cells = [duration(it) for pair in pairs for it in pair]
            lines.append([f"{graph}, {model.upper()}", *cells, ratio(whole / part)])
    titles = ["graph, model", "training epoch, whole", "part", "validation, whole"]
    return markdown([*titles, "part", "both"], lines)


def _mask_costs(results: Results) -> str:
    """Return epochs of a mask beside plain ones."""
    lines = []
    for graph in (*CITATION, *PAIRS):
        cells = [PAIRS.get(graph, graph)]
        for model in ("gcn", "gat"):
            found = _steps(results, graph, model)
            times = [
                found[it]["train_epoch_seconds"]
                for it in ("whole", "KEdge")
                if it in found
            ]
            cells += (
                [*map(duration, times), ratio(times[1] / times[0])] if times else []
            )
        lines.append([*cells, *[""] * (7 - len(cells))])
    titles = ["graph", "GCN, plain", "with KEdge", "ratio", "GAT, plain", "with KEdge"]
    return markdown([*titles, "ratio"], lines)


def _sparse_weights(results: Results) -> str:
    """Return the speed of sparse weights over dense ones, by threads."""
    lines, rows = [], results("sparse_weights")
    sparsities = sorted({row["weight_sparsity"] for row in rows})
    for shape in dict.fromkeys(row["shape"] for row in rows):
        cells = []
        for sparsity in sparsities:
            gains = []
            for threads in (1, 2):
                where = {"shape": shape, "threads": threads}
                found = _by(select(rows, {**where, "weight_sparsity": sparsity}))
                gain = found["dense"]["infer_seconds"] / found["ours"]["infer_seconds"]
                gains.append(f"{gain:.1f}x")
            cells.append(" / ".join(gains))
        lines.append([shape.replace("x", " x "), *cells])
    first, *rest = map(percent, sparsities)
    return markdown(["rows x inputs x outputs", f"{first} zeros", *rest], lines)


BLOCKS: Blocks = {
    "attention-layers": _layers,
    "epoch-headline": _epochs,
    "epoch-ladder": _ladder,
    "receptive-fields": _parts,
    "kedge-costs": _mask_costs,
    "sparse-weights": _sparse_weights,
}
