"""AutoPrune: the update rule, returning weights, and the exact budget."""

import copy
import io

import pytest
import torch
from torch.nn import Linear
from torch_geometric.nn import GAT, GCN

from gsparse.edges import budget
from gsparse.prune.learned.auto_prune import AutoPrune
from gsparse.prune.learned.switches import steered, straight_through, switch_gradient

EDGES = torch.tensor([[0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 0]])


def draw(*shape, seed=30277):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


X, TARGET = draw(6, 20), draw(6, 4, seed=81162)


def small(seed=73181):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GCN(20, 12, num_layers=3, out_channels=4)


def train(model, pruner, count, optimizer=None):
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(count):
        optimizer.zero_grad()
        (model(X, EDGES) - TARGET).square().mean().backward()
        optimizer.step()
        pruner.step()


def masks(pruner):
    return {name: pruner.masks[name].clone() for name in pruner.masks.targets}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# The rule.


def test_estimators_by_hand():
    m = torch.tensor([-2.0, 0.0, 0.5])
    assert straight_through(m, "linear").tolist() == [1, 1, 1]
    torch.testing.assert_close(straight_through(m, "leaky"), torch.tensor([0.1, 1, 1]))
    torch.testing.assert_close(straight_through(m, "softplus"), m.sigmoid())


@pytest.mark.parametrize("estimator", ["linear", "leaky", "softplus"])
def test_switch_goes_up_where_the_gain_beats_mu(estimator):
    gradient, weight, m = draw(9, 7), draw(9, 7, seed=55013), draw(9, 7, seed=10844)
    mu = 0.4
    move = -switch_gradient(gradient, weight, m, mu, estimator)
    assert torch.equal(move > 0, -gradient * weight.sign() > mu)


def test_small_weights_are_not_slow():
    gradient, m = draw(9, 7), torch.ones(9, 7)
    weight = draw(9, 7, seed=55013)
    big = switch_gradient(gradient, weight, m, 0.1, "softplus")
    assert torch.equal(
        big, switch_gradient(gradient, 1e-6 * weight, m, 0.1, "softplus")
    )


def test_row_gets_the_mean_of_its_weights():
    gradient, weight = draw(5, 7), draw(5, 7, seed=55013)
    found = switch_gradient(gradient, weight, torch.ones(5, 1), 0.3, "linear")
    each = switch_gradient(gradient, weight, torch.ones(5, 7), 0.3, "linear")
    torch.testing.assert_close(found, each.mean(1, keepdim=True))


@pytest.mark.parametrize("regrow", ["frozen", "straight-through"])
def test_one_step_by_hand(regrow):
    layer = Linear(4, 3, bias=False)
    pruner = AutoPrune(layer, penalty=0.2, lr=0.05, regrow=regrow, end=100)
    off = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 1]]) > 0
    start = torch.where(off, -0.25, 0.25)
    pruner.m["weight"].copy_(start)
    pruner._show()
    x, target = draw(6, 4), draw(6, 3, seed=81162)
    t = layer._parameters["weight"].detach().clone().masked_fill_(off, 0.0)
    assert torch.equal(layer.weight, t)
    (layer(x) - target).square().sum().backward()
    gradient = 2 * (x @ t.T - target).T @ x  # the definition of dL/dt
    raw = layer._parameters["weight"]
    seen = gradient if regrow == "straight-through" else gradient.masked_fill(off, 0)
    torch.testing.assert_close(raw.grad, seen)
    before = raw.detach().clone()
    pruner.step()
    scale = gradient.square().mean().sqrt()
    move = (gradient * before.sign() + 0.2) * start.sigmoid()
    expected = (start - 0.05 / scale * move).clamp(-1, 1)
    torch.testing.assert_close(pruner.m["weight"], expected)
    assert torch.equal(raw, before)  # bit by bit
    assert torch.equal(pruner.masks["weight"], pruner.m["weight"] > 0)


