"""Choose rows of the contest ``epoch``."""

from collections.abc import Sequence

from gsparse.bench.tables.rows import Row

SECONDS, BYTES = "train_epoch_seconds", "train_peak_bytes"
FEWER = ", fewer edges"
"""End of the names of contenders on the sparsified graph."""


def fastest(
    rows: Sequence[Row], *, is_peer: bool, sparsity: float, compiled: bool | None = None
) -> Row | None:
    """Return the row of the least median, or None if no contender ran.

    Args:
        rows: Rows of one graph, model and number of threads, of any allocators.
        is_peer: PyG's rows, or ours.
        sparsity: Fraction of the edges removed.
        compiled: Compiled or eager rows only; None for both.
    """
    found = [
        row
        for row in rows
        if row["is_peer"] == is_peer
        and row["sparsity"] == sparsity
        and row.get(SECONDS) is not None
        and compiled in (None, "compiled" in row["method"])
    ]
    return min(found, key=lambda row: row[SECONDS], default=None)
