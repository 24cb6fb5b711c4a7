"""Gradual thresholds: the schedule of the paper, final removal, and exact budgets."""

import copy

import pytest
import torch
from torch_geometric.nn import GAT, GCN

from gsparse.edges import budget
from gsparse.prune.learned.gradual_threshold import GradualThreshold, threshold
from gsparse.prune.schedule import to_steps

STEPS = {"start": 4, "ramp": 20, "end": 40}


def small(seed=73181):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GCN(30, 12, num_layers=3, out_channels=4)


def masks(pruner):
    return {name: pruner.masks[name].clone() for name in pruner.masks.targets}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


# The schedule.


@pytest.mark.parametrize("every", [1, 3, 7])
@pytest.mark.parametrize("ratio", [1.5, 2.0])
def test_bar_rises_by_the_two_slopes(every, ratio):
    start, ramp, end, q = 13, 60, 150, 0.37
    theta = 2 * q * every / (2 * (ramp - start) + 3 * (end - ramp))
    phi = ratio * theta
    bars = [threshold(i, q, start, ramp, end, every, ratio) for i in range(170)]
    for i in range(1, 170):
        rise = bars[i] - bars[i - 1]
        if i % every or i <= start or i >= end:
            assert rise == 0
        elif i < ramp and i - every > start:
            assert rise == pytest.approx(theta)
        elif i - every >= ramp:
            assert rise == pytest.approx(phi)
        elif i >= ramp:  # over the bend, no more than one extra iteration's worth
            assert 0 < rise <= phi + theta / every + 1e-12
            if every == 1:
                assert rise == pytest.approx(theta + phi)


@pytest.mark.parametrize("every", [1, 5])
def test_iteration_by_iteration_definition(every):
    start, ramp, end, q, ratio = 10, 40, 80, 1.3, 1.7
    theta = 2 * q * every / (2 * (ramp - start) + 3 * (end - ramp))
    expected = 0.0
    for i in range(100):
        if start < i < end and i % every == 0:
            expected = theta * (min(i, ramp) - start + 1) / every
            if i >= ramp:
                expected += ratio * theta * (i - ramp + 1) / every
        found = threshold(i, q, start, ramp, end, every, ratio)
        assert found == pytest.approx(expected)


def test_bar_ends_at_q_but_for_one_step():
    for n in (10, 100, 1000):
        found = threshold(10 * n, 0.2, n, 5 * n, 10 * n)
        assert found / 0.2 - 1 == pytest.approx(1 / (4 * n + 7.5 * n))


def test_double_slope_ends_above_q():
    limit = (0.2 + 2 * 0.25) / (0.2 + 1.5 * 0.25)  # 1.217 at the paper's start and end
    found = threshold(10000, 1.0, 500, 2500, 5000, 1, 2.0)
    assert found == pytest.approx(limit, rel=1e-3)


@pytest.mark.parametrize("every", [7, 100])
def test_rare_cuts_end_within_one_rise_of_q(every):
    last = threshold(10**6, 1.0, 1000, 5000, 10000, every)
    assert abs(last - 1) <= 3 * every / (2 * 4000 + 3 * 5000) + 1e-3


def test_fractions_become_steps():
    assert to_steps("end", 0.25, 200) == 50
    assert to_steps("end", 7, None) == 7
    assert to_steps("start", 0.0, 10) == 0


# The pruner.


def test_masks_change_only_on_time_and_only_lose_weights():
    model = small()
    pruner = GradualThreshold(model, sparsity=0.8, every=6, **STEPS)
    before = masks(pruner)
    assert pruner.report().sparsity == 0
    for i in range(1, 60):
        with torch.no_grad():  # a weight that is gone may grow: it stays gone
            for weight in pruner.masks.parameters().values():
                weight.mul_(1 + 0.3 * torch.rand_like(weight))
                weight[~pruner.masks[_name(pruner, weight)]] = 9.0
        pruner.step()
        now = masks(pruner)
        for name in now:
            assert not (now[name] & ~before[name]).any()
        if i % 6 or i <= 4 or i >= 40:
            assert same(now, before)
        before = now
        assert pruner.done == (i >= 36)
    wanted = budget(pruner.report().num_weights, 0.8)
    assert pruner.report().num_kept == wanted


def _name(pruner, weight):
    return next(n for n, w in pruner.masks.parameters().items() if w is weight)


def test_percentile_keeps_what_is_above_the_bar():
    model = small()
    pruner = GradualThreshold(model, percentile=70, **STEPS)
    for i in range(1, 45):
        pruner.step()
        bars = pruner.thresholds(min(i, 39))
        for name, weight in pruner.masks.parameters().items():
            bar = bars[pruner.masks.targets[name].layer]
            assert torch.equal(pruner.masks[name], weight.abs() >= bar)
    assert pruner.report().sparsity == pytest.approx(0.7, abs=0.06)


def test_q_is_the_percentile_of_each_group():
    model = small()
    pruner = GradualThreshold(model, percentile=90, **STEPS)
    pruner.step()
    pruner.thresholds()
    for name, weight in pruner.masks.parameters().items():
        q = pruner._q[pruner.masks.targets[name].layer]
        below = (weight.abs() < q).float().mean().item()
        assert below == pytest.approx(0.9, abs=1 / weight.numel())


