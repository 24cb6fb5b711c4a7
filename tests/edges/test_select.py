"""Budgets, top-k and random samples against definition and theorem."""

from fractions import Fraction
from itertools import pairwise

import pytest
import torch

from gsparse.data import random_graph
from gsparse.edges import (
    counter_uniform,
    keep_top,
    pair_uniform,
    priority_sample,
    sample_with_replacement,
    undirected_pairs,
)


def some_pairs(p=0.3, seed=15737, num_nodes=30):
    data = random_graph(num_nodes=num_nodes, p=p, seed=seed)
    return undirected_pairs(data.edge_index, num_nodes)


@pytest.mark.parametrize("num_pairs", [1, 2, 10, 51, 100])
def test_budget_is_hit_to_the_nearest_pair(num_pairs):
    generator = torch.Generator().manual_seed(40231)
    score = torch.rand(num_pairs, generator=generator)
    for percent in range(100):
        removed = num_pairs - keep_top(score, percent / 100).sum().item()
        assert abs(removed - Fraction(percent, 100) * num_pairs) <= Fraction(1, 2)


def test_the_best_are_kept_and_ties_go_to_the_first():
    score = torch.tensor([2.0, 5.0, 2.0, 2.0, 9.0])
    keep = keep_top(score, sparsity=0.4)
    assert keep.tolist() == [True, True, False, False, True]


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match=r"must not be NaN \(got 1\)"):
        keep_top(torch.tensor([1.0, float("nan")]), 0.5)


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_sparsity_out_of_range(sparsity):
    with pytest.raises(ValueError, match=rf"in \[0, 1\) \(got {sparsity}\)"):
        keep_top(torch.rand(3), sparsity)


def test_uniforms_are_uniform():
    pairs = some_pairs(p=0.9, num_nodes=300)
    u = pair_uniform(pairs, seed=66029)
    n = u.numel()
    assert u.min() > 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 * (1 / 12 / n) ** 0.5
    counts = torch.histc(u, bins=50, min=0, max=1)
    chi2 = ((counts - n / 50) ** 2 / (n / 50)).sum()
    assert chi2 < 49 + 4 * (2 * 49) ** 0.5
    other = pair_uniform(pairs, seed=66030)
    assert abs(torch.corrcoef(torch.stack([u, other]))[0, 1]) < 4 / n**0.5
    assert not pair_uniform(pairs, seed=66029, stream=1).equal(u)


def test_no_two_pairs_share_their_number():
    """Not even those whose end points have the same sum."""
    u = pair_uniform(some_pairs(p=0.9, num_nodes=60), seed=66031)
    assert u.unique().numel() == u.numel()


def test_counters_continue_a_stream():
    cpu = torch.device("cpu")
    whole = counter_uniform(31, 0, 10, cpu)
    parts = [counter_uniform(31, 0, 4, cpu), counter_uniform(31, 4, 10, cpu)]
    assert torch.cat(parts).equal(whole)


@pytest.mark.parametrize("sparsity", [0.2, 0.5, 0.9])
def test_priority_sample_matches_definition(sparsity):
    pairs = some_pairs()
    score = pair_uniform(pairs, seed=90001) + 0.1
    keep, factor = priority_sample(score, sparsity, pairs, seed=12011)
    priority = score / pair_uniform(pairs, seed=12011)
    order = priority.argsort(descending=True)
    k = pairs.num_pairs - round(sparsity * pairs.num_pairs)
    assert sorted(keep.nonzero().view(-1).tolist()) == sorted(order[:k].tolist())
    tau = priority[order[k]]
    torch.testing.assert_close(factor[keep], (tau / score[keep]).clamp(min=1.0))
    assert (factor[~keep] == 0).all()


def test_priority_samples_are_nested():
    pairs = some_pairs()
    score = pair_uniform(pairs, seed=90001)
    kept = [priority_sample(score, s / 10, pairs, seed=55)[0] for s in range(10)]
    for larger, smaller in pairwise(kept):
        assert not (smaller & ~larger).any()


def mean_within_four_errors(draws, expected):
    """The mean of each column is the expectation, up to four standard errors."""
    error = draws.std(0) / draws.size(0) ** 0.5
    # The extreme of many columns passes four errors; hold the worst to a Bonferroni
    # bound and the average to four.
    z = (draws.mean(0) - expected).abs() / error.clamp(min=1e-12)
    z[(draws.mean(0) - expected).abs() < 1e-9] = 0
    return z.max() < 5.5 and (z**2).mean() < 1 + 4 * (2 / z.numel()) ** 0.5 + 0.5


def test_priority_factors_are_unbiased():
    pairs = some_pairs(p=0.15)
    score = pair_uniform(pairs, seed=3307) ** 3 + 0.01
    factors = torch.stack(
        [priority_sample(score, 0.6, pairs, seed=s)[1] for s in range(70000, 74000)]
    )
    assert mean_within_four_errors(factors, torch.ones(pairs.num_pairs))


def test_replacement_factors_are_unbiased():
    pairs = some_pairs(p=0.15)
    score = pair_uniform(pairs, seed=3307) + 0.05
    factors = torch.stack(
        [sample_with_replacement(score, 60, seed=s)[1] for s in range(70000, 74000)]
    )
    assert mean_within_four_errors(factors, torch.ones(pairs.num_pairs))


def test_sure_pairs_are_kept_as_they_are():
    pairs = some_pairs()
    score = pair_uniform(pairs, seed=90001)
    sure = torch.zeros(pairs.num_pairs, dtype=torch.bool)
    sure[::7] = True
    for keep, factor in (
        priority_sample(score, 0.8, pairs, seed=5, sure=sure),
        sample_with_replacement(score, 10, seed=5, sure=sure),
    ):
        assert keep[sure].all()
        assert (factor[sure] == 1).all()
    keep, _ = priority_sample(score, 0.8, pairs, seed=5, sure=sure)
    assert keep.sum() == pairs.num_pairs - round(0.8 * pairs.num_pairs)


@pytest.mark.parametrize("num_sure", [0, 9])
def test_draws_are_of_the_pairs_that_are_not_sure(num_sure):
    """So their factors times their scores sum to their scores, whatever is drawn."""
    pairs = some_pairs()
    score = pair_uniform(pairs, seed=90002)
    sure = torch.arange(pairs.num_pairs) < num_sure
    _, factor = sample_with_replacement(score, 40, seed=5, sure=sure)
    found = (factor * score)[~sure].sum()
    torch.testing.assert_close(found, score[~sure].sum())


def test_more_sure_pairs_than_the_budget_is_refused():
    pairs = some_pairs()
    sure = torch.ones(pairs.num_pairs, dtype=torch.bool)
    with pytest.raises(
        ValueError, match=r"pairs must be kept, but sparsity=0.5 leaves"
    ):
        priority_sample(sure.double(), 0.5, pairs, seed=5, sure=sure)


def test_zero_scores_are_kept_last_and_never_drawn():
    pairs = some_pairs()
    score = torch.zeros(pairs.num_pairs)
    score[:5] = 1.0
    keep, _ = sample_with_replacement(score, 1000, seed=8)
    assert keep.tolist() == [True] * 5 + [False] * (pairs.num_pairs - 5)
    keep, factor = priority_sample(score, 0.0, pairs, seed=8)
    assert keep.all()
    assert (factor == 1).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_bad_scores_are_refused(bad):
    pairs = some_pairs()
    score = torch.ones(pairs.num_pairs)
    score[3] = bad
    with pytest.raises(ValueError, match="finite and non-negative"):
        priority_sample(score, 0.5, pairs, seed=5)
