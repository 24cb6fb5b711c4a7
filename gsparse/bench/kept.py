"""What is asked of a learned mask on any graph: little lost, and more than controls."""

from collections.abc import Sequence

from gsparse.bench.findings import Finding
from gsparse.bench.paired import paired_difference, scores, standard_error
from gsparse.bench.tables.rows import Row

METHOD = "KEdge"
SHORT = {"RandomEdge": "random", "PredictionAgreement": "agreement"}
"""Names that leave room in a table of 80 columns."""


def lost(
    rows: Sequence[Row],
    dataset: str,
    model: str,
    sparsity: float,
    most: float,
    source: str,
) -> Finding:
    """Points of the dense model that the mask costs, with half of a 95 % interval."""
    dense = scores(rows, dataset=dataset, model=model, method="Dense", teacher="none")
    sparse = _finetuned(rows, dataset, model, sparsity, METHOD)
    mean, half = paired_difference(dense, sparse)
    claim = f"{model}, {sparsity:.0%} cut: points lost"
    return Finding(dataset, claim, most, mean, mean <= most, _finite(half), source)


def above(
    rows: Sequence[Row], dataset: str, model: str, sparsity: float, other: str
) -> Finding:
    """Points above another method; more than a standard error is wanted."""
    ours = _finetuned(rows, dataset, model, sparsity, METHOD)
    theirs = _finetuned(rows, dataset, model, sparsity, other)
    mean, half = paired_difference(ours, theirs)
    error = standard_error({s: ours[s] - theirs[s] for s in ours.keys() & theirs})
    claim = f"{model}, {sparsity:.0%} cut: above {SHORT.get(other, other)}"
    holds, wanted = mean > error, round(error, 2)
    return Finding(dataset, claim, wanted, mean, holds, _finite(half), source="target")


def _finetuned(
    rows: Sequence[Row], dataset: str, model: str, sparsity: float, method: str
) -> dict[int, float]:
    """Scores of dense weights trained on with the edges left; no distillation."""
    return scores(
        [row for row in rows if row["teacher"] != "weights"],
        dataset=dataset,
        model=model,
        method=method,
        sparsity=sparsity,
        training="finetune",
    )


def _finite(half: float) -> float | None:
    return None if half == float("inf") else half
