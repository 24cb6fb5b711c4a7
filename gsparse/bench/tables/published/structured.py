"""Tables of smaller models and of dead units."""

from collections.abc import Callable
from functools import partial
from itertools import product
from statistics import fmean, median, stdev

from gsparse.bench.paired import paired_difference, scores
from gsparse.bench.papers import implicit
from gsparse.bench.papers.structured import BITS, CASES
from gsparse.bench.structured_models import METHODS, STRUCTURED
from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.grid_table import Column, GridTable, Line, markdown, points
from gsparse.bench.tables.rows import Row, select

ORDER = [
    name
    for method in ("Dense", *STRUCTURED, "RandomWeight", "Magnitude", "Small")
    for name in (method, *([f"{method}+{BITS} bit"] if method in STRUCTURED else []))
]
assert set(METHODS) <= set(ORDER)


def _ratio(rows: list[Row], key: str) -> str:
    values = [row[key] for row in rows if key in row]
    return f"{median(values):.1f}x" if values else ""


def _bytes(rows: list[Row], key: str, unit: str | None = None) -> str:
    value = fmean(row[key] for row in rows)
    in_kilo = unit is None and value < 1e6
    return f"{value / 1e3:.0f} kB" if in_kilo else f"{value / 1e6:.1f} MB"


def _smaller(case: int) -> GridTable:
    """Return the table of all ways to a smaller model on one graph."""
    chosen = CASES[case]
    lines = [Line((f"`{name}`",), {"method": name}) for name in ORDER]
    columns = (
        Column("validation", cell=partial(points, seeds=10, key="val_best")),
        Column("test"),
        Column(
            "right after pruning (test)",
            cell=partial(points, seeds=10, key="test_pruned"),
        ),
        Column("parameters", cell=lambda rows: f"{rows[0]['parameters']:,}"),
        Column("speed, stored sparse", cell=partial(_ratio, key="speedup_cpu")),
        Column("dense features", cell=partial(_ratio, key="speedup_cpu_dense_x")),
        Column("file", cell=partial(_bytes, key="file_bytes")),
        Column("peak memory", cell=partial(_bytes, key="infer_peak_bytes", unit="MB")),
    )
    where = {"dataset": chosen.dataset, "fewer": chosen.fewer}
    return GridTable("structured", ("row",), lines, columns, where)


def _share(rows: list[Row], key: str) -> str:
    values = [100 * row[f"num_dead_{key}"] / row["num_units"] for row in rows]
    return f"{fmean(values):.1f} ± {stdev(values):.1f}"


def _ends(rows: list[Row]) -> str:
    first, last = (
        100 * fmean(row[f"dead_activation_{end}"] for row in rows)
        for end in ("first", "last")
    )
    return f"{first:.0f} / {last:.0f}"


def _most_changed(rows: list[Row]) -> str:
    gaps = [abs(row["test_score"] - row["test_removed_activation"]) for row in rows]
    return f"{100 * max(gaps):.2f}"


def _dead_units() -> GridTable:
    cells = [("Adam", 0.0), *product(("Adam", "AdamW", "SGD"), (implicit.WEAK,))]
    cells += product(("Adam", "AdamW", "SGD"), (implicit.STRONG,))
    lines = [
        Line(
            (graph, method, f"{decay:g}"),
            {"dataset": graph, "method": method, "decay": decay},
        )
        for graph in implicit.GRAPHS
        for method, decay in cells
    ]
    columns = (
        Column("test", cell=partial(points, seeds=5)),
        Column("off by activation, %", cell=partial(_share, key="activation")),
        Column("off by scale, %", cell=partial(_share, key="scale")),
        Column("first / last hidden layer, %", cell=_ends),
        Column("most that removal changes, points", cell=_most_changed),
    )
    return GridTable("implicit", ("graph", "optimiser", "penalty"), lines, columns)


