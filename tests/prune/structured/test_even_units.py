"""Units of equal number in every head against their definition."""

import itertools

import pytest
import torch

from gsparse.prune import even_units


@pytest.mark.parametrize(("num_heads", "width"), [(2, 2), (3, 1), (1, 4), (3, 4)])
def test_even_units_are_the_best_of_all_rectangles(num_heads, width):
    generator = torch.Generator().manual_seed(52901)
    scores = torch.rand(3, 4, generator=generator)
    keep = even_units(scores, num_heads, width)
    assert sorted(keep.sum(1).tolist())[-num_heads:] == [width] * num_heads
    assert int(keep.sum()) == num_heads * width
    best = max(
        sum(
            float(scores[h, list(some)].sum())
            for h, some in zip(heads, units, strict=True)
        )
        for heads in itertools.combinations(range(3), num_heads)
        for units in itertools.product(
            itertools.combinations(range(4), width), repeat=num_heads
        )
    )
    assert float(scores[keep].sum()) == pytest.approx(best, rel=1e-6)
