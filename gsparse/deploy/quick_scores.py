"""Compare the graph, no edges and fewer edges by short fits, on validation nodes only.

All fits use the same two-layer GCN. Without edges it is an MLP, so one comparison says
what the graph is good for, and another what a cut costs.
"""

import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.deploy.paired_scores import mean_terms, paired_difference, score_terms
from gsparse.train import FitConfig, Recipe, SparseFeatures, fit, predict_logits
from gsparse.train.recipes import num_classes
from gsparse.transforms.by_name import make_sparsifier

MLP, DENSE = "MLP", "GCN"
CUTS = ("RandomEdge", "DSpar", "EffectiveResistance")
SPARSITY, MILDER = 0.8, 0.5
EPOCHS, HIDDEN = 50, 64
MANY_LABELS = 100
"""Training nodes per class from which the settings for many labels are used."""
SMALL_WORK = 1e8
"""Multiply-adds of an epoch up to which every score is the mean of three fits."""
MOST_WORK = 3e9
"""Multiply-adds of an epoch from which on fits would take minutes."""


class Gap(NamedTuple):
    """Difference of two scores and its standard error."""

    difference: float
    std_error: float


@dataclass(frozen=True)
class QuickScore:
    """Validation score of short fits.

    Args:
        name: ``"MLP"``, ``"GCN"`` (all edges), or the class of a sparsifier.
        sparsity: Fraction of the edges removed.
        score: Mean score of the fits, a fraction.
        gain: Difference to all edges.
        std_error: Standard error of ``gain`` over the validation nodes.
    """

    name: str
    sparsity: float
    score: float
    gain: float
    std_error: float
    terms: tuple[Tensor, ...] = field(default=(), repr=False, compare=False)

    def minus(self, other: "QuickScore") -> Gap:
        """Return the difference to another score, with its standard error."""
        return Gap(*paired_difference(self.terms, other.terms))


@dataclass(frozen=True)
class QuickScores:
    """Validation scores of an MLP, a GCN, and the GCN on cuts.

    Args:
        metric: ``"accuracy"`` or ``"roc_auc"``.
        num_nodes: Number of validation nodes.
        num_fits: Fits per score.
        mlp: Score without edges.
        dense: Score with all edges.
        cuts: Scores with 80 % of the edges removed.
        chosen: Name of the sparsifier that is recommended among ``cuts``.
        milder: Score of ``chosen`` at 50 %, if it is worse than all edges at 80 %.
    """

    metric: str
    num_nodes: int
    num_fits: int
    mlp: QuickScore
    dense: QuickScore
    cuts: tuple[QuickScore, ...]
    chosen: str
    milder: QuickScore | None = None

    @property
    def best_cut(self) -> QuickScore:
        """Score of the chosen sparsifier at 80 %."""
        return next(it for it in self.cuts if it.name == self.chosen)

    def all(self) -> tuple[QuickScore, ...]:
        """Return all scores in the order in which they are shown."""
        return (
            self.mlp,
            self.dense,
            *self.cuts,
            *(() if self.milder is None else (self.milder,)),
        )

    def as_record(self) -> dict[str, Any]:
        """Return the scores as plain values."""
        keys = ("name", "sparsity", "score", "gain", "std_error")
        return {
            "metric": self.metric,
            "num_nodes": self.num_nodes,
            "num_fits": self.num_fits,
            "chosen": self.chosen,
            "scores": [{key: getattr(it, key) for key in keys} for it in self.all()],
        }


def is_level(gap: Gap) -> bool:
    """Whether a score is less than a standard error, or half a point, below another.

    Example:
        >>> from gsparse.deploy.quick_scores import Gap, is_level
        >>> is_level(Gap(-0.012, 0.02)), is_level(Gap(-0.012, 0.001))
        (True, False)
    """
    return gap.difference >= -max(gap.std_error, 0.005)


