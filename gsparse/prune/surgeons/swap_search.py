"""Which weights go together: local search by swaps (CBS-S)."""

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

    Starts for a search that differ and are all sensible. Chunks keep the same share of
    their weights, to the nearest weight.

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
    r"""Twice the masked loss, :math:`w_P^\top H_{PP} w_P`, and how swaps change it.

    With the columns :math:`x_i = g_i w_i / \sqrt{N}` and their sums :math:`s = \sum_P
    x_i` a block it is :math:`\|s\|^2 + \lambda \|w_P\|^2`, and

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
        """The objective, twice the masked loss."""
        return float(self.sums.square().sum() + self.decay[~self.keep].sum())

    def pull(self) -> Tensor:
        r""":math:`x_i^\top s` of every weight, ``[n]``."""
        pairs = zip(self.blocks, self.sums, strict=True)
        return torch.cat([self.X[part] @ s for part, s in pairs])

    def alpha_beta(self) -> tuple[Tensor, Tensor]:
        """What is won if a pruned weight stays, and lost if a kept one goes: ``[n]``.

        Most of a pass is the one product in here.
        """
        pull = 2 * self.pull()
        return pull - self.own + self.decay, pull + self.own + self.decay

    def gamma(self, i: int, others: Tensor) -> Tensor:
        """What two weights share."""
        return 2 * (self.X[others] @ self.X[i]) * (self.index[others] == self.index[i])

    def change(self, i: int, others: Tensor) -> Tensor:
        """Change of the objective by swapping a pruned weight with each of these."""
        index, near = self.index[others], self.X[others]
        s = self.sums[self.index[i]]
        alpha = 2 * (self.X[i] @ s) - self.own[i] + self.decay[i]
        pull = (near * self.sums[index]).sum(dim=1)
        beta = 2 * pull + self.own[others] + self.decay[others]
        gamma = 2 * (near @ self.X[i]) * (index == self.index[i])
        return beta - alpha - gamma

    def swap(self, i: int, j: int) -> None:
        """A pruned weight stays, a kept one goes."""
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
    r"""Swaps kept and pruned weights while :math:`\frac{1}{2} w_P^\top H_{PP} w_P`
    falls (CBS-S), from the `"The Combinatorial Brain Surgeon"
    <https://arxiv.org/abs/2203.04466>`_ paper.

    A pass sorts the pruned weights by what they would give back, the kept ones by what
    they would cost, and lets the one of rank :math:`i` swap with one of ranks
    :math:`i - \rho \dots i + \rho`. It ends when more than :math:`\tau` found no
    partner. The result is never above the start, and as many weights stay. It is not
    always better once the kept weights answer (:func:`joint_swap_search` is).

    A pass costs :math:`O(Nn)` and a short step :math:`O(N \rho)` for each weight it
    looks at. Unlike the paper's code we take the best partner in the window rather
    than the first, go on if the first pair of a pass does not improve, use the damped
    :math:`H`, and measure :math:`\epsilon` against the start.

    Args:
        weights: All weights.
        fisher: Of those weights.
        keep: Where to start; True stays.
        epsilon: A swap must lower the objective by this fraction of the start's.
        window: :math:`\rho`.
        max_failures: :math:`\tau`.
        max_passes: Most passes.
        judge: Called with the selection at the start and after each pass, such as a
            training loss; the search returns the selection of lowest value, and ends
            after ``patience`` passes without a new lowest. ``None`` trusts the
            quadratic model.
        patience: As above.

    Returns:
        True for the weights that stay.

    Shapes:
        - **weights**, **keep**, **output:** :math:`(n,)`

    Example:
        Two weights cancel each other; magnitude would break the pair.

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
    """Number of swaps made."""
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
