"""The report of a graph as one screen of text."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from gsparse.deploy.epoch_cost import EpochCost
from gsparse.deploy.graph_facts import GraphFacts
from gsparse.deploy.quick_scores import DENSE, MLP, QuickScore, QuickScores

if TYPE_CHECKING:
    from gsparse.deploy.inspect_graph import GraphReport

WIDTH = 80


def screen(report: GraphReport) -> str:
    """Return the report in at most 40 lines of 80 columns."""
    parts = [
        _facts(report.name, report.facts),
        _budgets(report.facts),
        _scores(report.scores, report.unscored),
        _costs(report.costs, report.num_threads),
        wrap(report.advice.reason, WIDTH),
        [] if report.busy is None else wrap(report.busy, WIDTH),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _facts(name: str, facts: GraphFacts) -> list[str]:
    kind = "undirected" if facts.undirected else "directed"
    title = (
        f"{facts.num_nodes:,} nodes, {facts.num_edges:,} {kind} edges, "
        f"{facts.num_self_loops:,} self-loops"
    )
    neighbours = (
        f"neighbours  median {facts.degree_median:g}, mean {facts.degree_mean:.1f}, "
        f"99 % <= {facts.degree_99:,}, max {facts.degree_max:,}; "
        f"{facts.num_isolated:,} nodes have none"
    )
    lines = [*wrap(f"{name}: {title}", WIDTH), *wrap(neighbours, WIDTH)]
    lines.append(
        f"components  {facts.num_components:,}; a spanning forest has "
        f"{facts.forest_size:,} edges"
    )
    if facts.homophily is not None:
        lines.append(f"homophily   {facts.homophily:.1%} of edges join equal labels")
    if facts.num_features is None:
        return [*lines, "features    none"]
    lines.append(
        f"features    {facts.num_features:,}, of which {facts.zero_share:.1%} are zero"
    )
    return lines


def _budgets(facts: GraphFacts) -> list[str]:
    cells = [
        ("removed", *(f"{it.sparsity:.0%}" for it in facts.budgets)),
        ("edges left", *(f"{it.num_left:,}" for it in facts.budgets)),
        (
            "spectral guarantee",
            *(
                "possible" if facts.allows_guarantee(it.sparsity) else "none"
                for it in facts.budgets
            ),
        ),
    ]
    return [f"{row[0]:<18}" + "".join(f"{it:>14}" for it in row[1:]) for row in cells]


def _scores(scores: QuickScores | None, unscored: str | None) -> list[str]:
    if scores is None:
        return wrap(f"No quick fits: {unscored}", WIDTH)
    metric = {"accuracy": "accuracy", "roc_auc": "ROC-AUC"}[scores.metric]
    fits = "one fit" if scores.num_fits == 1 else f"mean of {scores.num_fits} fits"
    head = f"validation {metric}, {scores.num_nodes:,} nodes, {fits}"
    lines = [f"{head:<54}{'score':>8}{'to all edges':>16}"]
    for it in scores.all():
        gap = "" if it.name == DENSE else f"{100 * it.gain:+.1f} ± "
        gap += "" if it.name == DENSE else f"{100 * it.std_error:.1f}"
        lines.append(f"{_label(it):<54}{100 * it.score:>8.1f}{gap:>16}".rstrip())
    return lines


def _label(score: QuickScore) -> str:
    if score.name == MLP:
        return "MLP, no edges"
    if score.name == DENSE:
        return "GCN, all edges"
    return f"GCN, {score.sparsity:.0%} removed by {score.name}"


def _costs(costs: tuple[EpochCost, ...], num_threads: int) -> list[str]:
    threads = "one thread" if num_threads == 1 else f"{num_threads} threads"
    head = f"one epoch of a two-layer GAT (8 heads of 8), {threads}"
    lines = [f"{head:<54}{'seconds':>12}{'MB':>12}"]
    for it in costs:
        if it.seconds is None:
            lines += wrap(f"{it.name}: skipped, it {it.skipped}", WIDTH)
            continue
        size = "-" if it.num_bytes is None else f"{it.num_bytes / 1e6:,.0f}"
        lines.append(f"{it.name:<54}{it.seconds:>12.2g}{size:>12}")
    return lines
