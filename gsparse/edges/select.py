"""Select the most important pairs at an exact budget."""

import torch
from torch import Tensor

from gsparse.edges.check import check_sparsity


def budget(num_pairs: int, sparsity: float) -> int:
    """Return the number of pairs to keep, rounded to the nearest pair.

    Example:
        >>> from gsparse.edges import budget
        >>> budget(10, sparsity=0.7)
        3
    """
    check_sparsity(sparsity)
    return num_pairs - round(sparsity * num_pairs)


def keep_top(score: Tensor, sparsity: float, tie: Tensor | None = None) -> Tensor:
    """Keep the most important pairs; of equal ones, the first in canonical order.

    Args:
        score: Importance of each pair.
        sparsity: Fraction to remove, in [0, 1).
        tie: Second criterion for pairs of equal importance; larger is kept.

    Returns:
        True for the pairs to keep.

    Shapes:
        - **score**, **tie**, **output:** :math:`(M,)`

    Raises:
        ValueError: If an importance is NaN.

    Example:
        >>> import torch
        >>> from gsparse.edges import keep_top
        >>> keep_top(torch.tensor([1.0, 3.0, 1.0, 2.0]), sparsity=0.25)
        tensor([ True,  True, False,  True])
    """
    return keep_largest(score, budget(score.numel(), sparsity), tie)


def keep_largest(score: Tensor, k: int, tie: Tensor | None = None) -> Tensor:
    """Keep exactly ``k`` pairs of largest importance; of equal ones, the first.

    Shapes:
        - **score**, **tie**, **output:** :math:`(M,)`
    """
    if score.isnan().any():
        raise ValueError(f"'score' must not be NaN (got {int(score.isnan().sum())})")
    if k <= 0 or k >= score.numel():
        return torch.full_like(score, k > 0, dtype=torch.bool)
    cut = score.kthvalue(score.numel() - k + 1).values
    keep, ties = score > cut, score == cut
    room = k - int(keep.sum())
    if tie is None:
        return keep | (ties & (ties.cumsum(0) <= room))
    keep[ties.nonzero().view(-1)[keep_largest(tie[ties], room)]] = True
    return keep