def test_three_steps_by_hand():
    """The scale is that of all gradients so far; the average forgets in 4 steps."""
    layer = Linear(4, 1, bias=False)
    weight = layer._parameters["weight"]
    with torch.no_grad():
        weight.copy_(torch.tensor([[0.5, -0.4, 0.3, -0.2]]))
    pruner = AutoPrune(layer, penalty=0.6, lr=0.8, end=100, average=4)
    m, often, squares = torch.ones(1, 4), torch.ones(1, 4), []
    for size in (1.0, 5.0, 0.2):
        gradient = torch.tensor([[1.0, -0.3, 0.1, 0.7]]) * size
        layer.weight.backward(gradient)
        pruner.step()
        squares.append(float(gradient.square().mean()))
        scale = (sum(squares) / len(squares)) ** 0.5
        m = m - 0.8 / scale * (gradient * weight.sign() + 0.6) * m.sigmoid()
        m = m.clamp(-1, 1).detach()
        often = 0.75 * often + 0.25 * (m > 0)
        torch.testing.assert_close(pruner.m["weight"], m)
        torch.testing.assert_close(pruner.occupancy["weight"], often)
    assert 0 < int((m > 0).sum()) < 4


def test_gradients_of_several_passes_add_up():
    def stepped(passes):
        layer = Linear(20, 4, bias=False)
        torch.nn.init.constant_(layer._parameters["weight"], 0.3)
        pruner = AutoPrune(layer, penalty=0.1, end=100)
        for rows in passes:
            (layer(X[rows]) - TARGET[rows]).square().sum().backward()
        pruner.step()
        return pruner.m["weight"]

    torch.testing.assert_close(
        stepped([slice(0, 2), slice(2, 6)]), stepped([slice(0, 6)])
    )


