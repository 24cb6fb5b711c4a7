"""ProbMask: masks, schedules, constraint, and found weights."""

import copy
import io
import math

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCN, Linear

from gsparse.data import random_graph
from gsparse.edges import budget
from gsparse.prune.learned.prob_mask import ProbMask
from gsparse.prune.learned.prob_mask_settings import learning_rate, temperature
from gsparse.prune.learned.relaxed_bernoulli import (
    CLOSEST,
    RelaxedBernoulli,
    log_odds_of,
)
from gsparse.prune.schedule import LinearSchedule


def drawn(s, tau, seed):
    """Masks of these probabilities."""
    generator = torch.Generator().manual_seed(seed)
    log_odds, rate = log_odds_of(s.detach(), tau)
    return RelaxedBernoulli.apply(s, log_odds, rate, tau, generator)


def regression(seed, num_inputs=20, informative=(1, 4, 9, 12, 17)):
    """Targets that some inputs decide alone."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(200, num_inputs, generator=generator)
    return x, x[:, list(informative)].sum(1, keepdim=True)


def train(model, pruner, x, y, num_steps, lr=0.05, watch=lambda: None):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for _ in range(num_steps):
        optimizer.zero_grad()
        losses = [(model(x) - y).square().mean() for _ in range(pruner.num_samples)]
        (sum(losses) / len(losses)).backward()
        optimizer.step()
        pruner.step()
        watch()
    return optimizer


def network(seed, wide=8):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(Linear(wide, 6), nn.ReLU(), Linear(6, 6), nn.Linear(6, 1))


# The masks


def test_noise_is_logistic():
    n, tau = 400_000, 0.7
    m = drawn(torch.full((n,), 0.3, dtype=torch.float64), tau, seed=50021)
    noise = torch.logit(m) * tau - math.log(0.3 / 0.7)
    assert abs(noise.mean()) < 5 * math.pi / math.sqrt(3 * n)
    # the fourth central moment is 21/5 of the squared variance
    assert noise.var() == pytest.approx(
        math.pi**2 / 3, abs=5 * math.pi**2 / 3 * (3.2 / n) ** 0.5
    )
    for at in (-3.0, -0.5, 1.0, 4.0):
        p = 1 / (1 + math.exp(-at))
        found = (noise < at).double().mean()
        assert found == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / n))


@pytest.mark.parametrize("tau", [1.0, 0.3, 0.03])
@pytest.mark.parametrize("p", [0.02, 0.5, 0.9])
def test_hard_masks_have_mean_s_at_every_temperature(p, tau):
    n = 200_000
    m = drawn(torch.full((n,), p), tau, seed=61297)
    sigma = math.sqrt(p * (1 - p) / n)
    assert (m > 0.5).float().mean() == pytest.approx(p, abs=5 * sigma)


def test_cold_masks_are_hard():
    s = torch.rand(10_000, generator=torch.Generator().manual_seed(70951))
    soft = [drawn(s, tau, seed=10093) for tau in (1.0, 0.1, 0.001)]
    between = [((m > 0.01) & (m < 0.99)).float().mean() for m in soft]
    assert between[0] > between[1] > between[2]
    assert between[2] < 0.01
    assert (soft[0] > 0.5).equal(soft[2] > 0.5)


@pytest.mark.parametrize("tau", [1.0, 0.2])
def test_gradient_of_a_mask(tau):
    s = torch.tensor([0.01, 0.2, 0.5, 0.9], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(drawn(s, tau, seed=21517).sum(), s)
    step = 1e-7
    with torch.no_grad():
        up, down = (drawn(s + d, tau, seed=21517) for d in (step, -step))
    torch.testing.assert_close(found, (up - down) / (2 * step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_gradient_where_a_probability_is_0_or_1(value):
    s = torch.full((20_000,), value, requires_grad=True)
    m = drawn(s, 1.0, seed=34511)
    m.sum().backward()
    assert (s.grad > 0).float().mean() > 0.999  # 0 where float32 rounds m to 1
    assert (m.mean() - value).abs() < 10 * CLOSEST


def test_a_weight_that_is_out_comes_back():
    model = nn.Linear(4, 1, bias=False)
    nn.init.ones_(model.weight)
    pruner = ProbMask(model, sparsity=0.75, num_steps=400, seed=72053)
    with torch.no_grad():
        pruner.s.copy_(torch.tensor([1.0, 0, 0, 0]))
    x = torch.eye(4)
    train(model, pruner, x, x[:, 2:3], num_steps=400)
    assert pruner.masks["weight"].tolist() == [[False, False, True, False]]


# The schedules


def test_temperature_and_learning_rate():
    assert temperature(0, 80) == 1
    assert temperature(40, 80) == pytest.approx(0.515)
    assert temperature(80, 80) == temperature(90, 80) == pytest.approx(0.03)
    rates = [learning_rate(step, 80, 0.2) for step in (0, 40, 80, 90)]
    assert rates == pytest.approx([0.2, 0.1, 0, 0])


def test_budget_falls_and_the_sum_and_the_masks_obey_it():
    model = network(seed=40151)
    pruner = ProbMask(model, sparsity=0.9, num_steps=50, seed=81203)
    n = pruner.report().num_weights
    sums, kept, reached, done = [], [], [], []

    def watch():
        sums.append(float(pruner.s.detach().sum()))
        kept.append(pruner.report().num_kept)
        reached.append(pruner.reached)
        done.append(pruner.done)
        assert pruner.s.detach().min() >= 0
        assert pruner.s.detach().max() <= 1

    x, y = regression(seed=55001, num_inputs=8, informative=(0, 3))
    train(model, pruner, x, y, num_steps=50, watch=watch)
    first, last = 8, 30  # 16 % and 60 % of the steps
    for step in range(1, 51):
        t = min(max((step - first) / (last - first), 0), 1)
        wanted = 0.9 - 0.9 * (1 - t) ** 3
        assert reached[step - 1] == pytest.approx(wanted)
        assert sums[step - 1] <= n * (1 - wanted) + 1e-9 or done[step - 1]
        assert kept[step - 1] == budget(n, reached[step - 1])
        assert done[step - 1] == (step >= last)
    assert max(sums[last:]) <= budget(n, 0.9)


def test_another_schedule():
    model = network(seed=40151)
    ramp = LinearSchedule(start=0, end=4)
    pruner = ProbMask(model, sparsity=0.8, num_steps=10, schedule=ramp)
    found = []
    for _ in range(5):
        pruner.step()
        found.append(pruner.reached)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8])


# What it finds


@pytest.mark.parametrize("supermask", [False, True])
@pytest.mark.parametrize("seed", [22189, 65027, 93187])
def test_finds_the_informative_inputs(seed, supermask):
    x, y = regression(seed)
    model = nn.Linear(20, 1, bias=False)
    nn.init.constant_(model.weight, 0.5)
    pruner = ProbMask(
        model, sparsity=0.75, num_steps=300, supermask=supermask, seed=seed + 1
    )
    train(model, pruner, x, y, num_steps=300)
    largest = pruner.probabilities()["weight"][0].topk(5).indices
    assert sorted(largest.tolist()) == [1, 4, 9, 12, 17]
    pruner.finalize()
    assert pruner.masks["weight"][0].nonzero().view(-1).tolist() == [1, 4, 9, 12, 17]


def test_layers_keep_what_they_need():
    """Two layers side by side; the target needs all of one and little of the other."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.needed = nn.Linear(10, 1, bias=False)
            self.spare = nn.Linear(10, 1, bias=False)

        def forward(self, x):
            return self.needed(x[:, :10]) + self.spare(x[:, 10:])

    x, y = regression(30911, 20, informative=(*range(9), 15))
    model = Sum()
    pruner = ProbMask(model, sparsity=0.5, num_steps=300, seed=47701, targets=nn.Linear)
    train(model, pruner, x, y, num_steps=300)
    kept = {layer.name: layer.num_kept for layer in pruner.report().layers}
    assert kept == {"needed.weight": 9, "spare.weight": 1}


