"""Sums over groups of weights, and masks from a selection of groups."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gsparse.prune.structured.structure_checks import check_matches


def num_groups(groups: Mapping[str, Tensor]) -> int:
    """Return the number of groups."""
    return 1 + max((int(it.max()) for it in groups.values() if it.numel()), default=-1)


def group_sums(values: Mapping[str, Tensor], groups: Mapping[str, Tensor]) -> Tensor:
    r"""Return the sum of the values of every group, in float64.

    Shapes:
        - **output:** :math:`(G)`

    Example:
        >>> import torch
        >>> from gsparse.prune import Columns
        >>> from gsparse.prune.structured.groups import group_sums
        >>> values = {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
        >>> group_sums(values, Columns().groups(values))
        tensor([4., 6.], dtype=torch.float64)
    """
    check_matches(values, groups, "values")
    count = num_groups(groups)
    # The last entry is for what is in no group: index -1.
    total = torch.zeros(count + 1, dtype=torch.float64)
    for name, value in values.items():
        total = total.to(value.device)
        index = groups[name].to(value.device).flatten() % (count + 1)
        total.index_add_(0, index, value.detach().flatten().double())
    return total[:count]


def group_sizes(groups: Mapping[str, Tensor]) -> Tensor:
    r"""Return the number of entries of every group.

    Shapes:
        - **output:** :math:`(G)`

    Example:
        >>> import torch
        >>> from gsparse.prune import Blocks
        >>> from gsparse.prune.structured.groups import group_sizes
        >>> group_sizes(Blocks(2, 2).groups({"a": torch.zeros(3, 3)}))
        tensor([4, 2, 2, 1])
    """
    ones = {name: torch.ones_like(it) for name, it in groups.items()}
    return group_sums(ones, groups).long()


def group_means(values: Mapping[str, Tensor], groups: Mapping[str, Tensor]) -> Tensor:
    r"""Return the mean of the values of every group, in float64.

    Shapes:
        - **output:** :math:`(G)`

    Example:
        >>> import torch
        >>> from gsparse.prune import Rows
        >>> from gsparse.prune.structured.groups import group_means
        >>> values = {"a": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
        >>> group_means(values, Rows().groups(values))
        tensor([1.5000, 3.5000], dtype=torch.float64)
    """
    return group_sums(values, groups) / group_sizes(groups).clamp(min=1)


def group_norms(values: Mapping[str, Tensor], groups: Mapping[str, Tensor]) -> Tensor:
    r"""Return the L2 norm of the values of every group, in float64.

    Shapes:
        - **output:** :math:`(G)`

    Example:
        >>> import torch
        >>> from gsparse.prune import Rows
        >>> from gsparse.prune.structured.groups import group_norms
        >>> values = {"a": torch.tensor([[3.0, 4.0], [0.0, 1.0]])}
        >>> group_norms(values, Rows().groups(values))
        tensor([5., 1.], dtype=torch.float64)
    """
    squares = {name: it.detach().double().square() for name, it in values.items()}
    return group_sums(squares, groups).sqrt()


def expand(kept: Tensor, groups: Mapping[str, Tensor]) -> dict[str, Tensor]:
    r"""Return masks from a selection of groups; entries of no group stay.

    Args:
        kept: Whether each group stays.
        groups: Result of :meth:`~gsparse.prune.Structure.groups`.

    Shapes:
        - **kept:** :math:`(G)`

    Raises:
        ValueError: If ``kept`` is not one bool for every group.

    Example:
        >>> import torch
        >>> from gsparse.prune import Rows
        >>> from gsparse.prune.structured.groups import expand
        >>> groups = Rows().groups({"a": torch.zeros(2, 2)})
        >>> expand(torch.tensor([True, False]), groups)["a"].tolist()
        [[True, True], [False, False]]
    """
    count = num_groups(groups)
    if kept.dtype != torch.bool or kept.shape != (count,):
        raise ValueError(
            f"'kept' must be bool of shape [{count}], one for every group "
            f"(got {kept.dtype}, {list(kept.shape)})"
        )
    padded = torch.cat([kept, kept.new_ones(1)])  # -1 reads the last entry
    return {name: padded.to(it.device)[it] for name, it in groups.items()}
