"""Print the rows of the resistance benchmark, and who is faster at equal error."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from gsparse.bench.contests.resistance_rivals import PLAIN_SAMPLERS
from gsparse.bench.tables.rows import Row

#: Errors at which the seconds of all are compared: field, title, targets.
TARGETS = (
    ("rms_relative_error", "rms error", (0.16, 0.06, 0.03, 0.01, 0.003, 0.001)),
    ("max_relative_error", "largest", (1.0, 0.3, 0.1, 0.03, 0.01)),
)


class Best(NamedTuple):
    """The least time in which an error is met, and by which row."""

    seconds: float
    row: Row


def format_rows(rows: Iterable[Row]) -> str:
    """One line per contender, and one for the memory."""
    titles = ("method", "setting", "seconds", "rms error", "largest", "absolute")
    lines = ["{:26}{:>9}{:>10}{:>11}{:>10}{:>10}".format(*titles)]
    for row in rows:
        if row["method"] == "memory":
            megabytes = row["peak_bytes"] / 1e6, row["edge_index_bytes"] / 1e6
            lines.append(
                "scored and cut in a fresh process: peak {:.0f} MB above {:.0f} MB of "
                "edge_index, {:.2f} times as much".format(*megabytes, row["peak_ratio"])
            )
            continue
        start = f"{row['method']:26}{row['setting']:>9g}"
        if row["seconds"] is None:
            lines.append(f"{start}  {row['outcome']}")
            continue
        lines.append(
            f"{start}{row['seconds']:>10.3f}{row['rms_relative_error']:>11.5f}"
            f"{row['max_relative_error']:>10.5f}{row['max_absolute_error']:>10.5f}"
        )
    return "\n".join(lines)


def format_targets(rows: list[Row]) -> str:
    """For each rms and each largest relative error: the peers' seconds and ours."""
    timed = [row for row in rows if row.get("seconds") is not None]
    lines = []
    for field, title, targets in TARGETS:
        lines.append(f"{title:>9}{'peer':>9}{'ours':>9}{'ratio':>8}")
        for target in targets:
            peer = best_at([r for r in timed if r["is_peer"]], field, target)
            ours = best_at([r for r in timed if not r["is_peer"]], field, target)
            if peer is None or ours is None:
                continue
            lines.append(
                f"{target:>9g}{peer.seconds:>9.3f}{ours.seconds:>9.3f}"
                f"{peer.seconds / ours.seconds:>7.1f}x   "
                f"{_name(ours.row)} beside {_name(peer.row)}"
            )
    return "\n".join(lines)


def best_at(rows: Iterable[Row], field: str, target: float) -> Best | None:
    """The fastest way to an error no larger than a target.

    A row counts where it meets the target. Plain samplers of the peers count at any
    target, with the time that the law of their sampling gives: errors fall with the
    root of the time.

    Args:
        rows: Rows that have seconds.
        field: Which error.
        target: Its largest value.

    Returns:
        The least seconds and their row; None where no row meets the target.
    """
    found = []
    for row in rows:
        if row["method"] in PLAIN_SAMPLERS:
            continue
        if row[field] <= target:
            found.append(Best(row["seconds"], row))
    for method in PLAIN_SAMPLERS:
        mine = [r for r in rows if r["method"] == method and r[field] > 0]
        if mine:
            near = min(mine, key=lambda r: abs(math.log(r[field] / target)))
            found.append(Best(near["seconds"] * (near[field] / target) ** 2, near))
    return min(found, key=lambda best: best.seconds, default=None)


def _name(row: Row) -> str:
    return f"{row['method']} {row['setting']:g}"
