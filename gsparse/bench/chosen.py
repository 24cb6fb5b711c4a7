"""Validation's choice between the weights of the dense model at rest and fine-tuned."""

from collections.abc import Iterable
from dataclasses import replace
from math import sqrt

from gsparse.bench.experiment.config import Config, Training
from gsparse.bench.experiment.methods import BASELINES
from gsparse.bench.tables.rows import Row

EITHER: tuple[Training, ...] = ("rest", "finetune")
CHOSEN = "chosen"
"""Value of ``training`` in rows that were chosen."""


def chosen(rows: Iterable[Row]) -> list[Row]:
    r"""Return one row for each experiment and seed that has both ways of training.

    A run on receptive fields counts as one on the whole graph.

    Fine-tuned weights are taken where their validation score is more than one standard
    error above that of the weights at rest, :math:`\sqrt{p (1 - p) / n}` with :math:`n`
    validation nodes. A fit keeps the best of a hundred scores on the same nodes, so
    that it is above by chance; the one standard error rule is that of `"The Elements of
    Statistical Learning" <https://hastie.su.domains/ElemStatLearn/>`_, section 7.10.

    Returns:
        Copies of the chosen rows, with ``training`` ``"chosen"`` and the way in
        ``taken``. Rows of other trainings, distilled weights, and weights at rest that
        do not say how many validation nodes there are, have no copy.
    """
    pairs: dict[tuple, dict[str, Row]] = {}
    for row in rows:
        if row.get("training") in EITHER and row["teacher"] != "weights":
            same = replace(Config.from_row(row), training="rest", hops=None)
            pairs.setdefault((same, row["seed"]), {})[row["training"]] = row
    return [
        _better(found["rest"], found["finetune"])
        for found in pairs.values()
        if len(found) == len(EITHER) and "num_val" in found["rest"]
    ]


def _better(rest: Row, tuned: Row) -> Row:
    score = rest["val_score"]
    error = sqrt(score * (1 - score) / rest["num_val"])
    taken = tuned if tuned["val_score"] > score + error else rest
    same = {"config_hash": rest["config_hash"]}  # one line of a table for both ways
    return taken | same | {"training": CHOSEN, "taken": taken["training"]}


def with_training(rows: Iterable[Row], training: str) -> list[Row]:
    """Return the rows of one way of training, and those of baselines.

    Args:
        rows: Rows of experiments.
        training: As in rows, or ``"chosen"`` for :func:`chosen`.

    Raises:
        ValueError: If no row was trained in this way.
    """
    rows = list(rows)
    ways = {row["training"] for row in rows if "training" in row}
    found = chosen(rows) if training == CHOSEN else []
    found += [row for row in rows if row.get("training") == training]
    if not found:
        known = ", ".join(sorted({*ways, CHOSEN}))
        raise ValueError(f"'training' must be one of {known} (got {training})")
    others = [row for row in rows if row["method"] in BASELINES and row not in found]
    return [row for row in others if row["teacher"] == "none"] + found
