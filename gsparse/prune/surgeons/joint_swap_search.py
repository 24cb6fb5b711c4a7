"""Swap search on the loss after the joint update."""

from collections.abc import Callable

import torch
from torch import Tensor

from gsparse.prune.surgeons.brain_surgeon import _fitting, _inverse
from gsparse.prune.surgeons.fisher import Fisher


def joint_swap_search(
    weights: Tensor,
    fisher: Fisher,
    keep: Tensor,
    *,
    epsilon: float = 1e-9,
    num_candidates: int = 256,
    max_swaps: int = 1000,
) -> Tensor:
    r"""Swap kept and removed weights while the loss *after* the joint update falls.

    The objective :math:`\frac{1}{2} w_P^\top ([H^{-1}]_{PP})^{-1} w_P` is the loss
    once the kept weights are updated. On it :func:`swap_search` is often worse than
    :func:`~gsparse.prune.surgeons.brain_surgeon.sequential_obs`; this search, started
    from the result of that one, is never worse. It is not in the paper, and meant for
    small layers.

    Each step makes the best swap among all pairs of the ``num_candidates`` kept and
    removed weights that are best alone, by an exact rank-two formula in
    :math:`O(N^2 n)`.

    Args:
        weights: All weights.
        fisher: Fisher matrix of these weights.
        keep: Selection to start from; True for kept weights.
        epsilon: A swap must lower the objective by this fraction of it.
        num_candidates: Number of candidates on each side.
        max_swaps: Maximum number of swaps.

    Returns:
        True for the weights that stay.

    Shapes:
        - **weights**, **keep**, **output:** :math:`(n,)`

    Example:
        The first two weights can replace each other; nothing replaces the third.

        >>> import torch
        >>> from gsparse.prune import Fisher
        >>> from gsparse.prune.surgeons.joint_swap_search import joint_swap_search
        >>> fisher = Fisher(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), 1e-3)
        >>> weights = torch.tensor([2.0, 1.0, 0.5])
        >>> joint_swap_search(weights, fisher, torch.tensor([True, True, False]))
        tensor([ True, False,  True])
    """
    w, keep = fisher._vector(weights), _fitting(keep, fisher).clone()
    for _ in range(max_swaps):
        gone, stay = (~keep).nonzero().view(-1), keep.nonzero().view(-1)
        if not len(gone) or not len(stay):
            break
        total, pull, own, shared = _joint_terms(w, fisher, keep)
        add = _changes(w[gone], pull[gone], own[gone], +1).topk(
            min(num_candidates, len(gone)), largest=False
        )
        drop = _changes(w[stay], pull[stay], own[stay], -1).topk(
            min(num_candidates, len(stay)), largest=False
        )
        i, j = gone[add.indices], stay[drop.indices]
        change = _pair_changes(w, pull, own, shared(i, j), i, j)
        best = int(change.argmin())
        if change.view(-1)[best] >= -epsilon * total:
            break
        keep[i[best // len(j)]], keep[j[best % len(j)]] = True, False
    return keep


def _joint_terms(
    w: Tensor, fisher: Fisher, keep: Tensor
) -> tuple[float, Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]]:
    r"""Return the terms of the objective.

    With :math:`K = N \lambda I + G_Q G_Q^\top` and :math:`s = G_P w_P` they are
    :math:`\|w_P\|^2 + s^\top K^{-1} s`, :math:`g_i^\top K^{-1} s` and :math:`g_i^\top
    K^{-1} g_i` of every weight, and a function that returns :math:`g_i^\top K^{-1}
    g_j` of pairs.
    """
    gone = w.masked_fill(keep, 0.0)
    total, pulls, whitened = gone.square().sum(), [], []
    for part in fisher.blocks:
        G = fisher.gradients[:, part]
        whitened.append(_inverse(fisher, G[:, keep[part]]) @ G)
        s = G @ gone[part]
        pulls.append(s @ whitened[-1])
        total += pulls[-1] @ gone[part]
    Y, index = torch.cat(whitened, dim=1), fisher.block_index

    def shared(i: Tensor, j: Tensor) -> Tensor:
        return (fisher.gradients[:, i].T @ Y[:, j]) * (index[i][:, None] == index[j])

    return float(total), torch.cat(pulls), (fisher.gradients * Y).sum(dim=0), shared


def _changes(w: Tensor, pull: Tensor, own: Tensor, sign: int) -> Tensor:
    """Return the change of the sum if weights are kept (+1) or removed (-1)."""
    c = -sign * w
    moved = pull + own * c
    quadratic = 2 * c * pull + own * c.square()
    return -sign * w.square() + quadratic - moved.square() / (sign + own)


def _pair_changes(
    w: Tensor, pull: Tensor, own: Tensor, shared: Tensor, i: Tensor, j: Tensor
) -> Tensor:
    """Return the change of the sum if the removed ``i`` stays and ``j`` is removed."""
    c_i, c_j = -w[i][:, None], w[j]
    own_i, own_j = own[i][:, None], own[j]
    moved_i = pull[i][:, None] + own_i * c_i + shared * c_j
    moved_j = pull[j] + own_j * c_j + shared * c_i
    # K' = K + g_i g_i^T - g_j g_j^T, by Woodbury with a 2 x 2 matrix
    top, low = 1 + own_i, own_j - 1
    inner = low * moved_i.square() + top * moved_j.square()
    inner = (inner - 2 * shared * moved_i * moved_j) / (top * low - shared.square())
    quadratic = 2 * (c_i * pull[i][:, None] + c_j * pull[j] + shared * c_i * c_j)
    quadratic = quadratic + own_i * c_i.square() + own_j * c_j.square()
    return c_j.square() - c_i.square() + quadratic - inner