def quick_scores(
    data: Data, *, spectral: bool, undirected: bool, metric: str, seed: int
) -> QuickScores:
    """Fit a GCN with all edges, without edges, and with 80 % of the edges removed.

    Test nodes are never read. Costs the resistances and five or six fits of 50 epochs,
    most of them on few edges; on small graphs three times as many of up to 100 epochs.

    Args:
        data: A graph with ``x``, ``y``, ``train_mask`` and ``val_mask``.
        spectral: Whether a spectral guarantee is possible at 80 %, which decides
            between sparsifiers of about equal scores.
        undirected: Whether the graph is undirected; otherwise random edges are the only
            cut.
        metric: ``"accuracy"`` or ``"roc_auc"``.
        seed: Random seed of the fits and of the cuts.
    """
    num_fits = 3 if epoch_work(data) <= SMALL_WORK else 1
    seeds = range(seed, seed + num_fits)

    def entry(name: str, sparsity: float, dense: QuickScore | None) -> QuickScore:
        fits = [_fitted(name, sparsity, data, metric, it) for it in seeds]
        terms = mean_terms(fits)
        score = terms[0].mean().item()
        gap = Gap(0.0, 0.0)
        if dense is not None:
            gap = Gap(*paired_difference(terms, dense.terms))
        return QuickScore(name, sparsity, score, *gap, terms)

    dense = entry(DENSE, 0.0, None)
    names = CUTS if undirected else CUTS[:1]
    cuts = tuple(entry(name, SPARSITY, dense) for name in names)
    chosen = choose_cut(cuts, "DSpar" if spectral else "RandomEdge")
    milder = None
    if not is_level(chosen.minus(dense)):
        milder = entry(chosen.name, MILDER, dense)
    return QuickScores(
        metric,
        int(data.val_mask.sum()),
        num_fits,
        entry(MLP, 1.0, dense),
        dense,
        cuts,
        chosen.name,
        milder,
    )


def choose_cut(cuts: tuple[QuickScore, ...], default: str) -> QuickScore:
    """Return the best cut if it beats the default by two standard errors, or else the
    default.

    Both cheap sparsifiers cost one pass over the edges, so what is known of graphs
    decides between equals: DSpar if a spectral guarantee is possible, and random edges
    if not.
    """
    usual = next(it for it in cuts if it.name == default)
    best = max(cuts, key=lambda it: it.score)
    gap = best.minus(usual)
    return best if gap.difference > 2 * gap.std_error else usual


def epoch_work(data: Data) -> float:
    """Return the multiply-adds of an epoch of the GCN, roughly."""
    x = data.x
    stored = x.matrix.values.numel() if isinstance(x, SparseFeatures) else x.numel()
    return 2.0 * HIDDEN * (stored + 2 * data.num_edges)


def _fitted(
    name: str, sparsity: float, data: Data, metric: str, seed: int
) -> tuple[Tensor, ...]:
    """Fit on one graph and return the terms of the validation score."""
    graph = _graph(name, sparsity, data, seed)
    chosen = _recipe(data, metric)  # the same for all graphs
    model = chosen.build(graph, seed)
    fit(model, graph, config=chosen.fit, seed=seed)
    out = predict_logits(model, graph)[data.val_mask]
    return score_terms(out, data.y[data.val_mask], metric)


def _graph(name: str, sparsity: float, data: Data, seed: int) -> Data:
    if name == DENSE:
        return data
    if name != MLP:
        return make_sparsifier(name, sparsity=sparsity, seed=seed)(data)
    graph = copy.copy(data)
    graph.edge_index = torch.empty(2, 0, dtype=data.edge_index.dtype)
    graph.edge_weight = None
    return graph


def _recipe(data: Data, metric: str) -> Recipe:
    """Return settings that converge within few epochs, by labels and size.

    Batch normalisation needs many labels. Small graphs overfit with the learning rate
    with which large ones converge in 50 epochs. The settings were chosen by validation
    scores of a GCN with all edges.
    """
    per_class = int(data.train_mask.sum()) / max(num_classes(data.y), 1)
    many, small = per_class >= MANY_LABELS, epoch_work(data) <= SMALL_WORK
    epochs = 2 * EPOCHS if many and small else EPOCHS
    options: dict[str, int | float | str] = {
        "hidden_channels": HIDDEN,
        "dropout": 0.2 if many else 0.5,
        "batch_norm": many,
    }
    config = FitConfig(
        lr=0.03 if many and not small else 0.01,
        weight_decay=5e-5 if many else 5e-4,
        epochs=epochs,
        patience=epochs,
        metric=metric,
        validate_every=5,
    )
    return Recipe("gcn", options, config)
