"""Local search for the weights to remove together (CBS-S)."""

from collections.abc import Callable
from math import isqrt

import torch
from torch import Tensor

from gsparse.edges import keep_largest
from gsparse.prune.surgeons.brain_surgeon import _fitting
from gsparse.prune.surgeons.fisher import Fisher


def random_magnitude_partition(
    weights: Tensor, num_kept: int, generator: torch.Generator
) -> Tensor:
    r"""Keep the largest :math:`|w|` of each of :math:`\sqrt{n}` random chunks.

    Gives different good starts for a search. Chunks keep the same share of their
    weights, to the nearest weight.

    Returns:
        True for the ``num_kept`` weights that stay.

    Example:
        >>> import torch
        >>> from gsparse.prune.surgeons.swap_search import random_magnitude_partition
        >>> generator = torch.Generator().manual_seed(52721)
        >>> int(random_magnitude_partition(torch.arange(100.0), 30, generator).sum())
        30
    """
    n = weights.numel()
    num_chunks = max(1, min(isqrt(n), 1000))
    order = torch.randperm(n, generator=generator).to(weights.device)
    ends = [n * (c + 1) // num_chunks for c in range(num_chunks)]
    kept_ends = [num_kept * end // n for end in ends]  # in sum exact
    keep = torch.zeros_like(weights, dtype=torch.bool)
    start = kept = 0
    for end, kept_end in zip(ends, kept_ends, strict=True):
        chunk = order[start:end]
        keep[chunk] = keep_largest(weights[chunk].abs(), kept_end - kept)
        start, kept = end, kept_end
    return keep


class _Swaps:
    r"""State of a search: twice the masked loss, :math:`w_P^\top H_{PP} w_P`.

    With the columns :math:`x_i = g_i w_i / \sqrt{N}` and their sums :math:`s = \sum_P
    x_i` of each block it is :math:`\|s\|^2 + \lambda \|w_P\|^2`, and

    .. math::
        \alpha_i &= 2 x_i^\top s - \|x_i\|^2 + \lambda w_i^2 && i \in P\ \text{stays}
        \\
        \beta_j &= 2 x_j^\top s + \|x_j\|^2 + \lambda w_j^2 && j \in Q\ \text{goes} \\
        \gamma_{ij} &= 2 x_i^\top x_j && \text{both}

    A swap changes it by :math:`-\alpha_i + \beta_j - \gamma_{ij}`, exactly.
    """

    def __init__(self, weights: Tensor, fisher: Fisher, keep: Tensor) -> None:
        w = fisher._vector(weights)
        scaled = fisher.gradients * (w / fisher.num_samples**0.5)
        self.blocks, self.index = fisher.blocks, fisher.block_index
        self.X = scaled.T.contiguous()  # [n, N]: a swap reads rows
        self.own = self.X.square().sum(dim=1)
        self.decay = fisher.ridge * w.square()
        self.keep = keep.clone()
        gone = (~keep).double()
        self.sums = torch.stack([gone[b] @ self.X[b] for b in self.blocks])

    def value(self) -> float:
        """Return the objective, twice the masked loss."""
        return float(self.sums.square().sum() + self.decay[~self.keep].sum())

    def pull(self) -> Tensor:
        r"""Return :math:`x_i^\top s` of every weight, ``[n]``."""
        pairs = zip(self.blocks, self.sums, strict=True)
        return torch.cat([self.X[part] @ s for part, s in pairs])

    def alpha_beta(self) -> tuple[Tensor, Tensor]:
        r"""Return :math:`\alpha` and :math:`\beta` of every weight, ``[n]``.

        Its one product takes most of the time of a pass.
        """
        pull = 2 * self.pull()
        return pull - self.own + self.decay, pull + self.own + self.decay

    def gamma(self, i: int, others: Tensor) -> Tensor:
        r"""Return :math:`\gamma_{ij}` for one weight and others."""
        return 2 * (self.X[others] @ self.X[i]) * (self.index[others] == self.index[i])

    def change(self, i: int, others: Tensor) -> Tensor:
        """Return the change of the objective for each swap of a removed weight."""
        index, near = self.index[others], self.X[others]
        s = self.sums[self.index[i]]
        alpha = 2 * (self.X[i] @ s) - self.own[i] + self.decay[i]
        pull = (near * self.sums[index]).sum(dim=1)
        beta = 2 * pull + self.own[others] + self.decay[others]
        gamma = 2 * (near @ self.X[i]) * (index == self.index[i])
        return beta - alpha - gamma

    def swap(self, i: int, j: int) -> None:
        """Keep the removed weight ``i`` and remove the kept weight ``j``."""
        self.sums[self.index[i]] -= self.X[i]
        self.sums[self.index[j]] += self.X[j]
        self.keep[i], self.keep[j] = True, False


def swap_search(
    weights: Tensor,
    fisher: Fisher,
    keep: Tensor,
    *,
    epsilon: float = 1e-6,
    window: int = 10,
    max_failures: int = 20,
    max_passes: int = 100,
    judge: Callable[[Tensor], float] | None = None,
    patience: int = 5,
) -> Tensor:
    r"""Swap kept and removed weights while :math:`\frac{1}{2} w_P^\top H_{PP} w_P`
    falls (CBS-S), from the `"The Combinatorial Brain Surgeon"
    <https://arxiv.org/abs/2203.04466>`_ paper.

    A pass sorts the removed weights by the loss they would save and the kept ones by
    the loss they would cost, and swaps the one of rank :math:`i` with the best of ranks
    :math:`i - \rho \ldots i + \rho`. It ends when more than :math:`\tau` weights have
    found no partner. The objective never ends above its start, and the number of kept
    weights does not change. Once the kept weights are updated the result is not always
    better than the start (that of :func:`joint_swap_search` is).

    A pass costs :math:`O(Nn)`, and :math:`O(N \rho)` for each weight that it tries.
    Unlike the paper's code it takes the best partner in the window rather than the
    first, goes on if the first pair of a pass does not improve, uses the damped
    :math:`H`, and measures :math:`\epsilon` against the start.

    Args:
        weights: All weights.
        fisher: Fisher matrix of these weights.
        keep: Selection to start from; True for kept weights.
        epsilon: A swap must lower the objective by this fraction of its first value.
        window: :math:`\rho`.
        max_failures: :math:`\tau`.
        max_passes: Maximum number of passes.
        judge: Called with the selection at the start and after each pass, for example
            the training loss; the selection of lowest value is returned. ``None``
            relies on the quadratic model.
        patience: Passes without a lower value of ``judge`` after which the search ends.

    Returns:
        True for the weights that stay.

    Shapes:
        - **weights**, **keep**, **output:** :math:`(n,)`

    Example:
        Two weights cancel each other; magnitude would separate them.

        >>> import torch
        >>> from gsparse.prune import Fisher
        >>> from gsparse.prune.surgeons.swap_search import swap_search
        >>> fisher = Fisher(torch.tensor([[1.0, 1.0, 1.0]]), damping=1e-3)
        >>> weights = torch.tensor([3.0, 2.0, -3.0])
        >>> keep = torch.tensor([True, False, False])
        >>> swap_search(weights, fisher, keep)
        tensor([False,  True, False])
    """
    state = _Swaps(weights, fisher, _fitting(keep, fisher))
    least = epsilon * state.value()
    best, best_value = keep.clone(), judge(keep) if judge else 0.0
    since = 0
    for _ in range(max_passes):
        if not _one_pass(state, least, window, max_failures):
            break
        if judge is None:
            best = state.keep
            continue
        value = judge(state.keep)
        since += 1
        if value < best_value:
            best, best_value, since = state.keep.clone(), value, 0
        if since >= patience:
            break
    return best


def _one_pass(state: _Swaps, least: float, window: int, max_failures: int) -> int:
    """Make the swaps of one pass and return their number."""
    gone = (~state.keep).nonzero().view(-1)
    stay = state.keep.nonzero().view(-1)
    if not len(gone) or not len(stay):
        return 0
    alpha, beta = state.alpha_beta()
    gone = gone[alpha[gone].argsort(descending=True, stable=True)]
    cost = beta[stay] - state.gamma(int(gone[0]), stay)
    stay = stay[cost.argsort(stable=True)]
    free = torch.ones_like(stay, dtype=torch.bool)
    done = failures = 0
    for rank, i in enumerate(gone[: len(stay) + window].tolist()):
        first = max(rank - window, 0)
        near = stay[first : rank + window + 1]
        change = state.change(i, near)
        change = change.masked_fill(~free[first : rank + window + 1], torch.inf)
        k = int(change.argmin())
        if change[k] < -least:
            state.swap(i, int(near[k]))
            free[first + k] = False
            done += 1
        else:
            failures += 1
            if failures > max_failures:
                break
    return done