def test_supermask_leaves_weights_as_they_are():
    model = network(seed=20173)
    model[0].weight.requires_grad_(False)
    pruner = ProbMask(model, sparsity=0.5, num_steps=20, supermask=True, seed=61121)
    before = {n: w.clone() for n, w in pruner.masks.parameters().items()}
    x, y = regression(seed=55001, num_inputs=8, informative=(0, 3))
    train(model, pruner, x, y, num_steps=20)
    for name, weight in pruner.masks.parameters().items():
        assert weight.equal(before[name])
        assert not weight.requires_grad
    pruner.finalize()
    wanted = {name: p.requires_grad for name, p in model.named_parameters()}
    assert wanted.pop("0.weight") is False
    assert all(wanted.values())


# How it ends


def test_evaluation_reads_the_hard_masks():
    model, x = network(seed=20173), torch.ones(3, 8)
    pruner = ProbMask(model, sparsity=0.5, num_steps=10, seed=10711)
    for _ in range(8):
        model(x).sum().backward()
        pruner.step()
    soft = [model.train()(x) for _ in range(2)]
    assert not soft[0].equal(soft[1])
    hard = model.eval()(x)
    assert model(x).equal(hard)
    pruner.make_permanent()
    assert model(x).equal(hard)
    assert model.train()(x).equal(hard)
    assert type(model[0]) is Linear


