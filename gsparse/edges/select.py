"""Exact budgets: the best pairs, or an unbiased random sample of that size."""

import torch
from torch import Tensor

from gsparse.edges.check import check_sparsity
from gsparse.edges.pairs import Pairs

BLOCK = 1 << 20  # pairs hashed at a time: bounds the memory of the intermediates


def budget(num_pairs: int, sparsity: float) -> int:
    """Number of pairs kept, to the nearest pair.

    Example:
        >>> from gsparse.edges import budget
        >>> budget(10, sparsity=0.7)
        3
    """
    check_sparsity(sparsity)
    return num_pairs - round(sparsity * num_pairs)


def keep_top(score: Tensor, sparsity: float) -> Tensor:
    """Keep the pairs of highest score; ties go to the first in canonical order.

    Args:
        score: Importance of each pair.
        sparsity: Fraction to remove, in [0, 1).

    Returns:
        True for the pairs that survive.

    Shapes:
        - **score**, **output:** :math:`(M,)`

    Raises:
        ValueError: If a score is NaN.

    Example:
        >>> import torch
        >>> from gsparse.edges import keep_top
        >>> keep_top(torch.tensor([1.0, 3.0, 1.0, 2.0]), sparsity=0.25)
        tensor([ True,  True, False,  True])
    """
    return _keep_largest(score, budget(score.numel(), sparsity))


def _keep_largest(score: Tensor, k: int) -> Tensor:
    if score.isnan().any():
        raise ValueError(f"'score' must not be NaN (got {int(score.isnan().sum())})")
    if k <= 0 or k >= score.numel():
        return torch.full_like(score, k > 0, dtype=torch.bool)
    cut = score.kthvalue(score.numel() - k + 1).values
    keep = score > cut
    ties = score == cut
    return keep | (ties & (ties.cumsum(0) <= k - keep.sum()))


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
    score = score.double()
    if not (torch.isfinite(score) & (score >= 0)).all():
        raise ValueError("'score' must be finite and non-negative for random selection")
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
    keep = _keep_largest(priority, k)
    factor = torch.ones_like(score)
    if k < score.numel():
        threshold = priority[~keep].max()
        factor = (threshold / score).nan_to_num(1.0).clamp(min=1.0)
        if sure is not None:
            factor.masked_fill_(sure, 1.0)
    return keep, factor.masked_fill_(~keep, 0.0)


def pair_uniform(pairs: Pairs, seed: int, stream: int = 0) -> Tensor:
    """One number in (0, 1) per pair, a function of seed, stream and end points only.

    Shapes:
        - **output:** :math:`(M,)`, float64

    Example:
        >>> import torch
        >>> from gsparse.edges import pair_uniform, undirected_pairs
        >>> path = undirected_pairs(torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]))
        >>> edge = undirected_pairs(torch.tensor([[2, 1], [1, 2]]))
        >>> pair_uniform(path, seed=7)[1] == pair_uniform(edge, seed=7)[0]
        tensor(True)
    """
    start = torch.tensor([seed, stream], device=pairs.row.device)
    start = _mix(_mix(start[:1]) + start[1:])
    out = torch.empty(pairs.num_pairs, dtype=torch.float64, device=pairs.row.device)
    for i in range(0, pairs.num_pairs, BLOCK):
        block = slice(i, i + BLOCK)
        out[block] = _unit(_mix(_mix(start + pairs.row[block]) + pairs.col[block]))
    return out


def counter_uniform(seed: int, start: int, stop: int, device: torch.device) -> Tensor:
    """The numbers ``start`` to ``stop`` of a stream of uniforms in (0, 1)."""
    base = _mix(torch.tensor([seed], device=device))
    return _unit(_mix(base + torch.arange(start, stop, device=device)))


def draw_seed(seed: int | None) -> int:
    """The seed itself, or a fresh one from torch's generator (``seed_everything``)."""
    return int(torch.randint(2**62, ())) if seed is None else seed


def _unit(bits: Tensor) -> Tensor:
    """The top 53 bits as a number in (0, 1)."""
    return ((bits >> 11) & ((1 << 53) - 1)).double().add_(0.5).mul_(2.0**-53)


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64; products wrap, shifts are made logical."""
    z = z + -0x61C8864680B583EB  # 0x9E3779B97F4A7C15
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB
    return z ^ ((z >> 31) & ((1 << 33) - 1))
