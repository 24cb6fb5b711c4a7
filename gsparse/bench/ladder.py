"""Time an epoch of a GAT, from PyG's on the full graph to ours on the sparse one.

Run as ``python -m gsparse.bench.ladder``. Each rung changes one thing: PyG's model,
then sparse features, then fused attention, then fewer edges. All rungs take turns in
one process, and medians are compared; peak memory is measured in a fresh process for
each.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch.nn import Module
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data

from gsparse.bench.contests.plain_pyg import PlainModel
from gsparse.bench.epoch_parts import PARTS, epoch_parts
from gsparse.bench.experiment.fresh_process import ask
from gsparse.bench.experiment.memory import peak, reset_peak
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.train import recipe, sparse_features
from gsparse.train.fit import seeded
from gsparse.train.recipes import num_classes
from gsparse.transforms import EffectiveResistance

GRAPHS = ("Physics", "Computers", "GitHub", "tolokers", "cornell5")
RUNGS = ("PyG", "sparse features", "fused attention", "fewer edges")
BESIDE = "PyG, fewer edges"  # no rung: the gain of fewer edges in PyG's layer
WARM_UP = 2  # rounds that compile and fill caches


@dataclass(frozen=True)
class Rung:
    """A model and the graph it is trained on."""

    name: str
    model: Module
    data: Data
    optimizer: torch.optim.Optimizer

    def epoch(self) -> None:
        """Run one step of full-batch training."""
        data, mask = self.data, self.data.train_mask
        self.model.train()
        self.optimizer.zero_grad()
        out = self.model(data.x, data.edge_index)
        cross_entropy(out[mask], data.y[mask]).backward()
        self.optimizer.step()


def make_rung(name: str, data: Data, cut: Data) -> Rung:
    """Return a contender; the weights of all contenders have the same seed.

    Args:
        name: One of ``RUNGS``, or ``BESIDE``.
        data: The full graph with dense features.
        cut: The sparsified graph, also with dense features.
    """
    chosen = recipe(data.name, "gat")
    config = chosen.fit
    if name in ("PyG", BESIDE):
        data = cut if name == BESIDE else data
        with seeded(0):
            model: Module = PlainModel(chosen, data.x.size(1), num_classes(data.y))
        options: dict[str, Any] = {}
    else:
        attention = "pyg" if name == "sparse features" else "fused"
        options = {"fused": True}
        data = Data.clone(cut if name == "fewer edges" else data)
        data.x = sparse_features(data.x)
        extended = replace(chosen, options={**chosen.options, "attention": attention})
        model = extended.build(data, 0)
    optimizer = torch.optim.Adam(
        model.parameters(), lr=config.lr, weight_decay=config.weight_decay, **options
    )
    return Rung(name, model, data, optimizer)


def make_graphs(
    name: str, split: str, sparsity: float, root: Path | None
) -> tuple[Data, Data, float]:
    """Return the full graph, the sparsified one, and the seconds of the sparsifier."""
    data = load(name, root, split=split, seed=0)
    data.name = name
    transform = EffectiveResistance(sparsity=sparsity, reweight=False, seed=0)
    transform(data)  # compiles
    start = perf_counter()
    cut = transform(data)
    return data, cut, perf_counter() - start


def climb(
    name: str,
    *,
    split: str = "60-20-20",
    sparsity: float = 0.9,
    rounds: int = 10,
    root: Path | None = None,
    memory: bool = False,
) -> list[Row]:
    """Time all rungs on one graph, and PyG's model on the sparse graph.

    Args:
        name: A data set.
        split: Kind of split; decides only which nodes are in the loss.
        sparsity: Sparsity of the last rung, by effective resistance.
        rounds: Number of epochs of each rung.
        root: Folder of the data sets.
        memory: Whether to measure peak bytes, each in a fresh process.

    Returns:
        One row per rung, followed by PyG's model on the sparse graph.
    """
    data, cut, preprocess = make_graphs(name, split, sparsity, root)
    rungs = [make_rung(rung, data, cut) for rung in (*RUNGS, BESIDE)]
    seconds: dict[str, list[float]] = {rung.name: [] for rung in rungs}
    for turn in range(WARM_UP + rounds):
        for rung in rungs:
            start = perf_counter()
            rung.epoch()
            if turn >= WARM_UP:
                seconds[rung.name].append(perf_counter() - start)
    rows = []
    for rung in rungs:
        is_cut = rung.name in (RUNGS[-1], BESIDE)
        shares: Row = {f"share_{p}": s for p, s in epoch_parts(rung.epoch).items()}
        row = measurement(
            "ladder",
            name,
            rung.name,
            {"model": "gat", "split": split, "sparsity": sparsity if is_cut else 0.0},
            num_nodes=data.num_nodes,
            num_edges=rung.data.num_edges,
            num_features=data.x.size(1),
            train_epoch_seconds=median(seconds[rung.name]),
            **shares,
        )
        if is_cut:
            row["preprocess_seconds"] = preprocess
        if memory:
            where = None if root is None else str(root)
            request = [name, split, sparsity, where, rung.name]
            row["train_peak_bytes"] = ask(_rise, request, "no peak of an epoch")
        rows.append(row)
    return rows


def _rise(request: list[Any]) -> int:
    """Return the rise of this process's memory during three epochs."""
    name, split, sparsity, root, rung_name = request
    folder = None if root is None else Path(root)
    data, cut, _ = make_graphs(name, split, sparsity, folder)
    toy = _toy(data)
    warm = make_rung(rung_name, toy, toy)
    warm.epoch()
    rung = make_rung(rung_name, data, cut)
    del warm, toy
    before = reset_peak(torch.device("cpu"))
    for _ in range(3):
        rung.epoch()
    return peak(torch.device("cpu")) - before


