"""Training epochs: on the whole graph, on a part of it, and with masks.

Contenders are the recipe as it is; the same on receptive fields
(:class:`~gsparse.train.FitConfig`, ``hops``); with :class:`~gsparse.prune.ProbMask` on
the whole graph, which makes two passes an epoch; and :func:`~gsparse.train.fit_mask` of
a :class:`~gsparse.nn.KEdge` around the model.
"""

from dataclasses import replace
from functools import partial

from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.experiment.config import REACH
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.nn import KEdge
from gsparse.prune import ProbMask
from gsparse.train import History, Recipe, fit, fit_mask, recipe
from gsparse.train.fit import prepare
from gsparse.train.history import WARM_UP
from gsparse.train.mask import MASK_FIT

METHODS = ("whole", "part", "ProbMask", "KEdge")
EPOCHS = WARM_UP + 9
WEIGHT_SPARSITY, EDGE_SPARSITY = 0.95, 0.8


def contenders(problem: Problem) -> list[Contender]:
    """Return a few epochs from fresh weights, of each way to train a model."""
    data = prepare(load(problem.graph, root=problem.root, sparse_features=True))
    chosen = recipe(problem.graph, problem.size)
    return [
        Contender(
            method,
            {"seconds": partial(_fit, method, chosen, data)},
            {"model": problem.size, "rounds": problem.repeats},
            check=_medians,
        )
        for method in METHODS
    ]


def _medians(history: History) -> Row:
    return {
        "train_epoch_seconds": history.epoch_seconds,
        "infer_seconds": history.infer_seconds,
    }


def _fit(method: str, chosen: Recipe, data: Data, _: int) -> History:
    net = chosen.build(data, 0)
    settings = replace(chosen.fit, epochs=EPOCHS, patience=EPOCHS)
    if method == "part":
        settings = replace(settings, hops=REACH[chosen.model])
    if method == "KEdge":
        mask = KEdge(
            net, data.num_features, EDGE_SPARSITY, edge_index=data.edge_index, seed=0
        )
        settings = replace(MASK_FIT, epochs=EPOCHS, patience=EPOCHS)
        return fit_mask(mask, data, config=settings)
    pruner = None
    if method == "ProbMask":
        pruner = ProbMask(net, sparsity=WEIGHT_SPARSITY, num_steps=EPOCHS, seed=0)
    return fit(net, data, config=settings, pruner=pruner)


CONTEST = Contest(
    name="training_steps",
    about="training epochs: whole graph, a part of it, with masks",
    contenders=contenders,
    graphs=("PubMed", "CiteSeer", "Cora"),
    sizes=("gat", "gcn"),
    quick_sizes=("gcn",),
    keys=("model",),
    columns={"train_epoch_seconds": "train ms", "infer_seconds": "infer ms"}
    | {"peak_bytes": "peak MB"},
    repeats=5,
)
