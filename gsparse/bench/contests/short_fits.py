"""What the features of a mask are for: fits of few epochs.

A :class:`~gsparse.nn.KEdge` with terms of single edges, the same from features only,
and :class:`~gsparse.nn.EdgeGates`, which has nothing but the terms, are fitted to one
trained GCN for a given number of epochs, half of them with a falling density. Rows say
which share of the predictions is kept; turns have different seeds.
"""

import copy
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem, spread
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.nn import EdgeGates, KEdge
from gsparse.train import MaskHistory, fit, fit_mask, recipe
from gsparse.train.fit import prepare
from gsparse.train.mask import MASK_FIT

SPARSITY = 0.8
EPOCHS = (10, 20, 50, 100, 200)
GATES: dict[str, tuple[Any, bool]] = {
    "features and edge terms": (KEdge, True),
    "edge terms": (EdgeGates, True),
    "features": (KEdge, False),
}
"""Class of the mask, and whether it has terms of single edges."""


def contenders(problem: Problem) -> list[Contender]:
    """Train once, and return the fits of each mask for each number of epochs."""
    data = prepare(load(problem.graph, root=problem.root, sparse_features=True))
    chosen = recipe(problem.graph, "gcn")
    model = chosen.build(data, 0)
    fit(model, data, config=chosen.fit, seed=0)
    return [
        Contender(
            name,
            {"seconds": partial(_fit, model, data, name, epochs)},
            {"model": "gcn", "epochs": epochs, "num_samples": problem.repeats},
            check=_facts,
        )
        for epochs in (EPOCHS[:2] if problem.quick else EPOCHS)
        for name in GATES
    ]


def _fit(model: Module, data: Data, name: str, epochs: int, turn: int) -> MaskHistory:
    kind, has_terms = GATES[name]
    mask = kind(
        copy.deepcopy(model),
        data.num_features,
        SPARSITY,
        edge_index=data.edge_index if has_terms else None,
        seed=turn,
        ramp=epochs // 2,
    )
    every = max(1, epochs // 20)
    few = replace(MASK_FIT, epochs=epochs, patience=epochs, validate_every=every)
    return fit_mask(mask, data, config=few, seed=turn)


def _facts(history: MaskHistory) -> Row:
    return {"kept": history.kept, "kept_std": history.kept}


CONTEST = Contest(
    name="short_fits",
    about="masks of features and of edge terms after few epochs",
    contenders=contenders,
    graphs=("PubMed", "Cora", "amherst41"),
    keys=("epochs",),
    columns={"kept": "kept", "kept_std": "std"},
    warm_up=0,
    average=fmean,
    combine={"kept_std": spread},
)
