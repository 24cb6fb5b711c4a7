"""Compare two classifiers on the same nodes: scores as means, and their difference."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gsparse.train.scores import check_metric

Terms = tuple[Tensor, ...]


def score_terms(out: Tensor, y: Tensor, metric: str) -> Terms:
    r"""Return one term per node, of which the score is the mean.

    For the accuracy, a term is 1 if the label is right. The area under the ROC curve is
    the mean of two vectors: for each positive the fraction of the negatives below it,
    and for each negative the fraction of the positives above it (ties count half), the
    placement values of `DeLong et al. <https://doi.org/10.2307/2531595>`_.

    Args:
        out: Logits.
        y: Labels.
        metric: ``"accuracy"``, or ``"roc_auc"`` for two classes.

    Returns:
        ``(terms,)``, or ``(positives, negatives)``, in float64.

    Shapes:
        - **out:** :math:`(n, C)`
        - **y:** :math:`(n,)`

    Example:
        >>> import torch
        >>> from gsparse.deploy.paired_scores import score_terms
        >>> out = torch.tensor([[0.0, 3.0], [0.0, 1.0], [0.0, 2.0]])
        >>> score_terms(out, torch.tensor([1, 1, 0]), "roc_auc")
        (tensor([1., 0.], dtype=torch.float64), tensor([0.5000], dtype=torch.float64))
    """
    check_metric(metric)
    if metric == "accuracy":
        return ((out.argmax(dim=1) == y).double(),)
    value = (out[:, 1] - out[:, 0]).double()
    positive, negative = value[y == 1], value[y != 1]
    below = _share_below(negative, positive)
    return below, 1 - _share_below(positive, negative)


def mean_terms(fits: Sequence[Terms]) -> Terms:
    """Return the terms averaged over several fits."""
    return tuple(torch.stack(it).mean(0) for it in zip(*fits, strict=True))


def paired_difference(first: Terms, second: Terms) -> tuple[float, float]:
    r"""Return the difference of two scores on the same nodes and its standard error.

    Nodes on which both are equally right cancel, so the error is smaller than that of
    each score: :math:`\sqrt{\sum_k s_k^2 / n_k}` for the standard deviations
    :math:`s_k` of the differences of the :math:`n_k` terms.

    Shapes:
        - **first[k]**, **second[k]:** :math:`(n_k,)`

    Example:
        >>> import torch
        >>> from gsparse.deploy.paired_scores import paired_difference
        >>> right = torch.tensor([1.0, 1.0, 0.0, 1.0])
        >>> paired_difference((right,), (right,))
        (0.0, 0.0)
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    variance = sum(it.var().item() / it.numel() for it in differences if it.numel() > 1)
    return differences[0].mean().item(), math.sqrt(variance)


def _share_below(reference: Tensor, value: Tensor) -> Tensor:
    """Return the fraction of the reference below each value; ties count half."""
    ordered = reference.sort().values
    left = torch.searchsorted(ordered, value)
    right = torch.searchsorted(ordered, value, right=True)
    return (left + right).double() / (2 * max(reference.numel(), 1))
