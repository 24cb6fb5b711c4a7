"""Exact budgets of weights over the whole model or layer by layer."""

from collections.abc import Mapping
from math import prod
from typing import Literal, get_args

import torch
from torch import Tensor

from gsparse.edges import budget, keep_largest

Scope = Literal["global", "local", "erk"]
"""One ranking of all weights; the same sparsity in each layer; Erdős-Rényi rates."""


def check_scope(scope: str) -> None:
    """Refuse an unknown scope."""
    if scope not in get_args(Scope):
        known = ", ".join(map(repr, get_args(Scope)))
        raise ValueError(f"'scope' must be one of {known} (got {scope!r})")


def keep_best(
    importances: Mapping[str, Tensor], sparsity: float, scope: Scope = "global"
) -> dict[str, Tensor]:
    """Keep the weights of highest importance.

    If importances are equal, the weight that comes first is kept.

    Args:
        importances: Importance of every weight by parameter name; ``-inf`` for one that
            is removed before all others.
        sparsity: Fraction of all weights to remove, in [0, 1).
        scope: How the budget is spread over the layers.

    Returns:
        True for the weights that stay. Their number is the budget to the nearest
        weight: in total, or with ``"local"`` in every layer.

    Raises:
        ValueError: If an importance is NaN; names the parameter.

    Example:
        >>> import torch
        >>> from gsparse.prune import keep_best
        >>> found = {"a": torch.tensor([5.0, 4.0, 3.0]), "b": torch.tensor([1.0])}
        >>> keep_best(found, sparsity=0.5)
        {'a': tensor([ True,  True, False]), 'b': tensor([False])}
    """
    check_scope(scope)
    for name, importance in importances.items():
        if importance.isnan().any():
            raise ValueError(
                "importances must not be NaN (got "
                f"{int(importance.isnan().sum())} in {name!r}): is the loss finite?"
            )
    flat = {name: importance.flatten() for name, importance in importances.items()}
    if scope == "global":
        joined = torch.cat(list(flat.values()))
        keep = keep_largest(joined, budget(joined.numel(), sparsity))
        parts = keep.split([it.numel() for it in flat.values()])
        kept = dict(zip(flat, parts, strict=True))
    else:
        shapes = {name: it.shape for name, it in importances.items()}
        counts = layer_budgets(shapes, sparsity, scope)
        kept = {name: keep_largest(flat[name], counts[name]) for name in flat}
    return {name: kept[name].view_as(it) for name, it in importances.items()}


def layer_budgets(
    shapes: Mapping[str, torch.Size], sparsity: float, scope: Literal["local", "erk"]
) -> dict[str, int]:
    r"""Return how many weights each layer keeps.

    ``"erk"`` gives a layer of :math:`n_{out} \times n_{in}` weights a density
    proportional to :math:`(n_{in} + n_{out}) / (n_{in} n_{out})`, from the `"Rigging
    the Lottery" <https://arxiv.org/abs/1911.11134>`_ paper. Layers whose density would
    exceed 1 stay dense, and the others share the rest of the budget.

    Example:
        >>> import torch
        >>> from gsparse.prune import layer_budgets
        >>> shapes = {"wide": torch.Size([16, 500]), "small": torch.Size([3, 16])}
        >>> layer_budgets(shapes, 0.9, "erk")
        {'wide': 776, 'small': 29}
    """
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    if scope == "local":
        return {name: budget(size, sparsity) for name, size in sizes.items()}
    total = budget(sum(sizes.values()), sparsity)
    raw = {name: sum(shape) / sizes[name] for name, shape in shapes.items()}
    dense: set[str] = set()
    while True:
        left = total - sum(sizes[name] for name in dense)
        weight = sum(raw[n] * sizes[n] for n in sizes if n not in dense)
        scale = left / weight if weight else 0.0
        over = {n for n in sizes if n not in dense and raw[n] * scale >= 1}
        if not over:
            break
        dense |= over
    wanted = {n: sizes[n] if n in dense else raw[n] * scale * sizes[n] for n in sizes}
    return _rounded(wanted, total)


def _rounded(wanted: Mapping[str, float], total: int) -> dict[str, int]:
    """Round to whole numbers of a given sum; the largest remainders go up."""
    found = {name: int(value) for name, value in wanted.items()}
    by_remainder = sorted(wanted, key=lambda n: found[n] - wanted[n])
    for name in by_remainder[: total - sum(found.values())]:
        found[name] += 1
    return found
