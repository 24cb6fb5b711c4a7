"""Seconds of a training epoch against the number of nodes, degrees growing with it.

FastGAT's first claim: on the full graph an epoch costs as much as there are edges, on
the sparsified one, of O(n log n) edges, almost as much as there are nodes. The slopes
of both lines on logarithmic axes show it.
"""

from functools import partial
from time import perf_counter

import numpy as np
import torch
from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.tables.rows import Row
from gsparse.data import chung_lu
from gsparse.nn.seeded import seeded
from gsparse.train import GAT, FitConfig, fit
from gsparse.train.history import WARM_UP
from gsparse.transforms import EffectiveResistance

CLASSES, FEATURES, SEED, EPSILON, EPOCHS = 8, 64, 73009, 0.5, 5
DEGREE = 20
"""Directed edges a node at 10,000 nodes; grows as the square root of the nodes."""


def make_graph(num_nodes: int) -> Data:
    """Return a Chung-Lu graph with random features and labels for all nodes."""
    degree = DEGREE * (num_nodes / 10_000) ** 0.5
    num_edges = 2 * round(num_nodes * degree / 2)
    data = chung_lu(num_nodes, num_edges, exponent=2.5, seed=SEED)
    generator = torch.Generator().manual_seed(SEED)
    data.x = torch.randn(num_nodes, FEATURES, generator=generator)
    data.y = torch.randint(CLASSES, (num_nodes,), generator=generator)
    data.train_mask = torch.ones(num_nodes, dtype=torch.bool)
    data.val_mask = torch.arange(num_nodes) < 10
    return data


def contenders(problem: Problem) -> list[Contender]:
    """Return a few epochs of a GAT with 8 heads of 8 on the full and the cut graph."""
    num_nodes = int(problem.size) if problem.graph == "chung_lu" else 1000
    data = make_graph(num_nodes)
    start = perf_counter()
    cut = EffectiveResistance(epsilon=EPSILON, reweight=False, seed=SEED)(data)
    preprocess: Row = {"preprocess_seconds": perf_counter() - start}
    settings: Row = {"model": "gat", "num_layers": 2, "hidden": 8}
    settings |= {"num_nodes": num_nodes, "epsilon": EPSILON}
    return [
        Contender(
            method,
            {"seconds": partial(_epoch, graph, 1 if problem.quick else EPOCHS)},
            settings,
            facts={"num_edges": graph.num_edges} | facts,
            check=lambda found: {"train_epoch_seconds": found},
        )
        for method, graph, facts in (
            ("Dense", data, {}),
            ("EffectiveResistance", cut, preprocess),
        )
    ]


def _epoch(data: Data, epochs: int, _: int) -> float:
    """Return the median seconds of an epoch."""
    with seeded(SEED):
        model = GAT(FEATURES, 8, CLASSES)
    config = FitConfig(epochs=epochs + WARM_UP)
    return fit(model, data, config=config, seed=0).epoch_seconds


def slope(rows: list[Row], method: str, key: str) -> float:
    """Return the least-squares slope of log(column) against log(nodes)."""
    mine = [row for row in rows if row["method"] == method]
    nodes, values = [r["num_nodes"] for r in mine], [r[key] for r in mine]
    return float(np.polyfit(np.log(nodes), np.log(values), 1)[0])


def summary(rows: list[Row]) -> str:
    """Return the exponents of time and edges in the number of nodes."""
    timed = [row for row in rows if row["train_epoch_seconds"] is not None]
    if len({row["num_nodes"] for row in timed}) < 2:
        return "one size has no slope"
    return "\n".join(
        f"{method}: time ~ nodes^{slope(timed, method, 'train_epoch_seconds'):.2f}, "
        f"edges ~ nodes^{slope(timed, method, 'num_edges'):.2f}"
        for method in dict.fromkeys(row["method"] for row in timed)
    )


CONTEST = Contest(
    name="scaling",
    about="training epochs against the number of nodes",
    contenders=contenders,
    graphs=("chung_lu",),
    sizes=("10000", "30000", "100000", "300000"),
    quick_graphs=("chung_lu",),
    quick_sizes=("1000", "2000"),
    keys=("num_nodes",),
    columns={
        "num_edges": "edges",
        "train_epoch_seconds": "epoch ms",
        "preprocess_seconds": "cut ms",
    },
    repeats=1,
    warm_up=0,
    toy="toy",
    summary=summary,
)
