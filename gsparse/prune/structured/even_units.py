"""Select as many units in every attention head, as smaller attention layers need."""

import torch
from torch import Tensor


def even_units(importances: Tensor, num_heads: int, width: int) -> Tensor:
    r"""Select the best units of each head, in the heads where their sum is largest.

    A smaller attention layer has the same number of channels in every head. Pass the
    flattened result as ``protect`` to a pruner with
    :class:`~gsparse.prune.Units` as its structure.

    Args:
        importances: Importance of each unit, by head.
        num_heads: Number of heads to keep.
        width: Number of units to keep in each of these heads.

    Returns:
        A mask that is True for the units to keep.

    Shapes:
        - **importances**, **output:** :math:`(H, C)`

    Example:
        >>> import torch
        >>> from gsparse.prune import even_units
        >>> importances = torch.tensor([[9.0, 1.0], [4.0, 5.0], [6.0, 7.0]])
        >>> even_units(importances, num_heads=2, width=1)
        tensor([[ True, False],
                [False, False],
                [False,  True]])
    """
    order = importances.argsort(dim=1, descending=True, stable=True)[:, :width]
    inside = torch.zeros_like(importances, dtype=torch.bool).scatter(1, order, True)
    totals = importances.masked_fill(~inside, 0.0).sum(1)
    heads = totals.argsort(descending=True, stable=True)[:num_heads]
    keep = torch.zeros_like(inside)
    keep[heads] = inside[heads]
    return keep
