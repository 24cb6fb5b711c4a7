"""Selection from a stream equals selection in memory."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gsparse.edges import keep_largest, tie_breaker
from gsparse.edges.pairs import Pairs
from gsparse.edges.streamed_select import (
    Keeper,
    Ranked,
    ScoredPairs,
    find_cut,
    find_rank,
)

FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf, 5e-324, -2.5]),
    st.floats(allow_nan=False),
    st.floats(min_value=1.0, max_value=1.0 + 2**-40),
)


def in_blocks(score, size):
    """A stream of scored pairs of distinct nodes."""
    node = torch.arange(score.numel())
    pairs = Pairs(node, node + 1, node[:0], score.numel() + 1)

    def stream():
        for start in range(0, score.numel(), size):
            part = slice(start, start + size)
            some = pairs._replace(row=pairs.row[part], col=pairs.col[part])
            yield ScoredPairs(some, score[part])

    return pairs, stream


@given(st.lists(FLOATS, min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 9))
def test_every_rank_is_that_of_the_sorted_scores(values, size, hold):
    score = torch.tensor(values, dtype=torch.float64)
    _, stream = in_blocks(score, size)
    for rank, value in enumerate(score.sort(descending=True).values.tolist()):
        found = find_rank(lambda: (it.score for it in stream()), rank, hold)
        above, equal = (score > value).sum().item(), (score == value).sum().item()
        assert found == Ranked(value, above, equal)


@pytest.mark.parametrize("hash_ties", [False, True])
@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=50),
    st.integers(1, 9),
    st.integers(0, 5),
)
def test_kept_pairs_are_those_of_keep_largest(hash_ties, values, size, hold):
    score = torch.tensor(values, dtype=torch.float64) / 7
    pairs, stream = in_blocks(score, size)
    for k in range(score.numel()):
        keeper = Keeper(find_cut(stream, k, hash_ties=hash_ties, hold=hold))
        keep = torch.cat([keeper.keep(block) for block in stream()])
        tie = tie_breaker(pairs) if hash_ties else None
        assert keep.equal(keep_largest(score, k, tie))


def test_few_passes_are_needed():
    draw = torch.Generator().manual_seed(90031)
    score = torch.rand(200_000, generator=draw, dtype=torch.float64)
    passes = 0

    def scores():
        nonlocal passes
        passes += 1
        return iter(score.split(10_000))

    value = find_rank(scores, 20_000, hold=2000).value
    assert value == score.sort(descending=True).values[20_000]
    assert passes == 2


def test_nan_is_refused():
    score = torch.tensor([1.0, math.nan], dtype=torch.float64)
    with pytest.raises(ValueError, match=r"'score' must not be NaN \(got 1\)"):
        find_rank(lambda: iter([score]), 0)
