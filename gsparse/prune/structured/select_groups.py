"""Which groups of weights stay: budgets in weights, removed in whole groups."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from gsparse.edges import budget
from gsparse.prune.select import Scope, check_scope, layer_budgets
from gsparse.prune.structured.groups import group_sizes, num_groups

Protect = Tensor | Mapping[str, Tensor]
"""Groups that stay: one bool each; or bools of the rows of parameters, by name."""


def keep_best_groups(
    scores: Tensor,
    groups: Mapping[str, Tensor],
    sparsity: float,
    scope: Scope = "global",
    protect: Protect | None = None,
    allow_empty: bool = False,
) -> Tensor:
    r"""Keep the groups of highest score; among equals the first.

    Groups go in the order of their scores as long as the next one does not move the
    number of removed weights further from the wanted fraction. Where all have one size
    that is the nearest group; larger groups can leave it by half of the next one's
    size. The fraction is of all entries of ``groups``, those of no group too.

    The best group of a parameter stays if nothing else there has to: without units a
    layer passes nothing on.

    Args:
        scores: Importance of every group; ``-inf`` for one that is gone already, which
            goes whatever the budget.
        groups: As :meth:`~gsparse.prune.Structure.groups` returns them.
        sparsity: Fraction of the weights to remove, in [0, 1).
        scope: ``"global"`` ranks all groups together; ``"local"`` and ``"erk"`` have a
            budget for each layer. Parameters that share a group are one layer.
        protect: Groups that stay: one bool each, or for names of parameters one bool a
            row, which protects every group that has an entry in it.
        allow_empty: Whether a parameter may lose its last group.

    Returns:
        True for the groups that stay.

    Shapes:
        - **scores**, **output:** :math:`(G)`

    Raises:
        ValueError: If a score is NaN, or the fraction could only be met by removing
            groups that have to stay; says what is reachable.

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
    if scores.shape != (total,):
        raise ValueError(
            f"'scores' must have shape [{total}], one for every group "
            f"(got {list(scores.shape)})"
        )
    if scores.isnan().any():
        raise ValueError(
            f"scores must not be NaN (got {int(scores.isnan().sum())} of {total} "
            "groups): is the loss finite?"
        )
    scores, sizes = scores.detach(), group_sizes(groups).to(scores.device)
    order = total - 1 - scores.flip(0).argsort(stable=True)  # first to go first
    stays = protected_groups(protect, groups).to(scores.device)
    if not allow_empty:
        stays = stays | _last_ones(scores, order, groups, stays)
    kept = torch.ones_like(stays)
    for part in _parts(groups, sparsity, scope):
        inside = torch.isin(order, part.members.to(order.device))
        going = order[inside & ~stays[order]]
        num_gone = int((scores[going] == -torch.inf).sum())
        staying = order[inside & stays[order]]
        count = _prefix(sizes[going], sizes[staying], part, sparsity)
        kept[going[: max(count, num_gone)]] = False
    return kept


def protected_groups(protect: Protect | None, groups: Mapping[str, Tensor]) -> Tensor:
    r"""Which groups have to stay.

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
    """Groups with a budget of their own."""

    where: str
    members: Tensor
    num_weights: int
    num_removed: int


def _parts(groups: Mapping[str, Tensor], sparsity: float, scope: Scope) -> list[_Part]:
    """All parameters together, or layer by layer."""
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
    """Names of the parameters that are tied by groups they share."""
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
    scores: Tensor, order: Tensor, groups: Mapping[str, Tensor], stays: Tensor
) -> Tensor:
    """The best group of every parameter in which nothing else has to stay."""
    rank, found = torch.empty_like(order), torch.zeros_like(stays)
    rank[order] = torch.arange(len(order), device=order.device)
    for group in groups.values():
        members = group.unique().to(order.device)
        if members[0] < 0 or stays[members].any():
            continue
        best = members[rank[members].argmax()]
        found[best] = scores[best] > -torch.inf  # an empty one stays empty
    return found


def _prefix(sizes: Tensor, staying: Tensor, part: _Part, sparsity: float) -> int:
    """How many go, of groups in order, so that the removed weights come nearest."""
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
