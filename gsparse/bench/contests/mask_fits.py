"""A whole fit of a mask beside a whole training of the model that it wraps.

Contenders are the recipe with early stopping; :func:`~gsparse.train.fit_mask` of a
:class:`~gsparse.nn.KEdge` at 80 % removed, around the trained model; the same with
``keep=``, which searches for the largest sparsity that keeps a share of the
predictions; and :class:`~gsparse.train.EdgeExchange`, for both. Rows say which share
was asked for and which is kept.
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
            f"KEdge, {_asked(share)}",
            {"seconds": partial(_fit, model, data, hard, share)},
            settings | {"asked": share},
            check=_facts,
        )
        for share in (None, *SHARES)
    ]
    searches = [
        Contender(
            f"EdgeExchange, {_asked(share)}",
            {"seconds": partial(_exchange, model, data, hard, share)},
            settings | {"asked": share},
            check=partial(_of_exchange, data.num_edges),
        )
        for share in (None, *SHARES)
    ]
    return [training, *masks, *searches]


def _asked(share: float | None) -> str:
    return f"{SPARSITY:.0%} removed" if share is None else f"keep {share}"


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


def _exchange(
    model: Module, data: Data, hard: bool, share: float | None, turn: int
) -> Exchange:
    method = EdgeExchange(SPARSITY, seed=turn, hard=hard)
    return method.search(model, data, keep=share)


def _of_exchange(num_edges: int, found: Exchange) -> Row:
    """Return the facts of an exchange; loops count as edges that stay."""
    return {"kept": found.kept, "sparsity": 1 - found.data.num_edges / num_edges}


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
