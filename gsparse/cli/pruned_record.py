"""The record of a pruned model as text."""

from collections.abc import Mapping
from typing import Any

from gsparse.bench.tables.table import columns


def format_record(record: Mapping[str, Any]) -> str:
    """Return a record of :func:`gsparse.deploy.prune_model` in 80 columns."""
    lines = []
    for name, key in (
        ("parameters, not 0", "num_parameters"),
        ("multiply-adds", "multiply_adds"),
        ("bytes", "num_bytes"),
    ):
        before, after = record[f"{key}_before"], record[f"{key}_after"]
        if after is not None:
            share = f"{after / max(before, 1):.1%}"
            lines.append((name, f"{before:,}", f"{after:,}", share))
    for name, key in (("validation", "val_score"), ("test", "test_score")):
        before, after = (100 * record[f"{key}_{when}"] for when in ("before", "after"))
        name = f"{name} {record['metric']}"
        lines.append((name, f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}"))
    table = columns(
        [
            dict(zip(("", "dense", "pruned", "left"), line, strict=True))
            for line in lines
        ]
    )
    what = record["structure"] or "weights"
    title = (
        f"{record['dataset']} ({record['split']}), {record['model']}: "
        f"{record['pruner']}, {record['weight_sparsity']:.2%} of {what}"
    )
    title += f", {record['bits']} bits" if record["bits"] else ""
    end = f"\n\nwritten to {record['output']}" if record["output"] else ""
    return f"{title}\n\n{table}{end}"