def test_scale_of_the_loss_does_not_matter():
    found = []
    for factor in (1.0, 1e4):
        model = small()
        pruner = AutoPrune(model, sparsity=0.8, end=100)
        for _ in range(15):
            (factor * (model(X, EDGES) - TARGET).square().mean()).backward()
            pruner.step()
        found.append(torch.cat([m.flatten() for m in pruner.m.values()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-3, atol=1e-4)


def test_no_gradient_and_no_penalty_move_nothing():
    pruner = AutoPrune(small(), penalty=0.0, end=100)
    before = copy.deepcopy(pruner.m)
    for _ in range(5):
        pruner.step()
    assert same(before, pruner.m)


def test_at_rest_under_weight_decay_the_gain_is_the_magnitude():
    x, y, decay = draw(50, 8).double(), draw(50, 1, seed=81162).double(), 0.7
    rest = torch.linalg.solve(2 * x.T @ x + decay * torch.eye(8).double(), 2 * x.T @ y)
    gradient = (2 * x.T @ (x @ rest - y)).T
    gain = -switch_gradient(gradient, rest.T, torch.ones(1, 8).double(), 0.0, "linear")
    torch.testing.assert_close(gain, decay * rest.T.abs())


# Recovery: linear regression, of which 5 of 20 inputs matter.


def regression():
    x = draw(200, 20)
    truth = torch.zeros(1, 20)
    truth[0, :5] = torch.tensor([2.0, -1.5, 1.0, -2.5, 1.2])
    return x, x @ truth.T + 0.1 * draw(200, 1, seed=81162), truth != 0


def solve(x, y):
    layer = Linear(20, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.linalg.lstsq(x, y).solution.T)
    return layer


def occupancy(layer, x, y, first=1.0, steps=600, **options):
    """How often each switch is on in the second half."""
    pruner = AutoPrune(layer, end=10**6, lr=0.02, **options)
    pruner.m["weight"].fill_(first)
    pruner._show()
    optimizer, on = torch.optim.SGD(layer.parameters(), lr=0.02), 0
    for i in range(steps):
        optimizer.zero_grad()
        (layer(x) - y).square().mean().backward()
        optimizer.step()
        pruner.step()
        on = on + (pruner.masks["weight"] & (i >= steps // 2))
    return on / (steps - steps // 2), pruner


@pytest.mark.parametrize("estimator", ["linear", "leaky", "softplus"])
@pytest.mark.parametrize("first", [1.0, -0.1])
def test_relevant_weights_are_on_and_others_off(estimator, first):
    x, y, relevant = regression()
    found, pruner = occupancy(
        solve(x, y), x, y, first, penalty=0.1, estimator=estimator
    )
    assert found[relevant].min() > found[~relevant].max()
    if estimator == "leaky":  # slow to come back: its order is right, its level is not
        return
    assert (found[relevant] > 0.8).all()
    assert (found[~relevant] < 0.05).all()
    pruner.finalize()
    assert torch.equal(pruner.masks["weight"], relevant)
    assert pruner.sparsity == 0.75


def test_larger_penalty_leaves_no_more():
    x, y, _ = regression()
    kept = []
    for penalty in (0.0, 0.001, 0.1, 2.2, 20.0):
        pruner = occupancy(solve(x, y), x, y, penalty=penalty)[1]
        pruner.finalize()
        kept.append(pruner.report().num_kept)
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] < kept[2] < kept[0]


@pytest.mark.parametrize("regrow", ["frozen", "straight-through"])
def test_wrong_sign_comes_back_only_straight_through(regrow):
    x, y, relevant = regression()
    layer = solve(x, y)
    with torch.no_grad():
        layer.weight[0, 0].neg_()
    found, _ = occupancy(layer, x, y, -0.1, penalty=0.1, regrow=regrow)
    assert (found[relevant][1:] > 0.3).all()
    if regrow == "straight-through":
        assert found[0, 0] > 0.3
        assert layer._parameters["weight"][0, 0] > 0  # its sign has turned
    else:
        assert found[0, 0] == 0


def test_pruned_weight_keeps_its_value():
    model = small()
    pruner = AutoPrune(model, sparsity=0.9, end=1000)
    weights = pruner.masks.parameters()
    for m in pruner.m.values():
        m.fill_(-1.0)
    pruner._show()
    before = {name: w.detach().clone() for name, w in weights.items()}
    train(model, pruner, 3)
    assert same(before, {name: w.detach() for name, w in weights.items()})


# The budget.


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.95])
def test_steering_nears_the_sparsity(sparsity):
    x, layer = draw(600, 200), Linear(200, 1, bias=False)
    truth = draw(1, 200, seed=46710) / (1 + torch.arange(200)) ** 0.5
    y = x @ truth.T + draw(600, 1, seed=81162)
    with torch.no_grad():
        layer.weight.copy_(torch.linalg.lstsq(x, y).solution.T)
    pruner, active = AutoPrune(layer, sparsity=sparsity, num_steps=400), []
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.02)
    for _ in range(199):
        optimizer.zero_grad()
        (layer(x) - y).square().mean().backward()
        optimizer.step()
        pruner.step()
        active.append(pruner.active)
    # The ramp has hardly begun. Gradients at the optimum are rounding errors, which
    # differ between threads and may switch a single weight of the 200 off for a step.
    assert active[20] >= 0.99
    assert sum(active[-80:]) / 80 == pytest.approx(1 - sparsity, rel=0.6, abs=0.05)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9, 0.98])
def test_the_end_meets_the_sparsity(sparsity):
    model = small()
    pruner = AutoPrune(model, sparsity=sparsity, num_steps=80)
    train(model, pruner, 39)
    assert not pruner.done
    assert pruner.report().sparsity == pytest.approx(1 - pruner.active)
    train(model, pruner, 1)
    assert pruner.done
    total = pruner.report().num_weights
    assert pruner.report().num_kept == budget(total, sparsity)
    final = masks(pruner)
    train(model, pruner, 3)
    assert same(final, masks(pruner))


