"""How far the features of a trained GAT move when its graph is sparsified.

FastGAT's second claim: a spectral sparsifier within (1 +- epsilon) changes what every
layer computes by a multiple of epsilon. A GAT is trained on the full graph, then run
with the same weights on sparsified ones: ||H - H'|| / ||H|| (Frobenius) of the first
layer's output and of the logits, beside random edges of the same number.
"""

from functools import partial
from statistics import fmean
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.bench.contests.contest import Contender, Contest, Problem, spread
from gsparse.bench.tables.rows import Row
from gsparse.data import load
from gsparse.train import fit, recipe, sparse_features
from gsparse.transforms import EffectiveResistance, RandomEdge

EPSILONS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
METHODS = (
    "EffectiveResistance, weights used",
    "EffectiveResistance, weights ignored",
    "RandomEdge",
)


def contenders(problem: Problem) -> list[Contender]:
    """Train once on the graph, and return each way to sparsify it for each epsilon."""
    data = load(problem.graph, problem.root)
    data.x = sparse_features(data.x)
    chosen = recipe(problem.graph, "gat")
    model = chosen.build(data, 0)
    fit(model, data, config=chosen.fit, seed=0)
    expected = outputs(model, data)
    score = EffectiveResistance(epsilon=EPSILONS[0], seed=0).importance(data)

    def sparsify(method: str, epsilon: float, seed: int) -> Data:
        cut = EffectiveResistance(epsilon=epsilon, seed=seed).cut(data, score)
        if method == METHODS[1]:
            del cut.edge_weight
        if method == METHODS[2]:
            sparsity = 1 - cut.num_edges / data.num_edges
            cut = RandomEdge(sparsity=sparsity, seed=seed)(data)
        return cut

    def check(cut: Data) -> Row:
        first, last = map(distance, outputs(model, cut), expected)
        return {
            "sparsity": 1 - cut.num_edges / data.num_edges,
            "first_layer_error": first,
            "output_error": last,
            "output_error_std": last,
        }

    return [
        Contender(
            method,
            {"seconds": partial(sparsify, method, epsilon)},
            {"model": "gat", "epsilon": epsilon, "num_samples": problem.repeats},
            check=check,
        )
        for epsilon in (EPSILONS[:: len(EPSILONS) - 1] if problem.quick else EPSILONS)
        for method in METHODS
    ]


@torch.inference_mode()
def outputs(model: Module, data: Data) -> tuple[Tensor, Tensor]:
    """Return the output of the first layer, and of the model."""
    found: list[Tensor] = []
    layers: Any = model.layers
    handle = layers[0].register_forward_hook(lambda *call: found.append(call[-1]))
    try:
        last = model.eval()(data.x, data.edge_index, data.get("edge_weight"))
    finally:
        handle.remove()
    return found[0], last


def distance(found: Tensor, expected: Tensor) -> float:
    """Return the relative error in the Frobenius norm."""
    return float((found - expected).norm() / expected.norm())


CONTEST = Contest(
    name="feature_error",
    about="change of a GAT's features when its graph is sparsified",
    contenders=contenders,
    graphs=("PubMed", "Computers", "tolokers", "cornell5"),
    keys=("epsilon",),
    columns={
        "sparsity": "removed",
        "first_layer_error": "first layer",
        "output_error": "logits",
    },
    warm_up=0,
    average=fmean,
    combine={"output_error_std": spread},
)
