"""Optimal Brain Damage and Surgeon against the dense quadratic problem."""

import pytest
import torch

from gsparse.prune.surgeons.brain_surgeon import (
    joint_update,
    masked_loss,
    obd_saliency,
    obs_saliency,
    sequential_obs,
    summed_update,
    updated_loss,
)
from gsparse.prune.surgeons.fisher import Fisher

PROBLEMS = [
    (num_samples, sizes, damping, seed)
    for num_samples in (4, 60)
    for sizes in ([14], [6, 8])
    for damping, seed in ((1e-4, 24683), (0.5, 80917))
]


def draw(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def dense(fisher):
    every = torch.arange(fisher.num_weights)
    return fisher.block(every, every)


@pytest.fixture(params=PROBLEMS, ids=str)
def problem(request):
    num_samples, sizes, damping, seed = request.param
    fisher = Fisher(draw(num_samples, 14, seed=seed), damping, sizes)
    keep = draw(14, seed=seed + 1) > 0.2
    return draw(14, seed=seed + 2), fisher, keep


class TestJointUpdate:
    def test_zero_on_the_removed_and_stationary_on_the_kept(self, problem):
        w, fisher, keep = problem
        delta = joint_update(w, fisher, keep)
        assert ((w + delta)[~keep] == 0).all()
        force = fisher.matvec(delta)
        scale = fisher.matvec(w.masked_fill(keep, 0)).abs().max()
        assert force[keep].abs().max() < 1e-10 * scale

    def test_is_the_least_squares_solution(self, problem):
        w, fisher, keep = problem
        H = dense(fisher)
        moved = torch.linalg.solve(H[keep][:, keep], H[keep][:, ~keep] @ w[~keep])
        delta = joint_update(w, fisher, keep)
        torch.testing.assert_close(delta[keep], moved, atol=1e-8, rtol=1e-6)

    def test_is_the_formula_of_the_paper(self, problem):
        w, fisher, keep = problem
        inverse = torch.linalg.inv(dense(fisher))
        gone = inverse[~keep][:, ~keep]
        multiplier = torch.linalg.solve(gone, w[~keep])
        expected = -inverse[:, ~keep] @ multiplier
        delta = joint_update(w, fisher, keep)
        torch.testing.assert_close(delta, expected, atol=1e-8, rtol=1e-6)
        loss = updated_loss(w, fisher, keep)
        assert loss == pytest.approx((w[~keep] @ multiplier / 2).item(), rel=1e-6)

    def test_with_a_gradient(self, problem):
        """Stationary on the kept weights: (g + H delta)_Q = 0."""
        w, fisher, keep = problem
        g = draw(14, seed=67411)
        delta = joint_update(w, fisher, keep, gradient=g)
        H = dense(fisher)
        assert ((w + delta)[~keep] == 0).all()
        rhs = -g[keep] + H[keep][:, ~keep] @ w[~keep]
        expected = torch.linalg.solve(H[keep][:, keep], rhs)
        torch.testing.assert_close(delta[keep], expected, atol=1e-7, rtol=1e-6)

    def test_one_weight_is_brain_surgeon(self, problem):
        w, fisher, _ = problem
        inverse = torch.linalg.inv(dense(fisher))
        saliency = obs_saliency(w, fisher)
        for q in range(14):
            keep = torch.arange(14) != q
            expected = -w[q] / inverse[q, q] * inverse[:, q]
            delta = joint_update(w, fisher, keep)
            torch.testing.assert_close(delta, expected, atol=1e-8, rtol=1e-6)
            assert updated_loss(w, fisher, keep) == pytest.approx(saliency[q].item())

    @pytest.mark.parametrize("stays", [True, False])
    def test_all_or_nothing(self, problem, stays):
        w, fisher, _ = problem
        keep = torch.full((14,), stays)
        expected = torch.zeros_like(w) if stays else -w
        assert joint_update(w, fisher, keep).equal(expected)


class TestLosses:
    def test_masked(self, problem):
        w, fisher, keep = problem
        gone = w.masked_fill(keep, 0)
        expected = (gone @ dense(fisher) @ gone / 2).item()
        assert masked_loss(w, fisher, keep) == pytest.approx(expected)

    def test_updated_is_that_of_the_update(self, problem):
        w, fisher, keep = problem
        delta = joint_update(w, fisher, keep)
        assert updated_loss(w, fisher, keep) == pytest.approx(
            fisher.quadratic(delta) / 2
        )

    def test_no_other_answer_is_better(self, problem):
        """Than the joint one: masking alone, WoodFisher's sum, or a step aside."""
        w, fisher, keep = problem
        best = updated_loss(w, fisher, keep) * (1 - 1e-9)
        assert best <= masked_loss(w, fisher, keep)
        assert best <= fisher.quadratic(summed_update(w, fisher, keep)) / 2
        delta = joint_update(w, fisher, keep)
        for seed in range(36097, 36107):
            aside = draw(14, seed=seed).masked_fill(~keep, 0)
            assert best <= fisher.quadratic(delta + 1e-3 * aside) / 2

    def test_surgeon_is_below_damage(self, problem):
        w, fisher, _ = problem
        assert (obs_saliency(w, fisher) <= obd_saliency(w, fisher) * (1 + 1e-9)).all()


def test_diagonal_hessian_makes_all_agree():
    """Selection by w^2 H_qq; nothing for the kept weights to answer."""
    fisher = Fisher(torch.diag(draw(14, seed=15913)), damping=0.3)
    w, keep = draw(14, seed=93133), draw(14, seed=40819) > 0
    torch.testing.assert_close(obd_saliency(w, fisher), obs_saliency(w, fisher))
    torch.testing.assert_close(
        obd_saliency(w, fisher), w.square() * dense(fisher).diagonal() / 2
    )
    alone = -w.masked_fill(keep, 0)
    torch.testing.assert_close(joint_update(w, fisher, keep), alone)
    torch.testing.assert_close(summed_update(w, fisher, keep), alone)
    assert updated_loss(w, fisher, keep) == pytest.approx(masked_loss(w, fisher, keep))
    best = torch.zeros(14, dtype=torch.bool)
    best[obd_saliency(w, fisher).topk(5).indices] = True
    assert sequential_obs(w, fisher, num_kept=5).equal(best)


def test_summed_update_by_its_definition(problem):
    w, fisher, keep = problem
    inverse = torch.linalg.inv(dense(fisher))
    expected = -sum(
        inverse[:, q] * w[q] / inverse[q, q] for q in (~keep).nonzero().view(-1)
    )
    found = summed_update(w, fisher, keep)
    torch.testing.assert_close(found[keep], expected[keep], atol=1e-7, rtol=1e-6)
    assert ((w + found)[~keep] == 0).all()


def test_sequential_is_brain_surgeon_step_by_step(problem):
    """Against a dense inverse taken anew for the weights left, at each step."""
    w, fisher, _ = problem
    H, left, v = dense(fisher), list(range(14)), w.clone()
    for num_kept in range(13, 0, -1):
        inverse = torch.linalg.inv(H[left][:, left])
        saliency = v[left].square() / inverse.diagonal()
        q = int(saliency.argmin())
        v[left] -= v[left[q]] / inverse[q, q] * inverse[:, q]
        v[left[q]] = 0
        del left[q]
        keep = sequential_obs(w, fisher, num_kept)
        assert keep.nonzero().view(-1).tolist() == left
        # the answers along the way add up to the joint one
        end = w + joint_update(w, fisher, keep)
        torch.testing.assert_close(end, v, atol=1e-6, rtol=1e-6)


def test_two_equal_weights_share_their_work():
    """Once the first is gone, the other one carries what both did."""
    fisher = Fisher(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), damping=1e-6)
    w = torch.tensor([1.0, 1.0, 1.5])
    assert sequential_obs(w, fisher, num_kept=1).tolist() in (
        [True, False, False],
        [False, True, False],
    )
    keep = torch.tensor([True, False, True])
    after = w + joint_update(w, fisher, keep)
    torch.testing.assert_close(
        after, torch.tensor([2.0, 0.0, 1.5]).double(), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("function", [masked_loss, updated_loss, joint_update])
def test_refusals(function):
    fisher, w = Fisher(torch.ones(2, 3)), torch.ones(3)
    with pytest.raises(ValueError, match=r"'keep' must be bool of shape \[3\] \(got"):
        function(w, fisher, torch.ones(3))
    with pytest.raises(ValueError, match=r"'keep' .* \[2\]\)"):
        function(w, fisher, torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"of shape \[3\] \(got \[1\]\)"):
        function(torch.ones(1), fisher, torch.ones(3, dtype=torch.bool))
