"""Unbiased random samples of the pairs, weights included."""

import torch
from torch import Tensor

from gsparse.edges.hashing import counter_uniform, pair_uniform
from gsparse.edges.pairs import Pairs
from gsparse.edges.select import budget, keep_largest

BLOCK = 1 << 22  # draws looked up at a time


def priority_sample(
    score: Tensor,
    sparsity: float,
    pairs: Pairs,
    seed: int,
    sure: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Draw an exact number of pairs, unbiased, with priority sampling, from the
    `"Priority sampling for estimation of arbitrary subset sums"
    <https://arxiv.org/abs/cs/0509026>`_ paper.

    Every pair draws :math:`u_e` from its end points and the seed and gets the
    priority :math:`q_e = s_e / u_e`. The :math:`k` largest survive. With
    :math:`\tau` the next largest, :math:`\max(1, \tau / s_e)` times its old weight
    is an unbiased estimate of the weight of every pair. A sample contains every
    smaller sample with the same scores and seed.

    Args:
        score: Non-negative importance of each pair.
        sparsity: Fraction to remove, in [0, 1).
        pairs: The pairs the scores belong to.
        seed: Number of the random stream.
        sure: Pairs kept with certainty; they keep their weight.

    Returns:
        Which pairs survive, and the factor for the weight of those that do.

    Shapes:
        - **score**, **sure**, both outputs: :math:`(M,)`

    Raises:
        ValueError: If a score is negative or not finite, or if more pairs are sure
            than the budget allows.
    """
    score = _check_score(score)
    k = budget(score.numel(), sparsity)
    priority = score / pair_uniform(pairs, seed)
    if sure is not None:
        num_sure = int(sure.sum())
        if num_sure > k:
            raise ValueError(
                f"{num_sure} pairs must be kept, but sparsity={sparsity} leaves {k} of "
                f"{score.numel()}; lower 'sparsity' to at most "
                f"{1 - num_sure / score.numel():.4f}"
            )
        priority.masked_fill_(sure, float("inf"))
    keep = keep_largest(priority, k)
    factor = torch.ones_like(score)
    if k < score.numel():
        threshold = priority[~keep].max()
        factor = (threshold / score).nan_to_num(1.0).clamp(min=1.0)
        if sure is not None:
            factor.masked_fill_(sure, 1.0)
    return keep, factor.masked_fill_(~keep, 0.0)


def sample_with_replacement(
    score: Tensor, num_samples: int, seed: int, sure: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Draw pairs with replacement, with probability proportional to their scores.

    A pair drawn :math:`c_e` times in :math:`q` draws gets :math:`c_e / (q p_e)` times
    its old weight, which is unbiased. The size is random and at most :math:`q`.

    Args:
        score: Non-negative importance of each pair.
        num_samples: Number of draws :math:`q`.
        seed: Number of the random stream; draw :math:`i` uses its :math:`i`-th number.
        sure: Pairs kept with certainty and left out of the draws.

    Returns:
        Which pairs survive, and the factor for the weight of those that do.

    Shapes:
        - **score**, **sure**, both outputs: :math:`(M,)`
    """
    score = _check_score(score)
    if sure is not None:
        score = score.masked_fill(sure, 0.0)
    cumulative = score.cumsum(0)
    count = torch.zeros_like(score)
    total = cumulative[-1] if score.numel() else score.sum()
    if total > 0:
        for start in range(0, num_samples, BLOCK):
            stop = min(start + BLOCK, num_samples)
            u = counter_uniform(seed, start, stop, score.device) * total
            drawn = torch.searchsorted(cumulative, u, right=True)
            count += torch.bincount(drawn, minlength=score.numel())
    factor = (count * total / (num_samples * score)).nan_to_num(0.0, posinf=0.0)
    keep = count > 0
    if sure is not None:
        keep, factor = keep | sure, factor.masked_fill(sure, 1.0)
    return keep, factor


def _check_score(score: Tensor) -> Tensor:
    score = score.double()
    if not (torch.isfinite(score) & (score >= 0)).all():
        raise ValueError("'score' must be finite and non-negative for random selection")
    return score
