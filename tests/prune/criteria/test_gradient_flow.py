"""The gradient-flow family against the identities that it is derived from."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import scatter

from gsparse.data import random_graph
from gsparse.nn import FastGCNConv, FastSAGEConv, accelerate
from gsparse.prune import Magnitude, Pruner, RoundsSchedule
from gsparse.prune.criteria.derivatives import hessian_gradients, loss_gradients
from gsparse.prune.criteria.gradient_flow import (
    LossPreservation,
    MagnitudeLoss,
    loss_preservation_importances,
    magnitude_loss_importances,
)
from gsparse.prune.criteria.gradient_norm import (
    GradientNorm,
    GradientPreservation,
    gradient_norm_importances,
    gradient_preservation_importances,
)
from gsparse.prune.criteria.grasp import GraSP
from gsparse.prune.criteria.snip import SNIP
from gsparse.train import sparse_features

CRITERIA = [
    LossPreservation,
    MagnitudeLoss,
    GradientNorm,
    GradientPreservation,
    SNIP,
    GraSP,
]
SECOND = [GradientNorm, GradientPreservation, GraSP]
DATA = random_graph(num_nodes=30, p=0.2, seed=60317)
IN, OUT = DATA.num_features, int(DATA.y.max()) + 1


def smooth_problem(seed, n=12):
    """A random loss with all derivatives, and a point."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(20, n, generator=generator, dtype=torch.double)
    b = torch.randn(20, generator=generator, dtype=torch.double)
    point = torch.randn(n, generator=generator, dtype=torch.double)

    def value(theta):
        return ((a @ theta).sin() * b).sum() + (a @ theta).square().mean()

    return value, point


def at(value, theta):
    """The functions under test see a loss without arguments and named parameters."""
    theta = theta.clone()
    return (lambda: value(theta)), {"theta": theta}


def gradient(value, theta):
    loss, parameters = at(value, theta)
    return loss_gradients(loss, parameters)["theta"]


def product(value, theta):
    loss, parameters = at(value, theta)
    return hessian_gradients(loss, parameters)["theta"]


def flowed(value, theta, time, steps=20):
    """Gradient flow by Runge and Kutta's method."""
    h = time / steps
    for _ in range(steps):
        k1 = -gradient(value, theta)
        k2 = -gradient(value, theta + h / 2 * k1)
        k3 = -gradient(value, theta + h / 2 * k2)
        k4 = -gradient(value, theta + h * k3)
        theta = theta + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return theta


