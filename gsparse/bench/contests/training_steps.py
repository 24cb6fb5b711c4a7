"""Seconds of a training epoch: on the whole graph, on a part of it, with masks.

Run it as a module. Contenders take turns of a few epochs
in one process, so that a busy machine is unfair to all alike: the recipe as it is; the
same on receptive fields (:class:`~gsparse.train.FitConfig`, ``hops``); with
:class:`~gsparse.prune.ProbMask` on the whole graph, which makes two passes an epoch;
and :func:`~gsparse.train.fit_mask` of a :class:`~gsparse.nn.KEdge` round the model.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from torch_geometric.data import Data

from gsparse.bench.experiment.config import REACH
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.nn import KEdge
from gsparse.prune import ProbMask
from gsparse.train import FitConfig, History, Recipe, fit, fit_mask, recipe
from gsparse.train.fit import WARM_UP, prepare
from gsparse.train.mask import MASK_FIT

GRAPHS, MODELS = ("PubMed", "CiteSeer", "Cora"), ("gat", "gcn")
CONTENDERS = ("whole", "part", "ProbMask", "KEdge")
EPOCHS, ROUNDS = WARM_UP + 9, 5
WEIGHT_SPARSITY, EDGE_SPARSITY = 0.95, 0.8


def measure(
    name: str, model: str, rounds: int = ROUNDS, root: Path | None = None
) -> list[Row]:
    """One row a contender: medians over the rounds of the medians of their epochs.

    Args:
        name: A data set.
        model: ``"gcn"``, ``"gat"`` or ``"sage"``.
        rounds: Turns of each contender; one more, before, compiles.
        root: Folder of the data sets.
    """
    if rounds < 1:
        raise ValueError(f"'rounds' must be at least 1 (got {rounds})")
    data = prepare(load(name, root=root, sparse_features=True))
    chosen = recipe(name, model)
    turns: dict[str, list[History]] = {it: [] for it in CONTENDERS}
    for i in range(rounds + 1):
        for contender in CONTENDERS if i % 2 else CONTENDERS[::-1]:
            history = _turn(contender, chosen, data)
            if i:
                turns[contender].append(history)
    return [
        measurement(
            "training_steps",
            name,
            contender,
            {"model": model, "rounds": rounds},
            train_epoch_seconds=median(it.epoch_seconds for it in found),
            infer_seconds=median(it.infer_seconds for it in found),
        )
        for contender, found in turns.items()
    ]


def _turn(contender: str, chosen: Recipe, data: Data) -> History:
    """A few epochs from fresh weights."""
    net = chosen.build(data, 0)
    settings: FitConfig = replace(chosen.fit, epochs=EPOCHS, patience=EPOCHS)
    if contender == "part":
        settings = replace(settings, hops=REACH[chosen.model])
    if contender == "KEdge":
        mask = KEdge(
            net,
            data.num_features,
            EDGE_SPARSITY,
            edge_index=data.edge_index,
            seed=0,
        )
        settings = replace(MASK_FIT, epochs=EPOCHS, patience=EPOCHS)
        return fit_mask(mask, data, config=settings)
    pruner = None
    if contender == "ProbMask":
        pruner = ProbMask(net, WEIGHT_SPARSITY, num_steps=EPOCHS, seed=0)
    return fit(net, data, config=settings, pruner=pruner)


def format_rows(rows: Sequence[Row]) -> str:
    """A line a row: milliseconds, and those of the whole graph as so many of them."""
    lines = [f"{'graph':10}{'model':6}{'':10}{'train':>9}{'infer':>9}{'ratio':>8}"]
    whole = 0.0
    for row in rows:
        train, infer = row["train_epoch_seconds"], row["infer_seconds"]
        whole = train if row["method"] == CONTENDERS[0] else whole
        line = f"{row['dataset']:10}{row['model']:6}{row['method']:10}"
        lines.append(
            line + f"{1e3 * train:9.2f}{1e3 * infer:9.2f}{train / whole:7.2f}x"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all graphs and models, print a table, append rows."""
    parser = argparse.ArgumentParser(prog="training_steps")
    parser.add_argument("--graphs", default=",".join(GRAPHS))
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--out", type=Path, help="a .jsonl file to append rows to")
    args = parser.parse_args(arguments)
    rows = []
    for name in args.graphs.split(","):
        for model in args.models.split(","):
            found = measure(name, model, args.rounds, args.data_root)
            append_rows(args.out, found)
            rows += found
    print(format_rows(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
