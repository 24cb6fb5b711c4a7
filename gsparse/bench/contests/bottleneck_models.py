"""Accuracy of a GAT on cut graphs whose labels are told beyond a bottleneck."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from torch_geometric.data import Data

from gsparse.bench.contests.planted_graphs import between_parts, satellite_cliques
from gsparse.bench.tables.measurement import measurement
from gsparse.bench.tables.rows import Row
from gsparse.train import FitConfig, Recipe, evaluate, fit
from gsparse.transforms import DSpar, EffectiveResistance, RandomEdge

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


def model_rows(
    sparsities: Sequence[float], seeds: int, epochs: int = GAT.fit.epochs
) -> list[Row]:
    """Train on the whole graph, without a graph, and on every cut graph.

    Each seed has features, bridges, a split, a cut and first weights of its own. The
    graph is cut before training and stays cut for the test; new weights are left out,
    as in the other tables of GATs. The epoch is chosen by validation.

    Args:
        sparsities: Shares of the edges to remove.
        seeds: Number of models of each.
        epochs: Most epochs of each.

    Returns:
        One row for each model.
    """
    rows = []
    gat, mlp = (replace(it, fit=replace(it.fit, epochs=epochs)) for it in (GAT, MLP))
    for seed in range(seeds):
        data = satellite_cliques(seed=seed)
        rows += [_trained("Dense", 0.0, seed, data, data, gat)]
        rows += [_trained("MLP", 1.0, seed, data, data, mlp)]
        for sparsity in sparsities:
            for transform in (
                EffectiveResistance(sparsity, reweight=False, seed=seed),
                DSpar(sparsity, reweight=False, seed=seed),
                RandomEdge(sparsity, seed=seed),
            ):
                name = type(transform).__name__
                rows.append(_trained(name, sparsity, seed, data, transform(data), gat))
    return rows


def _trained(
    method: str, sparsity: float, seed: int, data: Data, cut: Data, recipe: Recipe
) -> Row:
    model = recipe.build(cut, seed)
    history = fit(model, cut, config=recipe.fit, seed=seed)
    return measurement(
        "bottlenecks",
        "satellite_cliques",
        method,
        {"model": recipe.model, "seed": seed, "sparsity_target": sparsity}
        | {"max_epochs": recipe.fit.epochs},
        sparsity=1.0 if method == "MLP" else 1 - cut.num_edges / data.num_edges,
        num_layers=recipe.options.get("num_layers", 2),
        hidden=recipe.options["hidden_channels"],
        best_epoch=history.best_epoch,
        num_nodes=data.num_nodes,
        num_pairs_before=data.num_edges // 2,
        planted_edges=int(between_parts(cut).sum()) // 2,
        reached=reached(cut, int(recipe.options.get("num_layers", 2))),
        planted_edges_before=int(between_parts(data).sum()) // 2,
        val_accuracy=history.val_score,
        test_accuracy=evaluate(model, cut, "test_mask"),
    )


def reached(data: Data, num_steps: int) -> float:
    """Share of the test nodes so few steps from an informative node, of any class."""
    row, col = data.edge_index
    found = data.part <= int(data.y.max())
    for _ in range(num_steps):
        found = found.index_fill(0, col[found[row]], True)
    return float(found[data.test_mask].double().mean())


def format_models(rows: Sequence[Row]) -> str:
    """One line for each method and sparsity: accuracy and bridges left."""
    lines = [f"{'removed':>8}  {'method':20}{'validation':>11}{'test':>14}  bridges"]
    keys = [(row["sparsity_target"], row["method"]) for row in rows]
    for key in sorted(dict.fromkeys(keys), key=lambda key: key[0]):
        mine = [row for row, its in zip(rows, keys, strict=True) if its == key]
        test = [100 * row["test_accuracy"] for row in mine]
        spread = stdev(test) if len(test) > 1 else 0.0
        val = 100 * fmean(row["val_accuracy"] for row in mine)
        left = fmean(row["planted_edges"] for row in mine)
        bridges = f"{left:.1f} of {mine[0]['planted_edges_before']}"
        bridges += f", {fmean(row['reached'] for row in mine):.1%} of the nodes reached"
        bridges = "" if key[1] == "MLP" else bridges
        lines.append(
            f"{key[0]:>8.0%}  {key[1]:20}{val:>11.1f}"
            f"{fmean(test):>7.1f} ± {spread:<4.1f}  {bridges}"
        )
    return "\n".join(lines)
