"""A whole fit of a mask beside a whole training of the model that it wraps.

Contenders are the recipe with early stopping; :func:`~gsparse.train.fit_mask` of a
:class:`~gsparse.nn.KEdge` at 80 % removed, around the trained model; and the same with
``keep=``, which searches for the largest sparsity that keeps a share of the
predictions; and :class:`~gsparse.train.EdgeExchange`. Rows say which share was asked
for and which is kept.
"""

import copy
from functools import partial

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.nn import KEdge
from gsparse.train import (
    EdgeExchange,
    Exchange,
    MaskHistory,
    Recipe,
    fit,
    fit_mask,
    recipe,
)
from gsparse.train.fit import prepare

SPARSITY = 0.8
SHARES = (0.99, 0.95)
Fitted = tuple[KEdge, MaskHistory]


def contenders(problem: Problem) -> list[Contender]:
    """Train once, and return the training and the fits of masks, each a whole one."""
    data = prepare(load(problem.graph, root=problem.root, sparse_features=True))
    chosen = recipe(problem.graph, problem.size)
    hard = chosen.fit.metric == "accuracy"
    model = _train(chosen, data, 0)
    settings = {"model": problem.size, "rounds": problem.repeats, "asked": None}
    training = Contender(
        "training", {"seconds": partial(_train, chosen, data)}, settings
    )
    masks = [
        Contender(
            f"KEdge, {f'{SPARSITY:.0%} removed' if share is None else f'keep {share}'}",
            {"seconds": partial(_fit, model, data, hard, share)},
            settings | {"asked": share},
            check=_facts,
        )
        for share in (None, *SHARES)
    ]
    search = Contender(
        f"EdgeExchange, {SPARSITY:.0%} removed",
        {"seconds": partial(_exchange, model, data, hard)},
        settings,
        check=lambda found: {"kept": found.kept, "sparsity": SPARSITY},
    )
    return [training, *masks, search]


def _train(chosen: Recipe, data: Data, turn: int) -> Module:
    model = chosen.build(data, turn)
    fit(model, data, config=chosen.fit, seed=turn)
    return model


def _fit(
    model: Module, data: Data, hard: bool, share: float | None, turn: int
) -> Fitted:
    mask = KEdge(
        copy.deepcopy(model),
        data.num_features,
        SPARSITY,
        edge_index=data.edge_index,
        seed=turn,
    )
    return mask, fit_mask(mask, data, hard=hard, keep=share, seed=turn)


def _exchange(model: Module, data: Data, hard: bool, turn: int) -> Exchange:
    return EdgeExchange(SPARSITY, seed=turn, hard=hard).search(model, data)


def _facts(fitted: Fitted) -> Row:
    mask, history = fitted
    return {"kept": history.kept, "sparsity": mask.sparsity}


CONTEST = Contest(
    name="mask_fits",
    about="whole fits of masks beside a training of the model",
    contenders=contenders,
    graphs=("PubMed", "Cora", "CiteSeer", "amherst41", "cornell5"),
    sizes=("gcn",),
    columns={"seconds": "s", "kept": "kept", "sparsity": "removed"},
    repeats=1,
    warm_up=0,
)
