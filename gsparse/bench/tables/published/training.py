"""A sentence on whole trainings, from ``sparse_features.jsonl``."""

from statistics import median

from gsparse.bench.tables.documents import Blocks, Results
from gsparse.bench.tables.rows import select


def _gcn(results: Results) -> str:
    """Return the seconds of 200 epochs with PyG and with ours, and their ratio."""
    rows = results("sparse_features")
    slow, fast = (
        median(row["seconds"] for row in select(rows, {"method": it}))
        for it in ("PyG", "gsparse")
    )
    return f"{slow:.0f} s and {fast:.1f} s, {slow / fast:.1f}x"


BLOCKS: Blocks = {"gcn-headline": _gcn}