def test_ends_exactly_at_the_budget_whatever_was_reached():
    model = network(seed=20173)
    pruner = ProbMask(model, sparsity=0.7, num_steps=100)
    pruner.step()
    assert not pruner.done
    pruner.finalize()
    report = pruner.report()
    assert report.num_kept == budget(report.num_weights, 0.7)
    assert pruner.done
    assert not model._forward_pre_hooks
    before = pruner.masks["0.weight"].clone()
    pruner.step()
    pruner.finalize()
    assert pruner.masks["0.weight"].equal(before)


def test_weights_that_nothing_is_known_of_go_by_size():
    model = network(seed=20173)
    pruner = ProbMask(model, sparsity=0.5, num_steps=10)
    weights = {n: w.detach().abs() for n, w in pruner.masks.parameters().items()}
    pruner.finalize()
    kept = torch.cat([weights[n][pruner.masks[n]] for n in weights])
    gone = torch.cat([weights[n][~pruner.masks[n]] for n in weights])
    assert kept.min() >= gone.max()


def test_masks_of_the_best_epoch_stay():
    model = network(seed=20173)
    pruner = ProbMask(model, sparsity=0.5, num_steps=20, seed=33107)
    x, y = regression(seed=55001, num_inputs=8, informative=(0, 3))
    train(model, pruner, x, y, num_steps=20)
    best = copy.deepcopy(model.state_dict())
    key = "0.weight_masks.weight.keep"
    best[key] = ~best[key]  # as of an epoch with other masks
    model.load_state_dict(best)
    pruner.finalize()
    assert pruner.masks["0.weight"].equal(best[key])


def test_sample_ends_with_the_draw_of_lowest_loss():
    model = network(seed=20173)
    x, y = regression(seed=55001, num_inputs=8, informative=(0, 3))
    seen = []

    def loss():
        assert not model.training
        found = (model(x) - y).square().mean()
        keep = {name: pruner.masks[name].clone() for name in pruner.masks.targets}
        seen.append((float(found), keep))
        return found

    pruner = ProbMask(
        model,
        sparsity=0.5,
        num_steps=12,
        loss=loss,
        finalize="sample",
        num_draws=7,
        seed=12917,
    )
    train(model, pruner, x, y, num_steps=12)
    pruner.finalize()
    assert model.training
    assert len(seen) == 7
    _, best = min(seen, key=lambda it: it[0])
    for name, keep in best.items():
        assert pruner.masks[name].equal(keep)


def test_mean_size_of_a_sample_is_the_sum():
    model = nn.Linear(50_000, 1, bias=False)
    pruner = ProbMask(
        model,
        sparsity=0.9,
        num_steps=10,
        loss=lambda: torch.zeros(()),
        finalize="sample",
        num_draws=1,
        seed=81,
    )
    with torch.no_grad():
        pruner.s.copy_(torch.linspace(0, 0.2, 50_000))
    pruner.num_steps = 10
    s = pruner.s.detach()
    variance = float((s * (1 - s)).sum())
    pruner.finalize()
    assert pruner.report().num_kept == pytest.approx(5000, abs=5 * variance**0.5)


def test_undo_gives_the_dense_model_back():
    model, x = network(seed=20173), torch.ones(3, 8)
    before = model.eval()(x)
    pruner = ProbMask(model, sparsity=0.8, num_steps=10, supermask=True)
    assert not any(p.requires_grad for p in pruner.masks.parameters().values())
    pruner.step()
    pruner.undo()
    assert model.train()(x).equal(before)
    assert not model._forward_pre_hooks
    assert all(p.requires_grad for p in model.parameters())
    pruner.undo()


# Copies and files