def test_steering_turns_the_right_way():
    mean, now = steered(1.0, active=0.4, wanted=0.1)
    assert now > mean > 1
    mean, now = steered(1.0, active=0.05, wanted=0.1)
    assert now < mean < 1


def test_a_larger_mean_of_mu_is_the_ratio_to_a_small_power():
    ratio = 0.4 / 0.1
    mean, now = steered(0.7, active=0.4, wanted=0.1)
    assert mean == pytest.approx(0.7 * ratio**0.05)
    assert now == pytest.approx(0.7 * ratio**0.05 * ratio**2)


def test_the_wanted_share_falls_geometrically_in_the_first_half(monkeypatch):
    asked = []

    def watched(mu, active, wanted):
        asked.append(wanted)
        return steered(mu, active, wanted)

    monkeypatch.setattr("gsparse.prune.learned.auto_prune.steered", watched)
    model = small()
    train(model, AutoPrune(model, sparsity=0.9, end=20), 19)
    assert asked == pytest.approx([0.1 ** min(k / 10, 1) for k in range(1, 20)])


def test_with_a_penalty_what_is_active_more_than_half_of_the_time_stays():
    layer = Linear(4, 1, bias=False)
    pruner = AutoPrune(layer, penalty=0.1, end=50)
    pruner.occupancy["weight"].copy_(torch.tensor([[0.2, 0.51, 0.49, 0.9]]))
    pruner.finalize()
    assert pruner.masks["weight"].tolist() == [[False, True, False, True]]


def test_among_rows_of_equal_occupancy_those_of_largest_mean_size_stay():
    """Rows of 20 and of 12 weights: sums would prefer the longer ones."""
    model = small()
    pruner = AutoPrune(model, sparsity=0.5, end=50, unit="row")
    pruner.finalize()
    size = [w.abs().mean(1) for w in pruner.masks.parameters().values()]
    size, keep = torch.cat(size), torch.cat([m.any(1) for m in masks(pruner).values()])
    assert size[keep].min() > size[~keep].max()


def test_without_a_step_it_is_magnitude():
    model = small()
    pruner = AutoPrune(model, sparsity=0.7, end=50)
    pruner.finalize()
    weights = pruner.masks.parameters()
    size = torch.cat([w.abs().flatten() for w in weights.values()])
    keep = torch.cat([m.flatten() for m in masks(pruner).values()])
    assert size[keep].min() > size[~keep].max()


def test_occupancy_goes_before_magnitude():
    model = small()
    pruner = AutoPrune(model, sparsity=0.7, end=50)
    for name, often in pruner.occupancy.items():
        often.copy_(draw(*often.shape, seed=len(name)).abs())
    pruner.finalize()
    often = torch.cat([o.flatten() for o in pruner.occupancy.values()])
    keep = torch.cat([m.flatten() for m in masks(pruner).values()])
    assert often[keep].min() > often[~keep].max()


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.75])
def test_rows_are_whole_and_the_budget_is_met_to_a_row(sparsity):
    model = small()
    pruner = AutoPrune(model, sparsity=sparsity, end=40, unit="row")
    train(model, pruner, 40)
    for mask in masks(pruner).values():
        assert torch.equal(mask.any(1), mask.all(1))
    total = pruner.report().num_weights
    assert abs(pruner.report().num_kept - budget(total, sparsity)) <= 20 / 2


# Copies and files.


def test_copy_in_the_middle_reads_the_masks_of_then():
    model = small()
    pruner = AutoPrune(model, sparsity=0.9, end=60)
    train(model, pruner, 30)
    twin = copy.deepcopy(model)
    assert 0 < pruner.report().sparsity < 1
    out = model(X, EDGES).detach().clone()
    assert torch.equal(twin(X, EDGES), out)
    train(model, pruner, 30)
    assert torch.equal(twin(X, EDGES), out)
    twin(X, EDGES).sum().backward()


