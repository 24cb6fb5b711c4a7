"""Scores against scikit-learn and the definition."""

import pytest
import torch

from gsparse.train import roc_auc
from gsparse.train.scores import score

sklearn_metrics = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("seed", [40013, 66841, 92177])
@pytest.mark.parametrize("levels", [1, 2, 5, 10**6])
def test_roc_auc_with_ties(seed, levels):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(2, (300,), generator=generator)
    guess = torch.randint(levels, (300,), generator=generator).float() / levels
    expected = sklearn_metrics.roc_auc_score(y, guess)
    assert roc_auc(guess, y) == pytest.approx(expected, abs=1e-12)


def test_roc_auc_is_a_probability_over_pairs():
    y = torch.tensor([1, 0, 1, 0, 0])
    guess = torch.tensor([0.9, 0.5, 0.5, 0.1, 0.95])
    wins = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in guess[y == 1]
        for n in guess[y == 0]
    ]
    assert roc_auc(guess, y) == pytest.approx(sum(wins) / len(wins))


def test_score_of_class_scores():
    out = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.5], [0.2, 0.1]])
    y = torch.tensor([0, 1, 1, 0])
    assert score(out, y, "accuracy") == 0.75
    probability = out.softmax(1)[:, 1]
    expected = sklearn_metrics.roc_auc_score(y, probability)
    assert score(out, y, "roc_auc") == pytest.approx(expected)
    shifted = out + torch.tensor([[9.0], [0.0], [4.0], [-3.0]])  # the same softmax
    assert score(shifted, y, "roc_auc") == pytest.approx(expected)


def test_refusals():
    with pytest.raises(ValueError, match=r"'metric' must be one of .*\(got 'f1'\)"):
        score(torch.ones(2, 2), torch.tensor([0, 1]), "f1")
    with pytest.raises(
        ValueError, match=r"needs both classes \(got 2 positives of 2\)"
    ):
        roc_auc(torch.rand(2), torch.ones(2))
    with pytest.raises(ValueError, match=r"needs two classes \(got 3\)"):
        score(torch.ones(2, 3), torch.tensor([0, 1]), "roc_auc")
