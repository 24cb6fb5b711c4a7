"""Seconds of a forward pass, of dense models and of structurally pruned ones.

Run as ``python -m gsparse.bench.compact_models``. Both take turns in one process. The
cases and the shapes are those of ``gsparse reproduce structured``; the weights are
random, as seconds do not depend on them, so that a machine is measured in a minute.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.papers.structured import CASES
from gsparse.bench.structured import StructuredConfig
from gsparse.bench.structured_costs import timings
from gsparse.bench.structured_shapes import shape_for
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.compaction import multiply_adds
from gsparse.nn.calling import model_arguments
from gsparse.train.fit import prepare

ROUNDS = 31
"""Turns of each model, at most; ten seconds end them early."""


def measure(
    case: StructuredConfig, rounds: int = ROUNDS, root: Path | None = None
) -> Row:
    """One row: medians of both models, on features as they are stored, and dense.

    Args:
        case: Graph, model, and how much smaller it gets.
        rounds: Most turns of a timing.
        root: Folder of the data sets.
    """
    chosen = case.recipe()
    data = prepare(Workspace(root).graphs(case.dense, 0).fit)
    example, dense = model_arguments(data), chosen.build(data, 0).eval()
    shape = shape_for(dense, chosen, data, example, case.fewer, case.output_heads)
    small = shape.of(chosen).build(data, 0).eval()
    row = measurement(
        "compact_models",
        case.dataset,
        "compact",
        {"model": case.model, "rounds": rounds},
        hidden=chosen.options["hidden_channels"],
        heads_after=shape.heads,
        width_after=shape.width,
        multiply_adds=multiply_adds(small, example),
        multiply_adds_before=multiply_adds(dense, example),
    )
    return row | timings(dense, small, example, rounds)


def format_rows(rows: Sequence[Row]) -> str:
    """A line a graph: milliseconds before and after, and how many times as fast."""
    lines = [
        f"{'graph':10}{'model':6}{'mult-adds':>10}{'dense':>10}{'compact':>9}"
        f"{'speed':>8}{'dense x':>9}"
    ]
    for row in rows:
        fewer = row["multiply_adds_before"] / row["multiply_adds"]
        before, after = row["infer_seconds_before"], row["infer_seconds"]
        full = row.get("speedup_dense_x")
        lines.append(
            f"{row['dataset']:10}{row['model']:6}{fewer:9.1f}x{1e3 * before:7.1f} ms"
            f"{1e3 * after:6.1f} ms{row['speedup']:7.2f}x"
            + (f"{full:8.2f}x" if full else f"{'-':>9}")
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the cases, print a table, append rows."""
    parser = argparse.ArgumentParser(prog="python -m gsparse.bench.compact_models")
    names = [case.dataset for case in CASES]
    parser.add_argument("--graphs", default=",".join(names), help="of these")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--out", type=Path, help="a .jsonl file to append rows to")
    args = parser.parse_args(arguments)
    wanted = args.graphs.split(",")
    if set(wanted) - set(names):
        parser.error(f"--graphs must be of {', '.join(names)} (got {args.graphs})")
    rows = []
    for case in CASES:
        if case.dataset in wanted:
            rows.append(measure(case, args.rounds, args.data_root))
            append_rows(args.out, rows[-1:])
    print(format_rows(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
