"""Tables of a contest in 80 columns: medians, spread, and ratios to the baseline."""

from statistics import fmean, median

from gsparse.bench.contests.compare import RAN
from gsparse.bench.contests.contest import Contest, spread
from gsparse.bench.tables.rows import Row

WIDTH = 80


def format_rows(contest: Contest, rows: list[Row], spreads: bool = True) -> str:
    """Return one line for each method and setting.

    Seconds are medians in milliseconds, with half of the range between the fastest and
    the slowest turn; ``x`` is the time of the baseline divided by that of the line.
    Other numbers of several rows are means with standard deviations.

    Args:
        contest: The contest.
        rows: Rows of one problem.
        spreads: Show ranges and deviations, if the lines are short enough.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        key = (row["method"], *(_cell([row], name, False) for name in contest.keys))
        groups.setdefault(key, []).append(row)
    shown = {
        name: title
        for name, title in contest.columns.items()
        if any(row.get(name) is not None for row in rows)
    }
    titles = ["", *[""] * len(contest.keys)]
    for name, title in shown.items():
        titles += [title, "x"] if "seconds" in name else [title]
    lines, notes = [titles], [""]
    baseline = contest.baseline or rows[0]["method"]
    base = next((group for key, group in groups.items() if key[0] == baseline), [])
    for key, group in groups.items():
        base = group if key[0] == baseline else base
        cells = [*key]
        for name in shown:
            cells.append(_cell(group, name, spreads))
            if "seconds" in name:
                own, other = _middle(group, name), _middle(base, name)
                cells.append(f"{other / own:.2f}" if own and other else "-")
        outcome = group[0].get("outcome", RAN)
        notes.append("" if outcome == RAN else f"  {outcome}")
        is_empty = set(cells[len(key) :]) == {"-"}
        lines.append([*key, *[""] * len(cells[len(key) :])] if is_empty else cells)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if spreads and sum(widths) + 2 * len(widths) - 2 > WIDTH:
        return format_rows(contest, rows, spreads=False)
    return "\n".join(
        (_line(cells, widths) + note)[:WIDTH]
        for cells, note in zip(lines, notes, strict=True)
    )


def _line(cells: list[str], widths: list[int]) -> str:
    others = (c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True))
    return "  ".join([cells[0].ljust(widths[0]), *others]).rstrip()


def _middle(rows: list[Row], name: str) -> float | None:
    values = [row[name] for row in rows if row.get(name) is not None]
    return median(values) if values else None


def _cell(rows: list[Row], name: str, spreads: bool) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    if not values or isinstance(values[0], str):
        return values[0] if values else "-"
    if "seconds" not in name:
        scale = 1e-6 if "bytes" in name else 1.0
        error = scale * spread(values)
        text = f" ±{error:.1g}" if error and spreads else ""
        return _number(scale * fmean(values)) + text
    low = min([*values, *(v for row in rows if (v := row.get(f"{name}_min")))])
    high = max([*values, *(v for row in rows if (v := row.get(f"{name}_max")))])
    middle = median(values)
    error = (high - low) / 2 / middle if middle else 0.0
    return _number(1e3 * middle) + (f" ±{error:.0%}" if error and spreads else "")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
