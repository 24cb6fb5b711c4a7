"""Draw unbiased random samples of the pairs and their new weights."""

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
    r"""Sample an exact number of pairs by priority sampling, from the `"Priority
    sampling for estimation of arbitrary subset sums"
    <https://arxiv.org/abs/cs/0509026>`_ paper.

    Every pair draws a uniform number :math:`u_e` from its end points and the seed. Its
    priority is :math:`q_e = s_e / u_e` with the importance :math:`s_e`, and the
    :math:`k` pairs of largest priority are kept. With the :math:`(k+1)`-th largest
    priority :math:`\tau`, multiplying each kept weight by
    :math:`\max(1, \tau / s_e)` gives an unbiased estimate of all weights. Samples are
    nested: a sample contains every smaller sample with the same importances and seed.

    Args:
        score: Non-negative importance of each pair.
        sparsity: Fraction to remove, in [0, 1).
        pairs: Pairs to sample from.
        seed: Random seed.
        sure: Pairs to keep with certainty and with unchanged weight.

    Returns:
        Which pairs are kept, and the factor for the weight of each pair.

    Shapes:
        - **score**, **sure**, both outputs: :math:`(M,)`

    Raises:
        ValueError: If an importance is negative or not finite, or if there are more
            ``sure`` pairs than the budget allows.
    """
    score = check_score(score)
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
        factor = sampled_factor(score, threshold)
        if sure is not None:
            factor.masked_fill_(sure, 1.0)
    return keep, factor.masked_fill_(~keep, 0.0)


def sampled_factor(score: Tensor, threshold: float | Tensor) -> Tensor:
    r"""Return the factors :math:`\max(1, \tau / s_e)` of the weights of kept pairs.

    Shapes:
        - **score**, **output:** :math:`(M,)`
    """
    return (threshold / score).nan_to_num(1.0).clamp(min=1.0)


def sample_with_replacement(
    score: Tensor, num_samples: int, seed: int, sure: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Sample pairs with replacement, with probability proportional to importance.

    The weight of a pair that is drawn :math:`c_e` times in :math:`q` draws is
    multiplied by :math:`c_e / (q p_e)`, which is unbiased. The number of distinct pairs
    is random and at most :math:`q`; use :func:`priority_sample` for an exact number.

    Args:
        score: Non-negative importance of each pair.
        num_samples: Number of draws :math:`q`.
        seed: Random seed. Draw :math:`i` uses the :math:`i`-th number of its stream.
        sure: Pairs to keep with certainty; they are excluded from the draws.

    Returns:
        Which pairs are kept, and the factor for the weight of each pair.

    Shapes:
        - **score**, **sure**, both outputs: :math:`(M,)`
    """
    score = check_score(score)
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


def check_score(score: Tensor) -> Tensor:
    """Return importances in float64; refuse what cannot be sampled by.

    Shapes:
        - **score**, **output:** :math:`(M,)`
    """
    score = score.double()
    if not (torch.isfinite(score) & (score >= 0)).all():
        raise ValueError("'score' must be finite and non-negative for random selection")
    return score
