"""The pruners that rank weights, against dense matrices of one linear map."""

import pytest
import torch
from torch.nn import Linear

from gsparse.prune import OptimalBrainDamage, OptimalBrainSurgeon, Rows, WoodFisher

N, SIZE, DAMPING = 9, 12, 0.4


def problem(seed=70841):
    """A layer of one output; the gradient of its loss at a sample is the sample."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-1, 1, SIZE, dtype=torch.float64)
    x = torch.randn(N, SIZE, generator=generator, dtype=torch.float64) * scale
    x[:, 1::2] += x[:, ::2]  # neighbours share what they do
    layer = Linear(SIZE, 1, bias=False).double()
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
    return layer, x


def hessian(x):
    """The damped Fisher matrix, from its definition."""
    empirical = x.T @ x / N
    ridge = DAMPING * empirical.diagonal().mean()
    return empirical + ridge * torch.eye(SIZE, dtype=torch.float64)


def pruned(kind, sparsity=0.5, **options):
    layer, x = problem()
    before = layer.weight.detach()[0].clone()
    pruner = kind(
        layer,
        sparsity=sparsity,
        losses=lambda: layer(x)[:, 0],
        damping=DAMPING,
        targets="",
        **options,
    )
    return pruner, before, hessian(x)


def saliencies(w, H):
    """Damage: w^2 H_qq / 2. Surgeon: w^2 / 2 [H^-1]_qq."""
    damage = w.square() * H.diagonal() / 2
    surgeon = w.square() / H.inverse().diagonal() / 2
    return {
        OptimalBrainDamage: damage,
        OptimalBrainSurgeon: surgeon,
        WoodFisher: surgeon,
    }


KINDS = [OptimalBrainDamage, OptimalBrainSurgeon, WoodFisher]


def test_the_three_choices_differ_from_each_other_and_from_magnitude():
    """So that no test below could hold for another score."""
    layer, x = problem()
    w = layer.weight.detach()[0]
    found = saliencies(w, hessian(x))
    scores = [found[OptimalBrainDamage], found[OptimalBrainSurgeon], w.abs()]
    kept = [tuple(sorted(score.topk(6).indices.tolist())) for score in scores]
    assert len(set(kept)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_saliencies(kind):
    pruner, w, H = pruned(kind, 0.0)
    expected = saliencies(w, H)[kind]
    torch.testing.assert_close(pruner.importances()["weight"][0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_the_most_salient_weights_stay(kind):
    pruner, w, H = pruned(kind)
    best = saliencies(w, H)[kind].topk(6).indices
    assert pruner.masks["weight"][0].nonzero().view(-1).tolist() == sorted(
        best.tolist()
    )


def test_damage_moves_no_weight():
    pruner, w, _ = pruned(OptimalBrainDamage)
    keep = pruner.masks["weight"][0]
    assert pruner.model.weight[0][keep].equal(w[keep])


def test_surgeon_lets_the_kept_weights_answer_jointly():
    """The minimum of d^T H d / 2 with d = -w where weights are removed."""
    pruner, w, H = pruned(OptimalBrainSurgeon)
    keep = pruner.masks["weight"][0]
    moved = torch.linalg.solve(H[keep][:, keep], H[keep][:, ~keep] @ w[~keep])
    found = pruner.model.weight.detach()[0][keep]
    torch.testing.assert_close(found, w[keep] + moved)


def test_wood_fisher_adds_up_the_answers_to_single_removals():
    pruner, w, H = pruned(WoodFisher)
    keep, inverse = pruner.masks["weight"][0], H.inverse()
    delta = torch.zeros(SIZE, dtype=torch.float64)
    for q in (~keep).nonzero().view(-1).tolist():
        delta -= w[q] / inverse[q, q] * inverse[:, q]
    found = pruner.model.weight.detach()[0][keep]
    torch.testing.assert_close(found, (w + delta)[keep])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_counts_by_its_mean_saliency(kind):
    generator = torch.Generator().manual_seed(70842)
    x = torch.randn(N, 4, generator=generator, dtype=torch.float64)
    layer = Linear(4, 5, bias=False).double()

    def losses():
        return layer(x).square().sum(1)

    pruner = kind(layer, sparsity=0.0, losses=losses, targets="")
    expected = pruner.importances()["weight"].mean(1)
    pruner.undo()
    options = {"losses": losses, "targets": "", "structure": Rows()}
    kept = kind(layer, sparsity=0.4, **options).masks["weight"].any(1)
    assert int(kept.sum()) == 3
    assert expected[kept].min() > expected[~kept].max()