def test_reference_gives_q():
    model, trained = small(), small(44021)
    pruner = GradualThreshold(model, percentile=90, reference=trained, **STEPS)
    own = GradualThreshold(copy.deepcopy(trained), percentile=90, **STEPS)
    assert pruner.thresholds(39) == own.thresholds(39)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.93, 0.98])
def test_budget_is_exact_whatever_the_weights_become(sparsity):
    for factor in (0.01, 1.0, 50.0):
        model = small()
        pruner = GradualThreshold(model, sparsity=sparsity, **STEPS)
        total = pruner.report().num_weights
        pruner.thresholds()
        for _ in range(50):
            with torch.no_grad():
                for weight in pruner.masks.parameters().values():
                    weight.mul_(factor ** (1 / 50))
            pruner.step()
            assert pruner.report().num_kept >= budget(total, sparsity)
        assert pruner.done
        assert pruner.report().num_kept == budget(total, sparsity)
        for layer in pruner.report().layers:
            assert abs(layer.num_kept - (1 - sparsity) * layer.num_weights) < 1


def test_finalize_makes_the_last_cut_once():
    pruner = GradualThreshold(small(), sparsity=0.9, num_steps=400)
    pruner.finalize()
    found = masks(pruner)
    total = pruner.report().num_weights
    assert pruner.done
    assert pruner.report().num_kept == budget(total, 0.9)
    for weight in pruner.masks.parameters().values():
        torch.nn.init.ones_(weight)
    pruner.finalize()
    pruner.step()
    assert same(masks(pruner), found)


def test_groups_share_a_threshold():
    model = GAT(20, 4, num_layers=2, out_channels=3, heads=2)
    attention = r"\.att_"
    pruner = GradualThreshold(
        model,
        percentile=60,
        targets=[attention, r"lin.*weight"],
        groups={"attention": attention, "head": r"convs\.1"},
        **STEPS,
    )
    names = list(pruner.masks.targets)
    assert pruner.groups["attention"] == [n for n in names if "att_" in n]
    assert pruner.groups["head"] == [n for n in names if n.startswith("convs.1.lin")]
    assert sorted(n for group in pruner.groups.values() for n in group) == sorted(names)
    assert set(pruner.groups) == {"attention", "head", "convs.0"}
    pruner.finalize()
    weights = pruner.masks.parameters()
    bar = pruner.thresholds(39)["attention"]
    for name in pruner.groups["attention"]:
        assert torch.equal(pruner.masks[name], weights[name].abs() >= bar)


def test_gone_weights_read_zero_under_momentum():
    model = small()
    pruner = GradualThreshold(model, sparsity=0.8, **STEPS)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    edge_index = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    x = torch.randn(4, 30, generator=torch.Generator().manual_seed(61507))
    for _ in range(45):
        optimizer.zero_grad()
        model(x, edge_index).square().sum().backward()
        optimizer.step()
        pruner.step()
        for name, target in pruner.masks.targets.items():
            assert not target.owner.weight[~pruner.masks[name]].any()


def test_resumes_where_it_stopped():
    def train(pruner, count):
        for i in range(count):
            with torch.no_grad():
                for weight in pruner.masks.parameters().values():
                    weight.mul_(1 + 0.1 * torch.sin(torch.arange(12.0)[:, None] + i))
            pruner.step()

    whole = GradualThreshold(small(), sparsity=0.9, **STEPS)
    train(whole, 20)
    part_model, state = copy.deepcopy(whole.model), whole.state_dict()
    train(whole, 25)

    again = GradualThreshold(small(99102), sparsity=0.9, **STEPS)
    again.model.load_state_dict(part_model.state_dict())
    again.load_state_dict(state)
    train(again, 25)
    assert same(masks(whole), masks(again))
    assert again.done


# Refusals.


@pytest.mark.parametrize("percentile", [0, 100, -3, 250])
def test_percentile_out_of_range_is_refused(percentile):
    with pytest.raises(ValueError, match=r"'percentile' must be in \(0, 100\)"):
        GradualThreshold(small(), percentile=percentile, **STEPS)


def test_both_or_none_of_the_two_knobs_are_refused():
    with pytest.raises(ValueError, match="exactly one of 'sparsity' and 'percentile'"):
        GradualThreshold(small(), sparsity=0.5, percentile=90, **STEPS)
    with pytest.raises(ValueError, match="exactly one of 'sparsity' and 'percentile'"):
        GradualThreshold(small(), **STEPS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"end": 2}, "0 <= start <= ramp <= end"),
        ({"ramp": 60}, "0 <= start <= ramp <= end"),
        ({"start": -1}, "0 <= start <= ramp <= end"),
        ({"start": 40, "ramp": 40}, "start < end"),
        ({"end": 0.5}, "'num_steps' must be given"),
        ({"end": 1.5}, r"'end' must be a fraction in \[0, 1\]"),
        ({"every": 0}, "'every' must be at least 1"),
        ({"every": 50}, "'every' must have a multiple"),
        ({"ratio": 0.0}, "'ratio' must be positive"),
        ({"groups": {"none": r"bias$"}}, "must give each group a pruned parameter"),
        ({"reference": GCN(8, 12, 3, 4)}, "'reference' must have a parameter"),
    ],
)
def test_refusals_leave_the_model_as_it_was(wrong, message):
    model = small()
    with pytest.raises(ValueError, match=message):
        GradualThreshold(model, sparsity=0.5, **STEPS | wrong)
    GradualThreshold(model, sparsity=0.5, **STEPS)  # no mask is left behind