def _dead_differences(results: Results) -> str:
    """Return differences of dead units, seed by seed, in percent of the units."""
    strong, weak = implicit.STRONG, implicit.WEAK

    def off(row: Row) -> float:
        return 100 * row["num_dead_activation"] / row["num_units"]

    def end(row: Row, name: str) -> float:
        return 100 * row[f"dead_activation_{name}"]

    lines = []
    for graph in implicit.GRAPHS:
        here = select(results("implicit"), {"dataset": graph})

        def of(
            method: str, decay: float, value: Callable[[Row], float], rows: list = here
        ) -> dict[int, float]:
            found = select(rows, {"method": method, "decay": decay})
            return {row["seed"]: value(row) for row in found}

        adam = of("Adam", strong, off)
        pairs = [
            (adam, of("AdamW", strong, off)),
            (adam, of("SGD", strong, off)),
            (adam, of("Adam", weak, off)),
            tuple(
                of("Adam", strong, partial(end, name=it)) for it in ("first", "last")
            ),
        ]
        cells = []
        for first, second in pairs:
            mean, half = paired_difference(first, second)
            digits = 0 if abs(mean) >= 10 else 1
            cells.append(f"{mean:+.{digits}f} ± {half:.{digits}f}")
        lines.append([graph, *cells])
    titles = ("Adam - AdamW, both 5e-3", "Adam - SGD, both 5e-3", "Adam, 5e-3 - 5e-4")
    return markdown(["graph", *titles, "first - last layer"], lines)


def _chosen(results: Results, case: int) -> tuple[str, dict[str, dict[int, float]]]:
    """Return the structured method that validation chooses, and all test scores."""
    where = {"dataset": CASES[case].dataset, "fewer": CASES[case].fewer}
    rows = select(results("structured"), where)
    best = max(
        STRUCTURED,
        key=lambda it: fmean(r["val_best"] for r in select(rows, {"method": it})),
    )
    names = ("Dense", best, "Small", "RandomWeight")
    return best, {name: scores(rows, method=name) for name in names}


def _idle(results: Results, case: int) -> Row:
    """Return the row of the contest ``compact_models`` on an idle core."""
    (row,) = select(results("compact_models"), {"dataset": CASES[case].dataset})
    return row


def _targets(results: Results) -> str:
    """Return what the choice of validation loses and gains on each graph."""
    lines = []
    for i, case in enumerate(CASES):
        best, found = _chosen(results, i)
        lost = _gap(found["Dense"], found[best])
        others = [_gap(found[best], found[it]) for it in ("Small", "RandomWeight")]
        rows = select(results("structured"), {"dataset": case.dataset, "method": best})
        idle = _idle(results, i)
        speed = f"{idle['speedup']:.1f}x"
        if "speedup_dense_x" in idle:
            speed += f" (dense features {idle['speedup_dense_x']:.1f}x)"
        fewer = rows[0]["multiply_adds_before"] / rows[0]["multiply_adds"]
        in_rows = f"{median(row['speedup_cpu'] for row in rows):.2f}x"
        lines.append(
            [case.dataset, f"`{best}`", lost, *others, f"{fewer:.1f}x", in_rows, speed]
        )
    titles = ("graph", "chosen", "lost", "above `Small`", "above `RandomWeight`")
    more = ("multiply-adds", "speed in the rows", "on an idle core")
    return markdown([*titles, *more], lines)


def _gap(first: dict[int, float], second: dict[int, float]) -> str:
    mean, half = paired_difference(first, second)
    return f"{mean:.1f} ± {half:.1f}"


def _headline(results: Results) -> str:
    """Return the speed and the points lost on each graph, beside small models."""
    texts = []
    for i, case in enumerate(CASES):
        best, found = _chosen(results, i)
        lost, small, drawn = (
            _gap(found["Dense"], found[it]) for it in (best, "Small", "RandomWeight")
        )
        speed = f"{_idle(results, i)['speedup']:.1f}x"
        texts.append(f"{case.dataset} {speed}, {lost} points ({small}; {drawn})")
    return "; ".join(texts)


BLOCKS: Blocks = {
    "structured-headline": _headline,
    "structured-targets": _targets,
    **{f"structured-{it.dataset.lower()}": _smaller(i) for i, it in enumerate(CASES)},
    "dead-units": _dead_units(),
    "dead-unit-differences": _dead_differences,
}
