"""Seconds of a training epoch against the number of nodes, degrees growing with it.

Run it as a module. FastGAT's first claim: on the full graph an
epoch costs as much as there are edges, on the sparsified one, of O(n log n) edges,
almost as much as there are nodes. The slopes of both lines, in logarithms, say so.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch_geometric.data import Data

from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import Row
from gsparse.data import chung_lu
from gsparse.train import GAT, FitConfig, fit
from gsparse.train.fit import seeded
from gsparse.transforms import EffectiveResistance

SIZES = (10_000, 30_000, 100_000, 300_000)
CLASSES, FEATURES, SEED = 8, 64, 73009
#: Directed edges a node at 10,000 nodes; grows as the square root of the nodes.
DEGREE = 20


def make_graph(num_nodes: int) -> Data:
    """A Chung-Lu graph with random features and labels; all nodes are trained on."""
    degree = DEGREE * (num_nodes / 10_000) ** 0.5
    num_edges = 2 * round(num_nodes * degree / 2)
    data = chung_lu(num_nodes, num_edges, exponent=2.5, seed=SEED)
    generator = torch.Generator().manual_seed(SEED)
    data.x = torch.randn(num_nodes, FEATURES, generator=generator)
    data.y = torch.randint(CLASSES, (num_nodes,), generator=generator)
    data.train_mask = torch.ones(num_nodes, dtype=torch.bool)
    data.val_mask = torch.arange(num_nodes) < 10
    return data


def epoch_seconds(data: Data, epochs: int) -> float:
    """Median seconds of a training epoch of a two-layer GAT with 8 heads of 8."""
    with seeded(SEED):
        model = GAT(FEATURES, 8, CLASSES)
    return fit(model, data, config=FitConfig(epochs=epochs + 3), seed=0).epoch_seconds


def measure(num_nodes: int, epsilon: float, epochs: int) -> list[Row]:
    """One row for the full graph, one for the sparsified."""
    data = make_graph(num_nodes)
    start = perf_counter()
    transform = EffectiveResistance(epsilon=epsilon, reweight=False, seed=SEED)
    cut = transform(data)
    preprocess = perf_counter() - start
    rows = []
    for method, graph in (("Dense", data), ("EffectiveResistance", cut)):
        settings: Row = {"model": "gat", "num_layers": 2, "hidden": 8}
        found: Row = {
            "num_nodes": num_nodes,
            "num_edges": graph.num_edges,
            "train_epoch_seconds": epoch_seconds(graph, epochs),
        }
        if graph is cut:
            found |= {"epsilon": epsilon, "preprocess_seconds": preprocess}
        settings |= {"num_nodes": num_nodes, "epsilon": epsilon}
        rows.append(measurement("scaling", "chung_lu", method, settings, **found))
    return rows


def slope(rows: Sequence[Row], method: str, key: str) -> float:
    """Least-squares slope of the logarithm of a column against that of the nodes."""
    mine = [row for row in rows if row["method"] == method]
    nodes, values = [r["num_nodes"] for r in mine], [r[key] for r in mine]
    return float(np.polyfit(np.log(nodes), np.log(values), 1)[0])


def format_row(row: Row) -> str:
    """One line of the table."""
    line = f"{row['num_nodes']:>8}{row['method']:>21}{row['num_edges']:>12}"
    line += f"{1e3 * row['train_epoch_seconds']:>10.1f}"
    return line + f"{row.get('preprocess_seconds', 0):>12.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all sizes, print the table and the slopes, append rows to a file."""
    parser = argparse.ArgumentParser(prog="scaling")
    sizes = ",".join(map(str, SIZES))
    parser.add_argument("--sizes", default=sizes, help="nodes, with commas")
    parser.add_argument("--epsilon", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, help="file for one JSON line a graph")
    options = parser.parse_args(arguments)
    titles = ("nodes", "method", "edges", "epoch ms", "sparsify s")
    sys.stdout.write("{:>8}{:>21}{:>12}{:>10}{:>12}\n".format(*titles))
    measure(1000, options.epsilon, 1)  # compiles
    rows: list[Row] = []
    for num_nodes in map(int, options.sizes.split(",")):
        found = measure(num_nodes, options.epsilon, options.epochs)
        sys.stdout.write("\n".join(map(format_row, found)) + "\n")
        sys.stdout.flush()
        rows += found
        append_rows(options.out, found)
    if len(options.sizes.split(",")) > 1:
        for method in ("Dense", "EffectiveResistance"):
            time = slope(rows, method, "train_epoch_seconds")
            edges = slope(rows, method, "num_edges")
            sys.stdout.write(
                f"{method}: time ~ nodes^{time:.2f}, edges ~ nodes^{edges:.2f}\n"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
