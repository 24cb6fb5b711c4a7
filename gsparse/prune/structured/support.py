"""Projection of weights onto a sparsity."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gsparse.prune.select import Scope, keep_best
from gsparse.prune.structured.groups import expand, group_means
from gsparse.prune.structured.select_groups import Protect, keep_best_groups
from gsparse.prune.structured.structures import Structure


@torch.no_grad()
def support(
    weights: Mapping[str, Tensor],
    sparsity: float,
    structures: Sequence[Structure] = (),
    scope: Scope = "local",
    protect: Protect | None = None,
) -> dict[str, Tensor]:
    r"""Return which weights their projection onto a sparsity keeps.

    Without a structure these are the largest magnitudes, and with groups of one size
    the groups of largest norm: no other weights with as many zeros are nearer. With
    groups of several sizes the largest mean squares are kept, and of several structures
    (rows and columns) each removes :math:`1 - (1 - s)^{1/m}` of all weights, by what
    the structures before it have left. Both are heuristics that can miss the nearest
    weights.

    Args:
        weights: Values by parameter name.
        sparsity: Fraction of all weights to remove, in [0, 1).
        structures: Groups that are removed whole; none for single weights.
        scope: How the budget is spread over the layers; see
            :func:`~gsparse.prune.keep_best`.
        protect: Groups that stay; see :func:`~gsparse.prune.keep_best_groups`.

    Returns:
        True for the weights that stay.

    Raises:
        ValueError: If a weight is NaN, or a structure does not fit the parameters or
            the sparsity.

    Example:
        >>> import torch
        >>> from gsparse.prune import Columns
        >>> from gsparse.prune.structured.support import support
        >>> support({"a": torch.tensor([[3.0, 2.0], [0.0, 2.5]])}, 0.5, [Columns()])
        {'a': tensor([[False,  True],
                [False,  True]])}
    """
    if not structures:
        sizes = {name: weight.abs() for name, weight in weights.items()}
        return keep_best(sizes, sparsity, scope)
    share = 1 - (1 - sparsity) ** (1 / len(structures))
    kept = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
    for structure in structures:
        groups = structure.groups(weights)
        squares = {
            name: torch.where(kept[name], w, 0) ** 2 for name, w in weights.items()
        }
        found = group_means(squares, groups)
        stay = keep_best_groups(found, groups, share, scope, protect)
        kept = {name: kept[name] & it for name, it in expand(stay, groups).items()}
    return kept
