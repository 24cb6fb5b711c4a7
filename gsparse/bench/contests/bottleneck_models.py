"""Accuracy of a GAT on cut graphs whose labels are told beyond a bottleneck."""

from dataclasses import replace
from functools import partial
from itertools import product

from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem
from gsparse.bench.contests.planted_graphs import between_parts, satellite_cliques
from gsparse.bench.tables.rows import Row
from gsparse.train import FitConfig, History, Recipe, evaluate, fit
from gsparse.transforms import DSpar, EffectiveResistance, RandomEdge

SPARSITIES = (0.5, 0.7, 0.9)
GAT = Recipe(
    "gat",
    {
        "hidden_channels": 8,
        "heads": 8,
        "num_layers": 3,
        "dropout": 0.2,
        "attention_dropout": 0.0,
    },
    FitConfig(lr=0.01, weight_decay=5e-5, epochs=300, patience=100),
)
"""The general recipe of :func:`gsparse.train.recipe` with a third layer, as after a cut
the end of a bridge is two steps from most nodes of its clique, and with more patience;
both chosen by validation with all edges, seeds 100 to 102."""

MLP = replace(GAT, model="mlp", options={"hidden_channels": 64, "dropout": 0.2})

Fitted = tuple[Module, Data, History]


def contenders(problem: Problem) -> list[Contender]:
    """Return models trained on the whole graph, without a graph, and on cut graphs."""
    if problem.quick:
        return trainings((0.7,), epochs=3)
    return trainings(SPARSITIES)


def trainings(
    sparsities: tuple[float, ...], epochs: int = GAT.fit.epochs
) -> list[Contender]:
    """Return the training of each method at each sparsity.

    Each turn has features, bridges, a split, a cut and first weights of its own. The
    graph is cut before training and stays cut for the test; new weights are left out,
    as in the other tables of GATs. The epoch is chosen by validation.

    Args:
        sparsities: Fractions of the edges to remove.
        epochs: Maximum number of epochs.
    """
    cuts = product(sparsities, ("EffectiveResistance", "DSpar", "RandomEdge"))
    gat, mlp = (replace(it, fit=replace(it.fit, epochs=epochs)) for it in (GAT, MLP))
    return [
        Contender(
            method,
            {"seconds": partial(_train, method, sparsity, chosen)},
            {"model": chosen.model, "sparsity_target": sparsity, "max_epochs": epochs},
            check=partial(_facts, chosen),
        )
        for sparsity, method, chosen in (
            (0.0, "Dense", gat),
            (1.0, "MLP", mlp),
            *((sparsity, method, gat) for sparsity, method in cuts),
        )
    ]


def _train(method: str, sparsity: float, chosen: Recipe, seed: int) -> Fitted:
    data = satellite_cliques(seed=seed)
    if method == "RandomEdge":
        data = RandomEdge(sparsity, seed=seed)(data)
    elif method in ("EffectiveResistance", "DSpar"):
        kind = EffectiveResistance if method == "EffectiveResistance" else DSpar
        data = kind(sparsity, reweight=False, seed=seed)(data)
    model = chosen.build(data, seed)
    return model, data, fit(model, data, config=chosen.fit, seed=seed)


def _facts(chosen: Recipe, fitted: Fitted) -> Row:
    model, cut, history = fitted
    whole = satellite_cliques()  # sizes do not depend on the seed
    num_layers = int(chosen.options.get("num_layers", 2))
    no_edges = chosen.model == "mlp"
    return {
        "sparsity": 1.0 if no_edges else 1 - cut.num_edges / whole.num_edges,
        "num_layers": num_layers,
        "hidden": chosen.options["hidden_channels"],
        "best_epoch": history.best_epoch,
        "num_nodes": whole.num_nodes,
        "num_pairs_before": whole.num_edges // 2,
        "planted_edges": int(between_parts(cut).sum()) // 2,
        "planted_edges_before": int(between_parts(whole).sum()) // 2,
        "reached": reached(cut, num_layers),
        "val_accuracy": history.val_score,
        "test_accuracy": evaluate(model, cut, "test_mask"),
    }


def reached(data: Data, num_steps: int) -> float:
    """Return the share of test nodes within some steps of any informative node."""
    row, col = data.edge_index
    found = data.part <= int(data.y.max())
    for _ in range(num_steps):
        found = found.index_fill(0, col[found[row]], True)
    return float(found[data.test_mask].double().mean())


CONTEST = Contest(
    name="bottleneck_models",
    about="planted bottlenecks: accuracy of a GAT on cut graphs",
    contenders=contenders,
    graphs=("satellite_cliques",),
    quick_graphs=("satellite_cliques",),
    keys=("sparsity_target",),
    columns={
        "val_accuracy": "validation",
        "test_accuracy": "test",
        "planted_edges": "bridges",
        "reached": "reached",
    },
    repeats=10,
    limit=float("inf"),
    warm_up=0,
    each_turn=True,
    table="bottlenecks",
)