def test_a_killed_run_goes_on_exactly():
    x, y = regression(seed=55001, num_inputs=8, informative=(0, 3))

    def start():
        model = network(seed=77813)
        pruner = ProbMask(model, sparsity=0.6, num_steps=30, seed=90107)
        return model, pruner, torch.optim.Adam(model.parameters(), lr=0.05)

    def go(model, pruner, optimizer, num_steps):
        for _ in range(num_steps):
            optimizer.zero_grad()
            sum((model(x) - y).square().mean() for _ in range(2)).backward()
            optimizer.step()
            pruner.step()

    whole = start()
    go(*whole, 30)
    first = start()
    go(*first, 13)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in first], file)
    file.seek(0)
    second = start()
    go(*second, 2)
    for part, state in zip(second, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    go(*second, 17)
    assert second[1].s.equal(whole[1].s)
    for key, value in whole[0].state_dict().items():
        assert value.equal(second[0].state_dict()[key]), key


def test_state_after_the_end():
    one, other = network(seed=77813), network(seed=77813)
    ended = ProbMask(one, sparsity=0.6, num_steps=30)
    going = ProbMask(other, sparsity=0.6, num_steps=30)
    before = going.state_dict()
    ended.finalize()
    other.load_state_dict(one.state_dict())
    going.load_state_dict(ended.state_dict())
    assert going.done
    assert not other._forward_pre_hooks
    assert going.masks["0.weight"].equal(ended.masks["0.weight"])
    going.load_state_dict(before)
    assert not going.done
    assert len(other._forward_pre_hooks) == 1


def test_a_copy_of_the_model_leaves_the_pruner_alone():
    model, x = network(seed=20173), torch.ones(3, 8)
    pruner = ProbMask(model, sparsity=0.5, num_steps=10, seed=43117)
    for _ in range(6):
        model(x).sum().backward()
        pruner.step()
    model(x)  # in the middle of a step
    soft = pruner.masks.module("0.weight").soft
    noise = pruner.generator.get_state()
    twin = copy.deepcopy(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (twin, torch.load(file, weights_only=False)):
        hard = other.eval()(x)
        assert other.train()(x).equal(hard)
        other(x).sum().backward()
        assert pruner.masks.module("0.weight").soft is soft
        assert pruner.generator.get_state().equal(noise)
        assert pruner.s.grad is None
    assert model.eval()(x).equal(twin(x))


def test_a_copy_of_the_pruner_has_a_model_of_its_own():
    model, x = network(seed=20173), torch.ones(3, 8)
    pruner = ProbMask(model, sparsity=0.5, num_steps=10, seed=43117)
    model(x).sum().backward()
    pruner.step()
    other = copy.deepcopy(pruner)
    noise = pruner.generator.get_state()
    assert other.model is not model
    other.model(x).sum().backward()
    assert pruner.generator.get_state().equal(noise)
    assert pruner.s.grad is None
    assert other.s.grad.abs().sum() > 0
    other.step()
    model(x).sum().backward()
    pruner.step()
    assert other.s.equal(pruner.s)


def test_the_same_seed_draws_the_same_and_torch_is_left_alone():
    x, found = torch.ones(3, 8), []
    state = torch.get_rng_state()
    for seed in (51007, 51007, 51008):
        model = network(seed=20173)
        ProbMask(model, sparsity=0.5, num_steps=10, seed=seed)
        found.append(model(x))
    assert found[0].equal(found[1])
    assert not found[0].equal(found[2])
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype):
    model, x = network(seed=20173).to(dtype), torch.ones(3, 8, dtype=dtype)
    pruner = ProbMask(model, sparsity=0.5, num_steps=10)
    out = model(x)
    assert out.dtype == dtype
    out.sum().backward()
    pruner.step()
    assert model.eval()(x).dtype == dtype


def test_layers_of_a_gnn():
    data = random_graph(num_nodes=30, p=0.2, seed=60317)
    data.x = torch.randn(30, 8, generator=torch.Generator().manual_seed(20717))
    model = GCN(8, 16, num_layers=3, out_channels=3)
    pruner = ProbMask(model, sparsity=0.9, num_steps=20)
    for _ in range(20):
        model(data.x, data.edge_index).square().mean().backward()
        pruner.step()
    pruner.finalize()
    assert list(pruner.probabilities()) == ["convs.0.lin.weight", "convs.1.lin.weight"]
    assert pruner.report().num_kept == budget(8 * 16 + 16 * 16, 0.9)


# Refusals


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"num_steps": 1}, ValueError, r"'num_steps' must be at least 2 \(got 1\)"),
        ({"num_steps": 3.0}, TypeError, r"'num_steps' must be an int \(got 3.0\)"),
        ({"num_steps": True}, TypeError, r"'num_steps' must be an int \(got True\)"),
        ({"num_draws": 0}, ValueError, r"'num_draws' must be at least 1 \(got 0\)"),
        ({"lr": 0.0}, ValueError, r"'lr' must be positive and finite \(got 0.0\)"),
        ({"lr": math.nan}, ValueError, r"'lr' must be positive and finite \(got nan"),
        ({"finalize": "last"}, ValueError, r"'finalize' must be one of 'topk', 'samp"),
        ({"finalize": "sample"}, ValueError, r"'loss' must be given for finalize='sa"),
        ({"loss": 3}, TypeError, r"'loss' must be a function without arguments \(got"),
        ({"sparsity": 1.0}, ValueError, r"'sparsity' must be in \[0, 1\)"),
        (
            {"schedule": LinearSchedule(0, 30)},
            ValueError,
            r"'schedule' must end within num_steps=20 \(got end 30\)",
        ),
        ({"targets": "nothing"}, ValueError, r"'targets' and 'exclude' must leave"),
    ],
)
def test_refuses(options, error, match):
    model = network(seed=20173)
    with pytest.raises(error, match=match):
        ProbMask(model, **({"sparsity": 0.5, "num_steps": 20} | options))
    assert type(model[0]) is Linear
    assert not model._forward_pre_hooks


