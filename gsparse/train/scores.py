"""Metrics of a classifier: accuracy, and the area under the ROC curve."""

import torch
from torch import Tensor

METRICS = ("accuracy", "roc_auc")


def check_metric(metric: str) -> None:
    """Refuse an unknown metric."""
    if metric not in METRICS:
        raise ValueError(f"'metric' must be one of {METRICS} (got {metric!r})")


def check_class_numbers(y: Tensor) -> None:
    """Refuse labels that are not one class number per node."""
    if y.dim() != 1 or y.is_floating_point():
        raise ValueError(
            f"'y' must hold one class number per node (got {y.dtype}, {list(y.shape)})"
        )


def score(out: Tensor, y: Tensor, metric: str) -> float:
    """Return the metric of logits against labels, a fraction.

    Args:
        out: Logits.
        y: Labels.
        metric: ``"accuracy"``, or ``"roc_auc"`` for two classes.

    Shapes:
        - **out:** :math:`(n, C)`
        - **y:** :math:`(n,)`
    """
    check_metric(metric)
    if metric == "accuracy":
        return (out.argmax(dim=1) == y).double().mean().item()
    if out.size(1) != 2:
        raise ValueError(f"'roc_auc' needs two classes (got {out.size(1)})")
    return roc_auc((out[:, 1] - out[:, 0]).detach(), y)


def roc_auc(score: Tensor, y: Tensor) -> float:
    r"""Return the probability that a positive scores above a negative; ties count half.

    With :math:`P` positives, :math:`Q` negatives and :math:`r_i` the mid-ranks of the
    positives, it is :math:`(\sum_i r_i - P (P + 1) / 2) / (P Q)`.

    Args:
        score: Score of the positive class.
        y: 1 for positives, 0 for negatives.

    Shapes:
        - **score**, **y:** :math:`(n,)`

    Raises:
        ValueError: If only one class is present.
    """
    positive = y == 1
    num_pos = int(positive.sum())
    num_neg = y.numel() - num_pos
    if num_pos == 0 or num_neg == 0:
        raise ValueError(
            f"'roc_auc' needs both classes (got {num_pos} positives of {y.numel()})"
        )
    _, place, count = torch.unique(score, return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    rank = (last - (count - 1).double() / 2)[place]
    excess = rank[positive].sum() - num_pos * (num_pos + 1) / 2
    return (excess / (num_pos * num_neg)).item()