@pytest.mark.parametrize("stop", [1, 25, 47])
def test_a_killed_run_goes_on(stop):
    def adam(model):
        return torch.optim.Adam(model.parameters(), lr=0.01)

    model = small()
    pruner, optimizer = AutoPrune(model, sparsity=0.9, end=45), adam(model)
    train(model, pruner, stop, optimizer)
    file = io.BytesIO()
    torch.save([it.state_dict() for it in (model, optimizer, pruner)], file)
    train(model, pruner, 10, optimizer)

    other = small(99102)
    again, second = AutoPrune(other, sparsity=0.9, end=45), adam(other)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    for it, state in zip((other, second, again), states, strict=True):
        it.load_state_dict(state)
    train(other, again, 10, second)
    assert same(pruner.m, again.m)
    assert same(masks(pruner), masks(again))
    assert again.done == pruner.done
    assert torch.equal(other(X, EDGES), model(X, EDGES))


def test_state_is_a_copy():
    model = small()
    pruner = AutoPrune(model, sparsity=0.9, end=45)
    state = pruner.state_dict()
    before = copy.deepcopy(state["m"])
    train(model, pruner, 5)
    assert same(before, state["m"])


def test_frozen_weights_are_chosen_too():
    model = small().requires_grad_(False)
    pruner = AutoPrune(model, sparsity=0.5, end=30)
    before = copy.deepcopy(pruner.m)
    (model(X, EDGES) - TARGET).square().mean().backward()
    pruner.step()
    assert not same(before, pruner.m)


def test_undo_and_permanent_leave_plain_layers():
    model = small()
    out = model(X, EDGES)
    AutoPrune(model, sparsity=0.9, end=45).undo()
    assert torch.equal(model(X, EDGES), out)
    pruner = AutoPrune(model, sparsity=0.9, end=20)
    train(model, pruner, 20)
    out = model(X, EDGES)
    pruner.make_permanent()
    fresh = small()
    fresh.load_state_dict(model.state_dict(), strict=True)
    torch.testing.assert_close(fresh(X, EDGES), out)


# Refusals.


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "exactly one of 'sparsity' and 'penalty'"),
        ({"sparsity": 0.5, "penalty": 0.1}, "exactly one of 'sparsity' and 'penalty'"),
        ({"sparsity": 1.0}, r"'sparsity' must be in \[0, 1\)"),
        ({"penalty": -1.0}, "'penalty' must be finite and at least 0"),
        ({"sparsity": 0.5, "lr": 0.0}, "'lr' must be finite and positive"),
        ({"sparsity": 0.5, "average": 0}, "'average' must be at least 1"),
        ({"sparsity": 0.5, "end": 0}, "'end' must be at least step 1"),
        ({"sparsity": 0.5, "end": 0.5}, "'num_steps' must be given"),
        ({"sparsity": 0.5, "estimator": "relu"}, "'estimator' must be one of 'linear'"),
        ({"sparsity": 0.5, "unit": "head"}, "'unit' must be one of 'weight', 'row'"),
        ({"sparsity": 0.5, "regrow": "yes"}, "'regrow' must be one of 'frozen'"),
    ],
)
def test_refusals_leave_the_model_as_it_was(wrong, message):
    model = small()
    with pytest.raises(ValueError, match=message):
        AutoPrune(model, **({"end": 9} | wrong))
    AutoPrune(model, sparsity=0.5, end=9)  # no mask is left behind


def test_rows_of_vectors_are_refused():
    model = GAT(20, 4, num_layers=2, out_channels=3)
    with pytest.raises(ValueError, match="'unit' may be 'row' for matrices only"):
        AutoPrune(model, sparsity=0.5, end=9, unit="row", targets=r"\.att_")
    AutoPrune(model, sparsity=0.5, end=9, targets=r"\.att_")


def test_infinite_gradients_are_refused():
    model = small()
    pruner = AutoPrune(model, sparsity=0.5, end=9)
    (model(X, EDGES).sum() * float("inf")).backward()
    with pytest.raises(ValueError, match="the gradients must be finite"):
        pruner.step()
