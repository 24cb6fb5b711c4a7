"""Terms whose mean is the score, and the error of a paired difference."""

import pytest
import torch

from gsparse.deploy.paired_scores import mean_terms, paired_difference, score_terms
from gsparse.train.scores import score


def draw(seed, num_nodes=200):
    generator = torch.Generator().manual_seed(seed)
    out = torch.randn(num_nodes, 2, generator=generator).round(decimals=1)  # has ties
    return out, torch.randint(2, (num_nodes,), generator=generator)


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_every_vector_of_terms_has_the_score_as_its_mean(metric):
    out, y = draw(27011)
    for terms in score_terms(out, y, metric):
        assert terms.mean().item() == pytest.approx(score(out, y, metric))


def test_the_error_of_an_accuracy_is_that_of_the_mean_of_the_differences():
    first, second = torch.tensor([1.0, 1, 0, 1]), torch.tensor([1.0, 0, 1, 0])
    difference, error = paired_difference((first,), (second,))
    assert difference == pytest.approx(0.25)
    assert error == pytest.approx((first - second).std().item() / 2)


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_the_error_is_the_spread_over_samples_of_nodes(metric):
    """Over 400 samples the standard deviation is known within 4 % (one sigma)."""
    differences, errors = [], []
    for seed in range(30000, 30400):
        out, y = draw(seed, num_nodes=100)
        other, _ = draw(seed + 10**6, num_nodes=100)
        other = (out + other) + y.unsqueeze(1) * torch.tensor([0.0, 1.0])
        found = paired_difference(
            score_terms(other, y, metric), score_terms(out, y, metric)
        )
        differences.append(found[0])
        errors.append(found[1])
    spread = torch.tensor(differences).std().item()
    assert sum(errors) / len(errors) == pytest.approx(spread, rel=0.15)


def test_terms_are_averaged_over_fits():
    fits = [(torch.tensor([1.0, 0.0]),), (torch.tensor([1.0, 1.0]),)]
    assert mean_terms(fits)[0].tolist() == [1.0, 0.5]


def test_one_node_has_no_error():
    one = (torch.ones(1),)
    assert paired_difference(one, (torch.zeros(1),)) == (1.0, 0.0)
