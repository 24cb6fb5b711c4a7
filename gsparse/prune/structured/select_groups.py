"""Selection of whole groups of weights at a budget in weights."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.edges import budget
from gsparse.prune.select import Scope, check_scope, layer_budgets
from gsparse.prune.structured.groups import group_sizes, num_groups

Protect = Tensor | Mapping[str, Tensor]
"""Groups that stay: one bool each, or bools of the rows of parameters by name."""


def keep_best_groups(
    importances: Tensor,
    groups: Mapping[str, Tensor],
    sparsity: float,
    scope: Scope = "global",
    protect: Protect | None = None,
    allow_empty: bool = False,
) -> Tensor:
    r"""Keep the groups of highest importance.

    If importances are equal, the group that comes first is kept.

    Groups are removed in ascending order of importance until one more would move the
    number of removed weights further from the target. With groups of one size the
    result is exact to the nearest group; otherwise it can differ from the target by
    half the size of the next group. The target is a fraction of all entries of
    ``groups``, including those of no group.

    Every parameter keeps at least its best group, or another one that is protected,
    because a layer without units passes nothing on. A parameter can lose all its groups
    only with ``allow_empty``, or if some of its entries are in no group.

    Args:
        importances: Importance of every group; ``-inf`` for a group that is removed
            already, which stays removed whatever the budget.
        groups: Result of :meth:`~gsparse.prune.Structure.groups`.
        sparsity: Fraction of the weights to remove, in [0, 1).
        scope: ``"global"`` ranks all groups together; ``"local"`` and ``"erk"`` have a
            budget for each layer. Parameters that share a group are one layer.
        protect: Groups that stay: one bool for each group, or by parameter name one
            bool for each row, which protects every group with an entry in the row.
        allow_empty: Whether a parameter may lose its last group.

    Returns:
        True for the groups that stay.

    Shapes:
        - **importances**, **output:** :math:`(G)`

    Raises:
        ValueError: If an importance is NaN, or the target can only be met by removing
            groups that have to stay; names the sparsity that can be reached.

    Example:
        >>> import torch
        >>> from gsparse.prune import keep_best_groups
        >>> from gsparse.prune import Rows
        >>> groups = Rows().groups({"a": torch.zeros(3, 4), "b": torch.zeros(1, 4)})
        >>> keep_best_groups(torch.tensor([3.0, 2.0, 4.0, 1.0]), groups, sparsity=0.5)
        tensor([False, False,  True,  True])
    """
    check_scope(scope)
    total = num_groups(groups)
    if importances.shape != (total,):
        raise ValueError(
            f"'importances' must have shape [{total}], one for every group "
            f"(got {list(importances.shape)})"
        )
    if importances.isnan().any():
        raise ValueError(
            f"importances must not be NaN (got {int(importances.isnan().sum())} of "
            f"{total} groups): is the loss finite?"
        )
    rank, sizes = importances.detach(), group_sizes(groups).to(importances.device)
    order = total - 1 - rank.flip(0).argsort(stable=True)  # first to be removed first
    stays = protected_groups(protect, groups).to(rank.device)
    if not allow_empty:
        stays = stays | _last_ones(rank, order, groups, stays)
    kept = torch.ones_like(stays)
    for part in _parts(groups, sparsity, scope):
        inside = torch.isin(order, part.members.to(order.device))
        going = order[inside & ~stays[order]]
        num_gone = int((rank[going] == -torch.inf).sum())
        staying = order[inside & stays[order]]
        count = _prefix(sizes[going], sizes[staying], part, sparsity)
        kept[going[: max(count, num_gone)]] = False
    return kept


def protected_groups(protect: Protect | None, groups: Mapping[str, Tensor]) -> Tensor:
    r"""Return which groups have to stay.

    Shapes:
        - **output:** :math:`(G)`

    Raises:
        ValueError: If ``protect`` does not fit the groups or the rows.

    Example:
        >>> import torch
        >>> from gsparse.prune.structured.select_groups import protected_groups
        >>> from gsparse.prune import Blocks
        >>> groups = Blocks(2, 2).groups({"a": torch.zeros(4, 2)})
        >>> rows = torch.tensor([False, False, False, True])
        >>> protected_groups({"a": rows}, groups)
        tensor([False,  True])
    """
    found = torch.zeros(num_groups(groups), dtype=torch.bool)
    if protect is None:
        return found
    if isinstance(protect, Tensor):
        _check_bools("protect", protect, len(found), "group")
        return protect
    for name, rows in protect.items():
        if name not in groups:
            raise ValueError(
                f"'protect' must name parameters that are pruned, {list(groups)} "
                f"(got {name!r})"
            )
        _check_bools(f"protect[{name!r}]", rows, groups[name].size(0), "row")
        chosen = groups[name][rows.to(groups[name].device)].cpu()
        found[chosen[chosen >= 0]] = True
    return found


def _check_bools(what: str, value: Tensor, size: int, each: str) -> None:
    if value.dtype != torch.bool or value.shape != (size,):
        raise ValueError(
            f"'{what}' must be bool of shape [{size}], one for every {each} "
            f"(got {value.dtype}, {list(value.shape)})"
        )


class _Part(NamedTuple):
    """Groups with a common budget."""

    where: str
    members: Tensor
    num_weights: int
    num_removed: int


def _parts(groups: Mapping[str, Tensor], sparsity: float, scope: Scope) -> list[_Part]:
    """Return the groups that share a budget: of all parameters, or of each layer."""
    shapes = {name: it.shape for name, it in groups.items()}
    layers = [list(groups)] if scope == "global" else _layers(groups)
    found = []
    for names in layers:
        size = sum(shapes[name].numel() for name in names)
        if scope == "erk":
            counts = layer_budgets(shapes, sparsity, scope)
            keep = sum(counts[name] for name in names)
        else:
            keep = budget(size, sparsity)
        where = "the model" if scope == "global" else ", ".join(map(repr, names))
        members = torch.cat([groups[name].flatten() for name in names]).unique()
        found.append(_Part(where, members[members >= 0], size, size - keep))
    return found


def _layers(groups: Mapping[str, Tensor]) -> list[list[str]]:
    """Return the names of the parameters that share groups, as lists."""
    layers: list[tuple[list[str], set[int]]] = []
    for name, group in groups.items():
        names, members = [name], set(group.unique().tolist()) - {-1}
        apart = []
        for layer in layers:
            if members & layer[1]:
                names, members = layer[0] + names, layer[1] | members
            else:
                apart.append(layer)
        layers = [*apart, (names, members)]
    return [names for names, _ in layers]


def _last_ones(
    importances: Tensor, order: Tensor, groups: Mapping[str, Tensor], stays: Tensor
) -> Tensor:
    """Mark the best group of every parameter in which no other group has to stay."""
    rank, found = torch.empty_like(order), torch.zeros_like(stays)
    rank[order] = torch.arange(len(order), device=order.device)
    for group in groups.values():
        members = group.unique().to(order.device)
        if members[0] < 0 or stays[members].any():
            continue
        best = members[rank[members].argmax()]
        found[best] = importances[best] > -torch.inf  # an empty one stays empty
    return found


def _prefix(sizes: Tensor, staying: Tensor, part: _Part, sparsity: float) -> int:
    """Return how many groups, in order, to remove to come nearest to the target."""
    after = sizes.cumsum(0)
    # |after - n| <= |before - n|, where before = after - sizes.
    count = int((2 * after - sizes <= 2 * part.num_removed).sum())
    reached = int(after[-1]) if len(after) else 0
    missing = part.num_removed - reached
    blocking = staying if len(staying) else sizes
    if count == len(sizes) and 2 * missing > (blocking.min() if len(blocking) else 0):
        most, wanted = reached / part.num_weights, part.num_removed / part.num_weights
        raise ValueError(
            f"'sparsity' must be reachable in whole groups (got {sparsity}): "
            f"{part.where} can lose at most {most:.4g} of its weights, not "
            f"{wanted:.4g}; the others are protected, in no group, or the last of "
            "their parameter; lower 'sparsity' or 'protect' fewer"
        )
    return count
