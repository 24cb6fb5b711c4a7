"""Seconds of a forward pass: dense models and structurally pruned ones.

The cases and the shapes are those of ``gsparse reproduce structured``. The weights are
random, as seconds do not depend on them, so that a machine is measured in a minute.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.papers.structured import CASES
from gsparse.bench.structured import StructuredConfig
from gsparse.bench.structured_costs import MOST_DENSE
from gsparse.bench.structured_shapes import shape_for
from gsparse.bench.tables.rows import Row
from gsparse.compaction import multiply_adds
from gsparse.train import SparseFeatures
from gsparse.train.fit import prepare

QUICK = StructuredConfig("digits", "gcn", "Dense", hidden=32)


def contenders(problem: Problem) -> list[Contender]:
    """Return a dense and a compact model, on features as stored and on dense ones."""
    cases = {case.dataset: case for case in (*CASES, QUICK)}
    if problem.graph not in cases:
        names = ", ".join(cases)
        raise ValueError(f"'graphs' must be of {names} (got {problem.graph})")
    case = cases[problem.graph]
    chosen = case.recipe()
    workspace = Workspace(None if problem.root is None else Path(problem.root))
    data = prepare(workspace.graphs(case.dense, 0).fit)
    weight = [] if data.get("edge_weight") is None else [data.edge_weight]
    example = (data.x, data.edge_index, *weight)
    dense = chosen.build(data, 0).eval()
    shape = shape_for(dense, chosen, data, example, case.fewer, case.output_heads)
    small = shape.of(chosen).build(data, 0).eval()
    inputs: dict[str, tuple[Any, ...]] = {"infer_seconds": example}
    if isinstance(data.x, SparseFeatures) and 4 * data.x.numel() <= MOST_DENSE:
        inputs["infer_seconds_dense_x"] = (data.x.to_dense(), *example[1:])
    facts: Row = {
        "hidden": chosen.options["hidden_channels"],
        "heads_after": shape.heads,
        "width_after": shape.width,
        "multiply_adds_before": multiply_adds(dense, example),
    }
    return [
        Contender(
            method,
            {key: partial(_infer, model, example) for key, example in inputs.items()},
            {"model": case.model, "rounds": problem.repeats},
            facts=facts | {"multiply_adds": multiply_adds(model, example)},
        )
        for method, model in (("dense", dense), ("compact", small))
    ]


@torch.no_grad()
def _infer(model: Module, example: tuple[Any, ...], _: int) -> None:
    model(*example)


def finish(rows: list[Row]) -> list[Row]:
    """Add the seconds of the dense model, and the ratios, to the compact one's row."""
    dense, small = rows[0], rows[-1]
    for x in ("", "_dense_x"):
        if small.get(f"infer_seconds{x}") and dense.get(f"infer_seconds{x}"):
            small[f"infer_seconds_before{x}"] = dense[f"infer_seconds{x}"]
            for key, cpu in (("speedup", ""), ("speedup_cpu", "cpu_")):
                field = f"infer_{cpu}seconds{x}"
                small[key + x] = dense[field] / small[field]
    return rows


CONTEST = Contest(
    name="compact_models",
    about="inference: dense and structurally pruned models",
    contenders=contenders,
    graphs=tuple(case.dataset for case in CASES),
    keys=("model",),
    columns={
        "multiply_adds": "mult-adds",
        "infer_seconds": "infer ms",
        "infer_seconds_dense_x": "dense x ms",
        "infer_peak_bytes": "peak MB",
    },
    repeats=31,
    finish=finish,
)
