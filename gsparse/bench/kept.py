"""Findings about learned masks: points lost to the dense model, won over controls."""

from collections.abc import Sequence

from gsparse.bench.chosen import CHOSEN, chosen
from gsparse.bench.findings import Finding, target
from gsparse.bench.paired import scores
from gsparse.bench.tables.rows import Row
from gsparse.bench.verdicts import gap

METHOD, SEARCH = "KEdge", "EdgeExchange"
SHORT = {
    "RandomEdge": "random",
    "PredictionAgreement": "agreement",
    "EffectiveResistance": "resistance",
}
"""Short names for a table of 80 columns."""


def lost(
    rows: Sequence[Row],
    dataset: str,
    model: str,
    sparsity: float,
    most: float,
    source: str,
    method: str = METHOD,
) -> Finding:
    """Compare the points that the mask loses with the most that it may lose.

    The weights are at rest or fine-tuned, see :func:`~gsparse.bench.chosen.chosen`.
    """
    dense = scores(rows, dataset=dataset, model=model, method="Dense", teacher="none")
    found = gap(dense, _chosen(rows, dataset, model, sparsity, method))
    claim = f"{model}, {_cut(sparsity, method)}: points lost"
    verdict = found.at_most(most)
    return Finding(dataset, claim, most, found.mean, verdict, found.half, source)


def above(
    rows: Sequence[Row],
    dataset: str,
    model: str,
    sparsity: float,
    other: str,
    method: str = METHOD,
) -> Finding:
    """Check that the mask is above another method in the mean."""
    ours, theirs = (
        _chosen(rows, dataset, model, sparsity, it) for it in (method, other)
    )
    found = gap(ours, theirs)
    claim = f"{model}, {_cut(sparsity, method)}: above {SHORT.get(other, other)}"
    return target(dataset, claim, 0.0, found.mean, found.above(), found.half)


def _cut(sparsity: float, method: str) -> str:
    """Return the words for a cut; other methods than the mask are named."""
    return f"{sparsity:.0%} {'cut' if method == METHOD else 'exchanged'}"


def _chosen(
    rows: Sequence[Row], dataset: str, model: str, sparsity: float, method: str
) -> dict[int, float]:
    """Return the scores of the weights that validation chose."""
    return scores(
        chosen(row for row in rows if row["method"] == method),
        dataset=dataset,
        model=model,
        method=method,
        sparsity=sparsity,
        training=CHOSEN,
        edge_terms=None,  # as usual for the method
    )