@pytest.mark.parametrize("seed", [20117, 60443, 91019])
def test_the_norms_derivatives_under_gradient_flow(seed):
    value, theta = smooth_problem(seed)
    g, hg = gradient(value, theta), product(value, theta)
    t = 1e-3
    now = theta.square().sum()
    later = flowed(value, theta, t).square().sum()
    before = flowed(value, theta, -t).square().sum()
    first = (later - before) / (2 * t)
    second = (later - 2 * now + before) / t**2
    torch.testing.assert_close(first, -2 * theta @ g, rtol=1e-3, atol=1e-3)
    expected = 2 * (g.square().sum() + theta @ hg)
    torch.testing.assert_close(second, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("seed", [20117, 60443])
def test_the_product_is_that_of_the_whole_hessian(seed):
    value, theta = smooth_problem(seed)
    hessian = torch.autograd.functional.hessian(value, theta)
    expected = hessian @ gradient(value, theta)
    torch.testing.assert_close(product(value, theta), expected)


@pytest.mark.parametrize("seed", [20117, 60443])
def test_scores_predict_what_removal_does_for_small_weights(seed):
    value, theta = smooth_problem(seed)
    for i in range(theta.numel()):
        small = theta.clone()
        small[i] = 1e-5
        loss, parameters = at(value, small)
        g, hg = loss_gradients(loss, parameters), hessian_gradients(loss, parameters)
        removed = small.clone()
        removed[i] = 0
        change = (value(removed) - value(small)).abs()
        predicted = loss_preservation_importances(parameters, g)["theta"][i]
        assert change.item() == pytest.approx(predicted.item(), rel=1e-2)
        norms = [gradient(value, it).square().sum() for it in (removed, small)]
        predicted = -2 * gradient_norm_importances(parameters, hg)["theta"][i]
        assert (norms[0] - norms[1]).item() == pytest.approx(predicted.item(), rel=1e-2)


def test_scores_are_bound_to_each_other_entry_by_entry():
    value, theta = smooth_problem(48817)
    loss, parameters = at(value, theta)
    g, hg = loss_gradients(loss, parameters), hessian_gradients(loss, parameters)
    plain = loss_preservation_importances(parameters, g)["theta"]
    biased = magnitude_loss_importances(parameters, g)["theta"]
    torch.testing.assert_close(biased, theta.abs() * plain)
    signed = gradient_norm_importances(parameters, hg)["theta"]
    assert gradient_preservation_importances(parameters, hg)["theta"].equal(
        signed.abs()
    )
    assert (signed < 0).any()


def test_nothing_is_lost_at_a_stationary_point():
    target = torch.tensor([1.0, -2.0, 3.0])
    w = target.clone()
    parameters = {"w": w}

    def loss():
        return ((w - target) ** 2).sum()

    assert loss_gradients(loss, parameters)["w"].equal(torch.zeros(3))
    products = hessian_gradients(loss, parameters)
    assert gradient_preservation_importances(parameters, products)["w"].equal(
        torch.zeros(3)
    )


def test_a_linear_loss_has_no_curvature():
    w = torch.tensor([1.0, 2.0])
    assert hessian_gradients(lambda: w.sum(), {"w": w})["w"].equal(torch.zeros(2))


def loss_of(model, data=DATA):
    return lambda: cross_entropy(model(data.x, data.edge_index), data.y)


def gcn(seed=41771, **options):
    torch.manual_seed(seed)
    return GCN(IN, 12, num_layers=2, out_channels=OUT, dropout=0.5, **options)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_scores_ignore_the_order_of_nodes(criterion):
    model = gcn().double()
    double = DATA.clone()
    double.x = double.x.double()
    order = torch.randperm(30, generator=torch.Generator().manual_seed(15737))
    shuffled = double.clone()
    shuffled.x, shuffled.y = double.x[order], double.y[order]
    shuffled.edge_index = order.argsort()[double.edge_index]
    found = []
    for data in (double, shuffled):
        held = Pruner(model, criterion(loss_of(model, data)), sparsity=0.0)
        found.append(held.importances())
        held.undo()
    torch.testing.assert_close(*found, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_model_is_left_as_it_was(criterion):
    model = gcn()
    model.train()
    model.convs[1].eval()
    model.convs[1].bias.requires_grad_(False)
    model.convs[0].lin.weight.requires_grad_(False)
    layers = list(model.modules())
    modes = [module.training for module in layers]
    before = {name: p.clone() for name, p in model.named_parameters()}
    grads = {name: torch.randn_like(p) for name, p in model.named_parameters()}
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.grad = grads[name].clone()
    frozen = {name: p.requires_grad for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    Pruner(model, criterion(loss_of(model)), sparsity=0.5)
    assert torch.get_rng_state().equal(state)
    assert [module.training for module in layers] == modes
    for name, p in model.named_parameters():
        assert p.equal(before[name])
        assert p.requires_grad == frozen[name]
        assert p.grad is None or p.grad.equal(grads[name])
    assert not model._forward_hooks


@pytest.mark.parametrize("criterion", CRITERIA)
def test_what_is_gone_stays_gone_along_a_schedule(criterion):
    model = gcn()
    held = Pruner(
        model, criterion(loss_of(model)), sparsity=0.8, schedule=RoundsSchedule(4)
    )
    kept = held.masks["convs.0.lin.weight"].clone()
    for _ in range(4):
        held.step()
        now = held.masks["convs.0.lin.weight"].clone()
        assert not (now & ~kept).any()
        kept = now
    assert held.done
    assert held.report().num_kept == round(0.2 * 12 * IN)


def test_the_lowest_scores_go():
    model = gcn()
    held = Pruner(model, LossPreservation(loss_of(model)), sparsity=0.0)
    score = held.importances()["convs.0.lin.weight"]
    held.undo()
    held = Pruner(model, LossPreservation(loss_of(model)), sparsity=0.6)
    keep = held.masks["convs.0.lin.weight"]
    assert score[keep].min() >= score[~keep].max()


def test_snip_chooses_as_loss_preservation_and_sums_to_one():
    model = gcn()
    held = Pruner(model, SNIP(loss_of(model)), sparsity=0.0, targets="weight")
    scores = held.importances()
    assert sum(s.sum() for s in scores.values()).item() == pytest.approx(1, abs=1e-5)
    held.undo()
    kept = []
    for criterion in (SNIP, LossPreservation):
        held = Pruner(model, criterion(loss_of(model)), sparsity=0.7)
        kept.append(held.masks["convs.0.lin.weight"].clone())
        held.undo()
    assert kept[0].equal(kept[1])


def test_the_temperature_divides_the_logits():
    model = gcn().eval()

    def tempered():
        return cross_entropy(model(DATA.x, DATA.edge_index) / 200, DATA.y)

    by_hand = Pruner(model, GradientNorm(tempered), sparsity=0.0)
    expected = by_hand.importances()
    by_hand.undo()
    held = Pruner(model, GraSP(loss_of(model)), sparsity=0.0)
    assert held.criterion.temperature == 200
    torch.testing.assert_close(held.importances(), expected)
    assert model(DATA.x, DATA.edge_index).abs().max() > 0.01


def test_the_gradient_is_that_of_all_parameters():
    """The head is not pruned, but its gradient is part of the norm."""
    model = gcn().double().eval()
    data = DATA.clone()
    data.x = data.x.double()
    loss = loss_of(model, data)
    held = Pruner(model, GradientNorm(loss), sparsity=0.0)
    score = held.importances()["convs.0.lin.weight"]
    weight = dict(model.named_parameters())["convs.0.lin.weight"]

    def norm():
        grads = torch.autograd.grad(loss(), list(model.parameters()))
        return sum(g.square().sum() for g in grads)

    i, j = 3, 2
    step = 1e-6 * weight[i, j].item()
    start = norm()
    with torch.no_grad():
        weight[i, j] -= step
    moved = (norm() - start) / step * weight[i, j].item()
    assert moved.item() == pytest.approx(-2 * score[i, j].item(), rel=1e-3)


@pytest.mark.parametrize(
    "build",
    [
        lambda: GCN(IN, 6, num_layers=2, out_channels=OUT),
        lambda: GraphSAGE(IN, 6, num_layers=2, out_channels=OUT),
        lambda: GIN(IN, 6, num_layers=2, out_channels=OUT),
        lambda: GAT(IN, 6, num_layers=2, out_channels=OUT, heads=2),
        lambda: accelerate(GAT(IN, 6, num_layers=2, out_channels=OUT), "reference"),
    ],
    ids=["GCN", "SAGE", "GIN", "GAT", "FastGAT reference"],
)
@pytest.mark.parametrize("criterion", SECOND)
def test_layers_that_are_differentiable_twice(build, criterion):
    torch.manual_seed(29873)
    model = build()
    held = Pruner(model, criterion(loss_of(model)), sparsity=0.5)
    assert any((score != 0).any() for score in held.importances().values())


@pytest.mark.parametrize("fast", [FastGCNConv, FastSAGEConv])
def test_fast_layers_have_the_products_of_the_plain_ones(fast):
    torch.manual_seed(29873)
    conv = fast(IN, OUT).double()
    plain = fast.plain(IN, OUT).double()
    plain.load_state_dict(conv.state_dict())
    x = DATA.x.double()

    def product_of(layer):
        def loss():
            return cross_entropy(layer(x, DATA.edge_index).tanh(), DATA.y)

        return hessian_gradients(loss, dict(layer.named_parameters()))

    torch.testing.assert_close(product_of(conv), product_of(plain))


def test_sparse_features_have_the_products_of_dense_ones():
    torch.manual_seed(29873)
    conv = FastGCNConv(40, OUT)
    generator = torch.Generator().manual_seed(77261)
    x = (torch.rand(30, 40, generator=generator) < 0.1).float()

    def product_of(x):
        def loss():
            return cross_entropy(conv(x, DATA.edge_index).tanh(), DATA.y)

        return hessian_gradients(loss, dict(conv.named_parameters()))

    torch.testing.assert_close(product_of(sparse_features(x)), product_of(x))


@pytest.mark.parametrize("criterion", SECOND)
def test_fused_attention_is_refused_with_the_way_out(criterion):
    torch.manual_seed(29873)
    model = accelerate(GAT(IN, 6, num_layers=2, out_channels=OUT, heads=2))
    model.train()
    with pytest.raises(ValueError, match=r"accelerate\(model, attention='reference'\)"):
        Pruner(model, criterion(loss_of(model)), sparsity=0.5)
    assert type(model.convs[0].lin).__name__ == "Linear"  # without masks again
    assert model.training
    assert not model._forward_hooks
    accelerate(model, attention="reference")
    assert (
        Pruner(model, criterion(loss_of(model)), sparsity=0.5).report().sparsity == 0.5
    )


@pytest.mark.parametrize("criterion", CRITERIA)
def test_refusals(criterion):
    model = gcn()
    weight = model.convs[0].lin.weight
    with pytest.raises(TypeError, match=r"'loss' must be a function .*got float"):
        criterion(1.5)
    with pytest.raises(ValueError, match=r"a finite number \(got nan\)"):
        Pruner(model, criterion(lambda: loss_of(model)() * torch.nan), sparsity=0.5)
    with pytest.raises(ValueError, match="'loss' must depend on the weights"):
        Pruner(model, criterion(lambda: torch.tensor(1.0)), sparsity=0.5)
    with pytest.raises(ValueError, match=r"one number \(got \[30\]\)"):
        Pruner(
            model,
            criterion(lambda: model(DATA.x, DATA.edge_index).sum(1)),
            sparsity=0.5,
        )
    other = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(ValueError, match="'loss' must depend on the weights"):
        Pruner(model, criterion(lambda: other.sum()), sparsity=0.5)
    assert model.convs[0].lin.weight is weight
    Pruner(model, Magnitude(), sparsity=0.5)  # no mask was left behind


def test_temperatures_that_cannot_be():
    model = gcn()
    with pytest.raises(ValueError, match=r"'temperature' must be positive \(got 0"):
        Pruner(model, GradientNorm(loss_of(model), temperature=0.0), sparsity=0.5)

    def around():
        hidden = model.convs[0](DATA.x, DATA.edge_index)
        return cross_entropy(hidden, DATA.y)

    with pytest.raises(ValueError, match="must call the pruned model"):
        Pruner(model, GraSP(around), sparsity=0.5)

    class Pair(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Linear(2, 2)

        def forward(self, x):
            return self.first(x), x

    pair = Pair()
    with pytest.raises(TypeError, match=r"tensor of logits .*got tuple"):
        Pruner(
            pair, GraSP(lambda: pair(torch.ones(1, 2))[0].square().sum()), sparsity=0.5
        )


def test_an_unused_weight_scores_zero():
    model = gcn()
    first = model.convs[0]

    def loss():
        return scatter(first(DATA.x, DATA.edge_index).tanh(), DATA.y).square().sum()

    held = Pruner(model, LossPreservation(loss), sparsity=0.0, targets="lin.weight")
    scores = held.importances()
    assert scores["convs.0.lin.weight"].any()
    assert not scores["convs.1.lin.weight"].any()
