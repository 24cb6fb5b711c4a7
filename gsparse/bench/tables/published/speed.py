"""Tables of seconds and bytes, from measurements."""

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


def _limits(results: Results) -> str:
    """Return the gathered bytes a second of training steps, in % of those of a copy."""
    texts = []
    for graph, name in LAYER_GRAPHS.items():
        rows = select(results("attention"), {"dataset": graph, "method": "ours"})
        shares = sorted(
            row["gather_bytes"]
            / row["train_step_seconds"]
            / row["copy_bytes_per_second"]
            for row in rows
            if row["shape"] in SHAPES
        )
        texts.append(f"{name} {100 * shares[0]:.0f} to {100 * shares[-1]:.0f} %")
    return ", ".join(texts)


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
    "attention-limits": _limits,
    "receptive-fields": _parts,
    "kedge-costs": _mask_costs,
    "sparse-weights": _sparse_weights,
}
