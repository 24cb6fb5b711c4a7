"""The projection onto probabilities under a budget, against its definition."""

import pytest
import torch

from gsparse.prune.learned.projection import SLACK, project_to_budget


def by_breakpoints(z, total):
    """Sort where the sum has its corners and solve the linear piece between two."""
    if z.clamp(0, 1).sum() <= total:
        return z.clamp(0, 1)
    corners = torch.cat([z, z - 1]).sort().values
    corners = corners[corners >= 0]
    sums = torch.stack([(z - v).clamp(0, 1).sum() for v in corners])
    after = int((sums > total).sum())  # sums fall; the first that fits
    low = corners[after - 1] if after else z.new_zeros(())
    free = ((z - low > 0) & (z - low <= 1)).sum()
    v = low + ((z - low).clamp(0, 1).sum() - total) / free
    return (z - v).clamp(0, 1)


def draws(seed, num=60):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(num):
        n = int(torch.randint(1, 80, (), generator=generator))
        scale = 10 ** float(torch.empty(()).uniform_(-3, 2, generator=generator))
        z = torch.randn(n, dtype=torch.float64, generator=generator) * scale
        if torch.rand((), generator=generator) < 0.5:
            z = z.round(decimals=1)  # ties
        yield z, float(torch.rand((), generator=generator)) * n, generator


def test_is_what_sorted_breakpoints_give():
    for z, total, _ in draws(seed=40213):
        p = project_to_budget(z, total)
        torch.testing.assert_close(p, by_breakpoints(z, total), rtol=0, atol=1e-10)


def test_feasible_and_tight():
    for z, total, _ in draws(seed=71139):
        p = project_to_budget(z, total)
        assert p.min() >= 0
        assert p.max() <= 1
        assert p.sum() <= total
        if z.clamp(0, 1).sum() > total:
            assert p.sum() >= total - 1e-9


def test_nothing_feasible_is_nearer():
    for z, total, generator in draws(seed=52771):
        p = project_to_budget(z, total)
        y = torch.rand(200, z.numel(), dtype=torch.float64, generator=generator)
        y = y * (total / y.sum(1, keepdim=True)).clamp(max=1)
        assert ((y - p) @ (z - p)).max() <= 1e-9 * (1 + z.norm() * z.numel())


def test_twice_is_once():
    for z, total, _ in draws(seed=33391):
        p = project_to_budget(z, total)
        assert project_to_budget(p, total).equal(p)


def test_keeps_order():
    for z, total, _ in draws(seed=90281):
        order = z.argsort()
        assert (project_to_budget(z, total)[order].diff() >= 0).all()


def test_only_clips_what_is_feasible():
    for z, _, _ in draws(seed=18803):
        total = float(z.clamp(0, 1).sum()) + 0.5
        assert project_to_budget(z, total).equal(z.clamp(0, 1))


def test_equal_values_share_the_budget():
    assert project_to_budget(torch.ones(8), 2.0).equal(torch.full((8,), 0.25))


def test_values_many_magnitudes_apart():
    z = torch.tensor([1e12, 1e6, 3.0, 1e-9, 1e-300], dtype=torch.float64)
    p = project_to_budget(z, 1.5)
    assert p.tolist() == pytest.approx([1.0, 0.5, 0.0, 0.0, 0.0], abs=1e-3)
    assert p.sum() <= 1.5


@pytest.mark.parametrize("z", [[0.0, -1.0], [2.0, 0.3], []])
def test_no_budget_leaves_nothing(z):
    assert project_to_budget(torch.tensor(z), 0.0).equal(torch.zeros(len(z)))


def test_a_large_sum_keeps_its_precision():
    z = torch.rand(200_000, generator=torch.Generator().manual_seed(60611)).double()
    p = project_to_budget(z, 4000.0)
    assert 4000 * (1 - SLACK) - 1e-9 <= p.sum() <= 4000


def test_leaves_its_input_alone_and_keeps_shape_and_dtype():
    z = torch.full((2, 3), 0.9)
    before = z.clone()
    p = project_to_budget(z, 1.2)
    assert z.equal(before)
    assert p.shape == z.shape
    assert p.dtype == torch.float32


@pytest.mark.parametrize("total", [-0.1, float("nan"), float("inf")])
def test_refuses_a_budget(total):
    with pytest.raises(ValueError, match=r"'total' must be at least 0 and finite"):
        project_to_budget(torch.ones(3), total)


def test_refuses_what_is_not_finite():
    z = torch.tensor([0.5, float("nan"), float("inf")])
    with pytest.raises(ValueError, match=r"'z' must be finite \(got 2 values"):
        project_to_budget(z, 1.0)
