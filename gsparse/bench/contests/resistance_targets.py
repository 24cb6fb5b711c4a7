"""Seconds of ours and of the peers at equal errors of the effective resistances."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from gsparse.bench.contests.resistance_rivals import PLAIN_SAMPLERS
from gsparse.bench.tables.rows import Row

TARGETS = (
    ("rms_relative_error", "rms error", (0.16, 0.06, 0.03, 0.01, 0.003, 0.001)),
    ("max_relative_error", "largest", (1.0, 0.3, 0.1, 0.03, 0.01)),
)
"""Field, title and values of the errors at which seconds are compared."""


class Best(NamedTuple):
    """The least time in which an error is met, and the row that meets it."""

    seconds: float
    row: Row


def format_targets(rows: list[Row]) -> str:
    """Return the seconds of peers and ours at each rms and each largest error."""
    timed = [
        row for row in rows if row.get("seconds") is not None and TARGETS[0][0] in row
    ]
    lines = []
    for field, title, targets in TARGETS:
        lines.append(f"{title:>9}{'peer s':>8}{'ours s':>8}{'ratio':>7}")
        for target in targets:
            peer = best_at([r for r in timed if r["is_peer"]], field, target)
            ours = best_at([r for r in timed if not r["is_peer"]], field, target)
            if peer is None or ours is None:
                continue
            lines.append(
                f"{target:>9g}{peer.seconds:>8.3f}{ours.seconds:>8.3f}"
                f"{peer.seconds / ours.seconds:>6.1f}x  "
                f"{_name(ours.row)} and {_name(peer.row)}"
            )
    return "\n".join(lines)


def best_at(rows: Iterable[Row], field: str, target: float) -> Best | None:
    """Return the fastest way to an error no larger than a target.

    A row counts if it meets the target. Plain samplers of the peers count at every
    target, with the time that follows from the law of their sampling: errors fall with
    the root of the time.

    Args:
        rows: Rows that have seconds.
        field: Field of the error.
        target: Largest error allowed.

    Returns:
        The least seconds and their row; None if no row meets the target.
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
