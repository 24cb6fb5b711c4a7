"""Seconds and accuracy of a fit: ours against the same loop in plain PyG."""

from dataclasses import replace
from functools import partial

import torch
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.contests.plain_pyg import PlainModel, plain_fit
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.train import Recipe, evaluate, fit, recipe
from gsparse.train.fit import seeded
from gsparse.train.recipes import num_classes

EPOCHS, QUICK_EPOCHS = 200, 3
Fitted = tuple[Module, Data, float]


def contenders(problem: Problem) -> list[Contender]:
    """Return a fit in plain PyG, on dense features, and one with ours."""
    data = load(problem.graph, problem.root)
    chosen = recipe(problem.graph, problem.size or "gcn")
    return fits(data, chosen, QUICK_EPOCHS if problem.quick else EPOCHS)


def fits(data: Data, chosen: Recipe, epochs: int) -> list[Contender]:
    """Return both fits of a recipe for that many epochs."""
    settings: Row = {"model": chosen.model, "max_epochs": epochs}
    return [
        Contender(
            method,
            {"seconds": partial(run, data, chosen, epochs)},
            settings,
            is_peer=method == "PyG",
            check=_accuracy,
        )
        for method, run in (("PyG", _plain), ("gsparse", _ours))
    ]


def _plain(data: Data, chosen: Recipe, epochs: int, seed: int) -> Fitted:
    with seeded(seed):
        model = PlainModel(chosen, data.x.size(1), num_classes(data.y))
        return model, data, plain_fit(model, data, chosen, epochs)


def _ours(data: Data, chosen: Recipe, epochs: int, seed: int) -> Fitted:
    """Fit ours; the time of converting the features is included."""
    config = replace(chosen.fit, epochs=epochs, patience=epochs)
    fresh = data.clone()
    model = chosen.build(fresh, seed)
    history = fit(model, fresh, config=config, seed=seed)
    return model, fresh, history.val_score


def _accuracy(fitted: Fitted) -> Row:
    model, data, val_accuracy = fitted
    if not isinstance(model, PlainModel):
        test_accuracy = evaluate(model, data, "test_mask")
    else:
        with torch.no_grad():
            guess = model.eval()(data.x, data.edge_index).argmax(1)
        right = guess[data.test_mask] == data.y[data.test_mask]
        test_accuracy = right.double().mean().item()
    return {"val_accuracy": val_accuracy, "test_accuracy": test_accuracy}


CONTEST = Contest(
    name="sparse_features",
    about="a whole fit: plain PyG on dense features, and ours",
    contenders=contenders,
    graphs=("PubMed",),
    sizes=("gcn",),
    keys=("model",),
    columns={
        "seconds": "fit ms",
        "test_accuracy": "test accuracy",
        "peak_bytes": "peak MB",
    },
    repeats=10,
    warm_up=0,
    toy="digits",
    each_turn=True,
)