def _toy(data: Data) -> Data:
    """Return a small graph of the same features and classes, to load libraries."""
    few = data.subgraph(torch.arange(min(2000, data.num_nodes)))
    few.y = torch.arange(few.num_nodes) % num_classes(data.y)
    few.train_mask = torch.ones(few.num_nodes, dtype=torch.bool)
    return few


def format_rows(rows: Sequence[Row]) -> str:
    """Format one line per rung: milliseconds, gain of the step, total gain, bytes."""
    first, last, beside = rows[0], rows[-2], rows[-1]
    lines = [
        f"{first['dataset']}: {first['num_nodes']} nodes, {first['num_edges']} edges, "
        f"{first['num_features']} features"
    ]
    titles = ("rung", "ms", "step", "total", "peak MB", "total")
    lines.append("  {:18}{:>9}{:>8}{:>9}{:>10}{:>8}".format(*titles))
    before = [first, *rows[:-2], first]
    lines += [_line(*row, first) for row in zip(rows, before, strict=True)]
    lines[-1] += f"   (beside; {beside['sparsity']:.0%} removed)"
    shares = {part: last[f"share_{part}"] for part in (*PARTS, "other")}
    left = sorted(shares.items(), key=lambda part: -part[1])
    text = ", ".join(f"{part} {share:.0%}" for part, share in left[:3])
    lines.append(f"  left of the last epoch: {text}")
    return "\n".join(lines)


def _line(row: Row, before: Row, first: Row) -> str:
    seconds, step = row["train_epoch_seconds"], before["train_epoch_seconds"]
    line = f"  {row['method']:18}{1e3 * seconds:>9.1f}{step / seconds:>7.1f}x"
    line += f"{first['train_epoch_seconds'] / seconds:>8.1f}x"
    if "train_peak_bytes" in row:
        size = max(row["train_peak_bytes"], 1)
        line += f"{size / 1e6:>10.0f}{first['train_peak_bytes'] / size:>7.1f}x"
    return line


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all rungs on each graph, print them, and append their rows to a file."""
    parser = argparse.ArgumentParser(prog="python -m gsparse.bench.ladder")
    parser.add_argument("--graphs", default=",".join(GRAPHS), help="names, with commas")
    parser.add_argument("--split", default="60-20-20")
    parser.add_argument(
        "--sparsity", type=float, default=0.9, help="sparsity of the last rung"
    )
    parser.add_argument("--rounds", type=int, default=10, help="number of epochs")
    parser.add_argument("--threads", type=int, help="threads of torch and ours")
    parser.add_argument("--memory", action="store_true", help="peak of fresh processes")
    parser.add_argument("--root", type=Path, help="folder of the data sets")
    parser.add_argument("--out", type=Path, help="file for one JSON line a rung")
    options = parser.parse_args(arguments)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    for name in options.graphs.split(","):
        rows = climb(
            name,
            split=options.split,
            sparsity=options.sparsity,
            rounds=options.rounds,
            root=options.root,
            memory=options.memory,
        )
        sys.stdout.write(format_rows(rows) + "\n")
        sys.stdout.flush()
        append_rows(options.out, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
