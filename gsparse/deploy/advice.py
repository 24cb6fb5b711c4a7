"""Say what to do with a graph, from its facts and from what was measured."""

from dataclasses import dataclass
from typing import Literal

from gsparse.deploy.epoch_cost import FEWER, EpochCost
from gsparse.deploy.graph_facts import GraphFacts
from gsparse.deploy.quick_scores import (
    SPARSITY,
    Gap,
    QuickScore,
    QuickScores,
    is_level,
)

Action = Literal[
    "drop the graph", "keep all edges", "cut", "train a mask", "no edges", "unknown"
]
WORTH = 0.1
"""Fraction of the time of an epoch that a cut must save."""

UNSURE = 0.02
"""Standard error of a score above which a loss may well be hidden."""


@dataclass(frozen=True)
class Advice:
    """A recommendation.

    Args:
        action: What to do.
        method: Sparsifier to use if 80 % of the edges have to go; None if unknown.
        sparsity: Fraction of the edges to remove; 0 if none.
        reason: The recommendation with its reason, in one or two sentences.
    """

    action: Action
    method: str | None
    sparsity: float
    reason: str


def advise(
    facts: GraphFacts, scores: QuickScores | None, costs: tuple[EpochCost, ...]
) -> Advice:
    """Return a recommendation.

    In this order: no scores; an MLP as good as the graph; a cut that saves no time; a
    cut at 80 % and then at 50 % without a loss; and otherwise a mask that is chosen
    with a trained model. "As good" is a loss of at most one standard error.
    """
    if facts.num_edges == 0:
        return Advice("no edges", None, 0.0, "The graph has no edges; use an MLP.")
    if scores is None:
        return _by_facts(facts)
    method, saved = scores.chosen, saving(costs)
    if is_level(Gap(scores.mlp.gain, scores.mlp.std_error)):
        return Advice("drop the graph", method, 0.0, _drop(scores))
    if saved is not None and saved < WORTH:
        text = (
            f"Use gsparse.accelerate only and keep all edges: without 80 % of them "
            f"an epoch would be only {max(saved, 0.0):.0%} shorter."
        )
        return Advice("keep all edges", method, 0.0, text)
    for cut in (scores.best_cut, scores.milder):
        if cut is not None and is_level(Gap(cut.gain, cut.std_error)):
            return Advice("cut", method, cut.sparsity, _cut(cut, scores))
    lost = scores.milder or scores.best_cut
    return Advice("train a mask", method, SPARSITY, _mask(lost))


def saving(costs: tuple[EpochCost, ...]) -> float | None:
    """Return the fraction of the time of an epoch that removing 80 % saves.

    Example:
        >>> from gsparse.deploy.advice import saving
        >>> from gsparse.deploy.epoch_cost import FEWER, FUSED, EpochCost
        >>> saving((EpochCost(FUSED, 0.5), EpochCost(FEWER, 0.2)))
        0.6
    """
    before, after = costs[-2:] if len(costs) > 1 else (None, None)
    if before is None or after is None or after.name != FEWER:
        return None
    if not before.seconds or after.seconds is None:
        return None
    return 1 - after.seconds / before.seconds


def _by_facts(facts: GraphFacts) -> Advice:
    method = "DSpar" if facts.allows_guarantee(SPARSITY) else "RandomEdge"
    why = (
        "a spectral guarantee is possible"
        if method == "DSpar"
        else "no spectral guarantee is possible"
    )
    text = (
        "Use gsparse.accelerate and keep all edges until validation scores can be "
        f"compared; at 80 % removed try {method} first, since {why}."
    )
    return Advice("unknown", method, 0.0, text)


def _points(gain: float) -> str:
    return f"{abs(100 * gain):.1f} points {'better' if gain >= 0 else 'worse'}"


def _noise(score: QuickScore) -> str:
    return f"± {100 * score.std_error:.1f}"


def _drop(scores: QuickScores) -> str:
    mlp = scores.mlp
    if mlp.gain < 0 and mlp.std_error > UNSURE:
        return (
            f"Perhaps drop the graph: an MLP is {_points(mlp.gain)} ({_noise(mlp)}) "
            f"than a GCN with all edges, which {scores.num_nodes} validation nodes "
            "cannot tell from no difference; compare both with gsparse bench."
        )
    return (
        f"Drop the graph: an MLP is {_points(mlp.gain)} ({_noise(mlp)}) than a GCN "
        "with all edges, so the edges cost time and give nothing."
    )


def _cut(cut: QuickScore, scores: QuickScores) -> str:
    text = (
        f"Remove {cut.sparsity:.0%} of the edges with {cut.name}: a GCN is then "
        f"{_points(cut.gain)} ({_noise(cut)}), and {_why(cut.name, scores)}. "
    )
    return text + "Short fits hide small losses: confirm with your own model."


def _why(name: str, scores: QuickScores) -> str:
    if name == "RandomEdge":
        return "random edges do as well as chosen ones"
    cuts = {it.name: it for it in scores.cuts}
    gap = cuts[name].minus(cuts["RandomEdge"])
    if gap.difference > 2 * gap.std_error:
        return (
            f"at 80% random edges are {100 * gap.difference:.1f} points worse "
            f"(± {100 * gap.std_error:.1f})"
        )
    return "random edges score about the same but have no spectral guarantee"


def _mask(lost: QuickScore) -> str:
    return (
        f"Find the edges with a trained model (EdgeExchange, or KEdge): {lost.name} "
        f"is {_points(lost.gain)} ({_noise(lost)}) already at {lost.sparsity:.0%} "
        "removed. Otherwise use gsparse.accelerate and keep all edges."
    )
