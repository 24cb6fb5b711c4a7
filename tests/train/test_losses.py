"""Losses over columns against torch's over rows."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from gsparse.train.losses import (
    FEW,
    log_probabilities,
    mean_cross_entropy,
    mean_divergence,
)


def scores(classes, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(50, classes, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("classes", [1, 2, 5, FEW, FEW + 1])
def test_values_and_derivatives_are_torchs(classes):
    out, target = scores(classes, 3).requires_grad_(), torch.arange(50) % classes
    other = scores(classes, 4)
    torch.testing.assert_close(log_probabilities(out), out.log_softmax(1).t())
    for ours, theirs in (
        (mean_cross_entropy(out, target), cross_entropy(out, target)),
        (
            mean_divergence(out, log_probabilities(other)),
            kl_div(
                out.log_softmax(1),
                other.softmax(1),
                reduction="batchmean",
            ),
        ),
    ):
        torch.testing.assert_close(ours, theirs)
        found, expected = (torch.autograd.grad(it, out)[0] for it in (ours, theirs))
        torch.testing.assert_close(found, expected)
