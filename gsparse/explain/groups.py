"""Group the inputs over which a Hessian is averaged."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data

from gsparse.explain.propagate import propagated

Groups = int | Tensor | Literal["each"]
"""Number of clusters (1 for a single group), a group number for each node (negative to
exclude it), or ``"each"`` for groups of one node."""


def cluster(
    x: Tensor,
    num_groups: int,
    seed: int,
    edge_index: Tensor | None = None,
    edge_weight: Tensor | None = None,
) -> Tensor:
    r"""Compute k-means clusters of :math:`\hat{A} X`, or of :math:`X` without a graph.

    Example:
        >>> import torch
        >>> from gsparse.explain.groups import cluster
        >>> x = torch.tensor([[-5.0], [-4.0], [6.0]])
        >>> label = cluster(x, 2, seed=3)
        >>> bool(label[0] == label[1]), bool(label[0] == label[2])
        (True, False)

    Args:
        x: Features.
        num_groups: Number of clusters.
        seed: Random seed of the initial centres.
        edge_index: Edges, if the model propagates over them.
        edge_weight: Edge weights.

    Returns:
        The cluster of each node.

    Shapes:
        - **x:** :math:`(N, F)`
        - **edge_index:** :math:`(2, E)`
        - **edge_weight:** :math:`(E,)`
        - **output:** :math:`(N,)`

    Raises:
        ValueError: If there are more clusters than nodes.
        ImportError: If scikit-learn is missing and there is more than one cluster.
    """
    if not 1 <= num_groups <= x.size(0):
        raise ValueError(
            f"'groups' must be in [1, {x.size(0)}], the number of nodes "
            f"(got {num_groups})"
        )
    if num_groups == 1:
        return torch.zeros(x.size(0), dtype=torch.long, device=x.device)
    try:
        from sklearn.cluster import KMeans  # optional, and slow to import
    except ImportError as error:
        raise ImportError(
            "clusters need scikit-learn; pip install 'gsparse-gnn[cli]', or give "
            "'groups' as a tensor of group numbers"
        ) from error
    features = propagated(x, edge_index, edge_weight).detach().cpu().numpy()
    means = KMeans(num_groups, n_init=1, random_state=seed % 2**32)
    label = means.fit(features).labels_
    return torch.from_numpy(label).long().to(x.device)


def group_numbers(
    groups: Groups, data: Data, nodes: Tensor | None, seed: int, propagate: bool
) -> Tensor:
    """Return the group number of each node, starting at 0, or -1 for excluded nodes.

    Shapes:
        - **nodes**, **output:** :math:`(N,)`
    """
    n, x = data.x.size(0), data.x
    chosen = torch.ones(n, dtype=torch.bool) if nodes is None else nodes
    if chosen.dtype != torch.bool or chosen.shape != (n,):
        raise ValueError(
            f"'nodes' must be a bool vector of length {n} "
            f"(got {chosen.dtype}, {list(chosen.shape)})"
        )
    chosen = chosen.to(x.device)
    if isinstance(groups, Tensor):
        if groups.shape != (n,) or groups.is_floating_point():
            raise ValueError(
                f"'groups' must hold one number per node, shape [{n}] "
                f"(got {groups.dtype}, {list(groups.shape)})"
            )
        label = groups.to(x.device)
        chosen = chosen & (label >= 0)
    elif groups == "each":
        label = torch.arange(n, device=x.device)
    elif isinstance(groups, int) and not isinstance(groups, bool):
        edges = (data.edge_index, data.get("edge_weight")) if propagate else ()
        label = cluster(x, groups, seed, *edges)
    else:
        raise TypeError(
            f"'groups' must be a number, 'each' or a tensor (got {groups!r})"
        )
    if not chosen.any():
        raise ValueError("'nodes' and 'groups' must include a node (got none)")
    out = torch.full((n,), -1, device=x.device)
    out[chosen] = label[chosen].unique(return_inverse=True)[1]
    return out


def score_change(previous: Tensor, current: Tensor) -> float:
    r"""Compute the change of importances and ranks between :math:`M - 1, M` groups.

    .. math::
        \Delta_M^2 = \sum_p (w_M(p) - w_{M-1}(p))^2 (\pi_M(p) - \pi_{M-1}(p))^2

    over the pairs :math:`p` with importances :math:`w` and ranks :math:`\pi`. This is
    our interpretation of the paper's symbols.

    Shapes:
        - **previous, current:** :math:`(P,)`

    Example:
        >>> import torch
        >>> from gsparse.explain.groups import score_change
        >>> score_change(torch.tensor([3.0, 1.0]), torch.tensor([3.0, 2.0]))
        0.0
        >>> score_change(torch.tensor([3.0, 1.0]), torch.tensor([3.0, 4.0]))
        3.0
    """
    moved = _ranks(current) - _ranks(previous)
    return float(((current - previous) * moved).square().sum().sqrt())


def choose_num_groups(
    score: Callable[[int], Tensor], most: int = 12, tolerance: float = 0.05
) -> tuple[int, Sequence[float]]:
    r"""Increase the number of groups until importances and ranks are stable.

    Example:
        >>> import torch
        >>> from gsparse.explain.groups import choose_num_groups
        >>> choose_num_groups(lambda m: torch.tensor([1.0, 2.0 * (m > 1)]))
        (3, [2.0, 0.0])

    Stops at the first :math:`M` whose :func:`score_change` is at most ``tolerance``
    times the largest one so far. This is our interpretation of the paper's rule, so
    check the returned changes. Costs one computation of all importances per number.

    Args:
        score: Function that returns the importances of all pairs for a number of
            groups, with everything else fixed.
        most: Maximum number of groups.
        tolerance: Fraction of the largest change.

    Returns:
        The number of groups, and the changes :math:`\Delta_2, \Delta_3, \ldots`.
    """
    if most < 2:
        raise ValueError(f"'most' must be at least 2 (got {most})")
    changes: list[float] = []
    previous = score(1)
    for m in range(2, most + 1):
        current = score(m)
        changes.append(score_change(previous, current))
        if m > 2 and changes[-1] <= tolerance * max(changes):
            return m, changes
        previous = current
    return most, changes


def _ranks(score: Tensor) -> Tensor:
    return score.argsort(descending=True, stable=True).argsort().to(score.dtype)
