"""p-values are uniform without interactions."""

import pytest
import torch
from scipy.stats import kstest
from torch.nn import Module
from torch_geometric.data import Data

from gsparse.explain import (
    Interactions,
    interactions,
    p_values,
    permutation_null,
    permuted_targets,
)


class Bilinear(Module):
    """Least squares on x_1, x_2 and their product."""

    def __init__(self, data):
        super().__init__()
        x = data.x
        design = torch.stack([x[:, 0], x[:, 1], x[:, 0] * x[:, 1]], 1)
        self.w = torch.linalg.lstsq(design, data.y.unsqueeze(1)).solution.view(-1)

    def forward(self, x):
        a, b, c = self.w
        return a * x[:, 0] + b * x[:, 1] + c * x[:, 0] * x[:, 1]


def refit(data, seed):
    return interactions(Bilinear(data), data, groups=1)


def sample(generator, strength, n=20):
    x = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    return Data(x=x, y=strength * x[:, 0] * x[:, 1] + noise)


def test_p_values_are_uniform_under_the_null():
    generator = torch.Generator().manual_seed(39119)
    n, found = 19, []
    for run in range(30):
        data = sample(generator, 0.0)
        null = permutation_null(refit, data, num=n, seed=run)
        found.append(float(p_values(refit(data, 0).mean, null)[0]))
    assert all(value * (n + 1) == pytest.approx(round(value * 20)) for value in found)
    # They are uniform on the multiples of 1 / (n + 1): spread over the steps.
    u = torch.rand(30, generator=generator, dtype=torch.float64)
    spread = torch.tensor(found, dtype=torch.float64) - u / (n + 1)
    assert kstest(spread.numpy(), "uniform").pvalue > 0.001


def test_an_interaction_is_significant():
    data = sample(torch.Generator().manual_seed(39120), 2.0)
    null = permutation_null(refit, data, num=39, seed=3)
    assert float(p_values(refit(data, 0).mean, null)[0]) == pytest.approx(1 / 40)


def test_targets_are_permuted_within_the_masks():
    y = torch.arange(30)
    train, val = y < 10, (y >= 10) & (y < 16)
    data = Data(x=torch.zeros(30, 1), y=y, train_mask=train, val_mask=val)
    other = permuted_targets(data, seed=77)
    assert sorted(other.y[train].tolist()) == list(range(10))
    assert sorted(other.y[val].tolist()) == list(range(10, 16))
    assert torch.equal(other.y[16:], y[16:])
    assert not torch.equal(other.y, y)
    assert torch.equal(data.y, torch.arange(30))
    assert torch.equal(permuted_targets(data, seed=77).y, other.y)
    assert not torch.equal(permuted_targets(data, seed=77, number=1).y, other.y)


def test_each_run_has_a_permutation_and_a_seed_of_its_own():
    data, seen = sample(torch.Generator().manual_seed(39123), 1.0), []

    def watch(data, seed):
        seen.append((data.y.clone(), seed))
        return refit(data, seed)

    null = permutation_null(watch, data, num=4, seed=610)
    assert [seed for _, seed in seen] == [610, 611, 612, 613]
    for k, (y, _) in enumerate(seen):
        assert y.equal(permuted_targets(data, 610, k).y)
    assert len({tuple(y.tolist()) for y, _ in seen}) == 4
    expected = [refit(Data(x=data.x, y=y), 0).mean for y, _ in seen]
    torch.testing.assert_close(null, torch.stack(expected))


def test_p_values_by_hand():
    """An equal score of the null counts as one as large."""
    null = torch.tensor([[1.0, 5.0], [2.0, 0.0], [3.0, 0.0]])
    observed = torch.tensor([2.0, 4.0])
    assert p_values(observed, null).tolist() == [3 / 4, 2 / 4]
    assert p_values(observed, null, family_wise=True).tolist() == [1.0, 2 / 4]


def test_family_wise_values_are_never_smaller():
    generator = torch.Generator().manual_seed(39121)
    null, observed = torch.rand(50, 6, generator=generator), torch.linspace(0, 1.1, 6)
    alone, family = p_values(observed, null), p_values(observed, null, family_wise=True)
    assert (family >= alone).all()
    assert float(alone[-1]) == pytest.approx(1 / 51)
    assert float(alone[0]) == 1
    largest = null.max(1).values
    expected = [(1 + int((largest >= o).sum())) / 51 for o in observed]
    assert family.tolist() == pytest.approx(expected)


def test_what_is_refused():
    data = sample(torch.Generator().manual_seed(39122), 0.0)
    with pytest.raises(ValueError, match="'num' must be at least 1"):
        permutation_null(refit, data, num=0)
    with pytest.raises(ValueError, match=r"'null' must have shape \[n, 3\]"):
        p_values(torch.ones(3), torch.ones(5, 2))

    def wavering(data, seed):
        j = torch.tensor([1 + seed % 2])
        return Interactions(torch.tensor([0]), j, torch.ones(1, 1), 3, "AEH")

    with pytest.raises(ValueError, match="'refit' must return the same pairs"):
        permutation_null(wavering, data, num=2, seed=0)