def test_refuses_a_gradient_that_is_not_finite():
    model = network(seed=20173)
    pruner = ProbMask(model, sparsity=0.5, num_steps=10)
    (model(torch.ones(3, 8)).sum() * math.inf).backward()
    with pytest.raises(ValueError, match=r"must be finite \(got \d+ in '0.weight', "):
        pruner.step()


def test_refuses_the_state_of_another_model():
    pruner = ProbMask(network(seed=20173), sparsity=0.5, num_steps=10)
    other = ProbMask(network(seed=20173, wide=9), sparsity=0.5, num_steps=10)
    with pytest.raises(ValueError, match=r"with 84 targeted weights \(got 90\)"):
        pruner.load_state_dict(other.state_dict())


def test_refuses_a_model_that_was_moved():
    model = network(seed=20173)
    ProbMask(model, sparsity=0.5, num_steps=10)
    model.to("meta")
    with pytest.raises(ValueError, match=r"'0.weight' must be on the device of its"):
        model(torch.ones(3, 8, device="meta"))


def test_three_steps_by_hand():
    """Adam with one second moment, that of all gradients, and a cosine rate.

    The budget has not begun to fall, and no probability comes near 0.
    """
    gradients = [[0.3, 0.1, 1.0, 2.0], [0.2, 0.5, 0.1, 1.0], [0.7, 0.2, 0.4, 0.3]]
    pruner = ProbMask(nn.Linear(4, 1, bias=False), sparsity=0.5, num_steps=100, lr=0.01)
    s, mean, square = [1.0] * 4, [0.0] * 4, 0.0
    for t, gradient in enumerate(gradients, 1):
        pruner.s.grad = pruner.s.new_tensor(gradient)
        pruner.step()
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, gradient, strict=True)]
        square = 0.999 * square + 0.001 * sum(g * g for g in gradient) / 4
        rate = 0.01 / 2 * (1 + math.cos(math.pi * (t - 1) / 100))
        size = (square / (1 - 0.999**t)) ** 0.5
        s = [p - rate * m / (1 - 0.9**t) / size for p, m in zip(s, mean, strict=True)]
        assert pruner.s.tolist() == pytest.approx(s, rel=1e-7)


def test_probabilities_move_in_proportion_to_their_gradients():
    """Unlike Adam's, under which a weight without a gradient would outlive others."""
    pruner = ProbMask(nn.Linear(4, 1, bias=False), sparsity=0.5, num_steps=100, lr=0.1)
    pruner.s.grad = torch.tensor([0.0, 0.1, 1.0, 2.0], dtype=torch.float64)
    pruner.step()
    moved = 1 - pruner.s.detach()
    rms = (pruner.s.new_tensor([0.0, 0.1, 1.0, 2.0]).square().mean()).sqrt()
    expected = pruner.s.new_tensor([0.0, 0.1, 1.0, 2.0]) * 0.1 / rms
    torch.testing.assert_close(moved, expected.detach(), atol=1e-7, rtol=1e-6)
