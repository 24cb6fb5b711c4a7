"""Dropout by counter: its hash, its law, its derivative."""

import pytest
import torch
from torch.autograd import gradcheck

from gsparse.kernels.dropout import _dropout, dropout, dropout_reference


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_reference(p, dtype):
    x = torch.randn(70, 511, dtype=dtype)
    seed = 917_273_641_557_003
    out = _dropout(x, p, torch.tensor(seed))
    torch.testing.assert_close(out, dropout_reference(x, p, seed))


@pytest.mark.parametrize("p", [0.05, 0.5, 0.6])
def test_share_and_mean(p):
    """Dropped shares lie within five standard errors, in all and in every column."""
    torch.manual_seed(36721)
    n = 400_000
    dropped = dropout(torch.ones(n), p) == 0
    error = (p * (1 - p) / n) ** 0.5
    assert abs(dropped.double().mean().item() - p) < 5 * error
    columns = dropped.view(-1, 16).double().mean(0)
    assert (columns - p).abs().max() < 5 * error * 4


def test_neighbours_and_seeds_are_uncorrelated():
    torch.manual_seed(50821)
    n = 400_000
    first, second = (dropout(torch.ones(n), 0.5) - 1 for _ in range(2))
    bound = 5 / n**0.5
    assert abs((first * second).mean().item()) < bound
    for step in (1, 2, 16, 64, 500):
        assert abs((first[step:] * first[:-step]).mean().item()) < bound


def test_same_generator_same_mask_any_threads():
    """Large enough for several threads and blocks."""
    x = torch.rand(300_000)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            torch.manual_seed(74413)
            found.append(dropout(x, 0.3))
    finally:
        torch.set_num_threads(before)
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])
    assert not found[0].equal(dropout(x, 0.3))


def test_gradient_passes_where_values_passed():
    torch.manual_seed(61343)
    x = torch.ones(50, 7, requires_grad=True)
    out = dropout(x, 0.4)
    out.sum().backward()
    assert x.grad.equal(out.detach())
    seed, y = torch.tensor(43201), torch.randn(4, 3).double().requires_grad_()
    assert gradcheck(lambda t: _dropout(t, 0.4, seed), y)
    torch.library.opcheck(_dropout.op, (y, 0.4, seed))


def test_extremes_and_evaluation():
    x = torch.randn(9, 3)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.7, training=False) is x
    assert dropout(x, 1.0).equal(torch.zeros(9, 3))
    assert dropout(torch.empty(0, 3), 0.5).shape == (0, 3)
    transposed = dropout(x.t(), 0.5)
    kept = transposed != 0
    torch.testing.assert_close(transposed[kept], 2 * x.t()[kept])


def test_other_dtypes_take_torchs_dropout():
    assert dropout(torch.ones(64, dtype=torch.bfloat16), 0.5).dtype == torch.bfloat16


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_p_out_of_range(p):
    with pytest.raises(ValueError, match=rf"'p' must be in \[0, 1\] \(got {p}\)"):
        dropout(torch.ones(3), p)
