"""Implicit sparsity: criteria, decay rates, and the effect of removal."""

import math

import pytest
import torch
from torch import nn
from torch_geometric.nn import BatchNorm, GCNConv, models

from gsparse.prune.implicit import (
    implicit_sparsity_report,
    selectivity,
)
from gsparse.train import GCN, FitConfig, fit
from gsparse.train.fit import seeded
from tests.compaction.normalised import (
    graph,
    norms,
    ours,
    pyg,
    set_units,
    trained,
)


def test_selectivity_in_plain_python():
    generator = torch.Generator().manual_seed(63377)
    a = torch.rand(40, 6, generator=generator) ** 12
    a[:, 2] = 0.0
    for unit in range(6):
        column = a[:, unit].tolist()
        if max(column) == 0:
            assert math.isnan(selectivity(a)[unit])
            continue
        wanted = sum(abs(v) / max(column) < 1e-3 for v in column) / 40
        assert selectivity(a)[unit].item() == pytest.approx(wanted)
    assert selectivity(torch.ones(5, 1)).item() == 0.0


@pytest.mark.parametrize("build", [ours, pyg])
def test_activations_are_those_behind_the_relu(build):
    """By hand: the layers one by one."""
    data = graph()
    model = build(data)
    report = implicit_sparsity_report(model, data)
    x, found = data.x, []
    layers = model.layers[:-1] if build is ours else range(2)
    for layer in layers:
        if build is ours:
            x = layer(x, data.edge_index).relu()
        else:
            x = model.norms[layer](model.convs[layer](x, data.edge_index)).relu()
        found.append(x)
    assert len(report.layers) == 2
    for it, activation in zip(report.layers, found, strict=True):
        torch.testing.assert_close(it.activation, activation.abs().amax(0))
        torch.testing.assert_close(it.selectivity, selectivity(activation))
        assert it.universality == pytest.approx(1 - it.selectivity.nanmean().item())


@pytest.mark.parametrize("build", [ours, pyg, lambda d: pyg(d, models.GraphSAGE)])
def test_units_that_are_dead_are_found_by_name(build):
    data = graph()
    model = build(data)
    (first, one), (second, two) = norms(model)
    set_units(one, dead=[1, 4], dim=[7])
    set_units(two, dead=[0], steady=[3, 5])
    report = implicit_sparsity_report(model, data)
    assert [it.name for it in report.layers] == [first, second]
    by_activation = [it.dead("activation").nonzero().view(-1) for it in report.layers]
    by_scale = [it.dead("scale").nonzero().view(-1) for it in report.layers]
    assert [it.tolist() for it in by_activation] == [[1, 4, 7], [0]]
    assert [it.tolist() for it in by_scale] == [[7], [3, 5]]
    assert report.num_units == 20
    assert report.num_dead("activation") == 4
    assert report.sparsity("activation") == 4 / 20
    assert report.sparsity("scale") == 3 / 20


def test_the_thresholds():
    data = graph()
    model = ours(data)
    norm = norms(model)[0][1]
    with torch.no_grad():
        norm.weight[:4] = torch.tensor([0.00099, -0.00099, 0.00101, -0.00101])
        norm.weight[4:6], norm.bias[4:6] = 0.0, torch.tensor([9e-13, 2e-12])
    first = implicit_sparsity_report(model, data).layers[0]
    assert first.dead("scale")[:4].tolist() == [True, True, False, False]
    assert first.dead("activation")[4:6].tolist() == [True, False]


def test_nothing_of_the_model_moves():
    data = graph()
    model = ours(data).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    implicit_sparsity_report(model, data)
    assert model.training
    assert all(before[name].equal(value) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_a_tuple_of_arguments_and_edge_weights():
    data = graph()
    model = ours(data)
    arguments = data.x, data.edge_index, torch.full((data.num_edges,), 0.5)
    found = implicit_sparsity_report(model, arguments).layers[0].activation
    data.edge_weight = arguments[2]
    assert implicit_sparsity_report(model, data).layers[0].activation.equal(found)
    data.edge_weight = None
    assert not implicit_sparsity_report(model, data).layers[0].activation.equal(found)


def test_the_table_fits_a_terminal():
    data = graph()
    model = nn.Module()
    model.a_layer_with_a_very_long_name_indeed = ours(data)
    inner = model.a_layer_with_a_very_long_name_indeed
    model.forward = inner.forward
    set_units(norms(inner)[0][1], dead=[1, 2])
    report = implicit_sparsity_report(model, data)
    lines = str(report).splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("...")
    assert "layers.0.norm" in lines[1]
    assert "20.00%" in lines[1]
    share = report.sparsity("activation")
    assert lines[-1].split() == ["all", "20", f"{share:.2%}", "0.00%"]


class Odd(nn.Module):
    """A normalised layer, and a ReLU behind it or not."""

    def __init__(self, mode):
        super().__init__()
        self.first, self.last = GCNConv(8, 10), GCNConv(10, 2)
        self.norm = BatchNorm(10)
        self.mode = mode

    def forward(self, x, edge_index):
        h = self.norm(self.first(x, edge_index))
        if self.mode == "tanh":
            return self.last(h.tanh(), edge_index)
        if self.mode == "residual":
            return self.last((h + 1).relu(), edge_index)
        if self.mode == "method":
            return self.last(h.relu_(), edge_index)
        return self.last(nn.functional.relu(h, inplace=True), edge_index)


@pytest.mark.parametrize("mode", ["method", "function"])
def test_every_way_to_write_a_relu(mode):
    data = graph()
    model = trained(Odd(mode), data)
    set_units(model.norm.module, dead=[2])
    report = implicit_sparsity_report(model, data)
    assert report.num_dead("activation") == 1


@pytest.mark.parametrize("mode", ["tanh", "residual"])
def test_what_no_relu_reads_is_not_counted(mode):
    with pytest.raises(
        ValueError, match=r"\(got 1 batch normalisations, none before a"
    ):
        implicit_sparsity_report(Odd(mode), graph())


def test_models_without_batch_norm_are_refused():
    with pytest.raises(ValueError, match=r"\(got 0 .*such as GCN\(..., norm='BatchNor"):
        implicit_sparsity_report(models.GCN(8, 4, 2, out_channels=2), graph())


def adam_l2(theta, lr, decay):
    """Adam with the penalty in the gradient, which is all there is of it."""
    m = v = 0.0
    for t in range(1, 20_001):
        g = decay * theta
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        step = (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        theta -= lr * step
        yield theta


def sgd_l2(theta, lr, decay, momentum=0.9):
    speed = 0.0
    for _ in range(20_000):
        speed = momentum * speed + decay * theta
        theta -= lr * speed
        yield theta


def adamw(theta, lr, decay):
    """Decoupled: without a gradient Adam itself does not move."""
    for _ in range(20_000):
        theta *= 1 - lr * decay
        yield theta


def steps_to(path, size=1e-3):
    """Number of the first step at which so little is left; None if there is none."""
    return next((t for t, theta in enumerate(path, 1) if abs(theta) <= size), None)


@pytest.mark.parametrize(
    ("rule", "kind", "options"),
    [
        (adam_l2, torch.optim.Adam, {}),
        (sgd_l2, torch.optim.SGD, {"momentum": 0.9}),
        (adamw, torch.optim.AdamW, {}),
    ],
)
def test_the_rules_are_those_of_torch(rule, kind, options):
    theta = nn.Parameter(torch.ones((), dtype=torch.float64))
    optimizer = kind([theta], lr=0.01, weight_decay=1e-2, **options)
    for wanted, _ in zip(rule(1.0, 0.01, 1e-2), range(60), strict=False):
        theta.grad = torch.zeros_like(theta)
        optimizer.step()
        assert theta.item() == pytest.approx(wanted, rel=1e-9)


def test_with_adam_a_penalty_of_any_size_takes_the_same_time():
    """Without a gradient of the loss: about lr a step, not lr * decay."""
    assert steps_to(adam_l2(1.0, 1e-3, 1e-3)) == 2722
    assert steps_to(adam_l2(1.0, 1e-3, 1e-4)) == 2722


def test_with_sgd_and_adamw_the_way_is_exponential():
    assert steps_to(sgd_l2(1.0, 0.1, 1e-3)) == 6851
    assert steps_to(sgd_l2(1.0, 0.1, 1e-3)) == pytest.approx(
        math.log(1e3) * (1 - 0.9) / (0.1 * 1e-3), rel=0.01
    )
    assert steps_to(sgd_l2(1.0, 0.1, 1e-4)) is None  # in 20,000
    assert steps_to(adamw(1.0, 1e-3, 1e-3)) is None
    *_, left = adamw(1.0, 1e-3, 1e-3)
    assert left == pytest.approx(math.exp(-1e-6 * 20_000))


def test_adam_with_l2_switches_off_more_than_sgd_and_adamw():
    """Half of the units begin where no node turns them on: nothing pulls at them but
    the penalty, and only with Adam it gets anywhere.
    """
    data, found = graph(), {}
    settings = {
        "adam": {"lr": 0.02},
        "adamw": {"lr": 0.02},
        "sgd": {"lr": 0.1, "momentum": 0.9},
    }
    for name, options in settings.items():
        with seeded(30323):
            model = GCN(8, 32, 2, batch_norm=True, dropout=0.0)
        with torch.no_grad():
            norms(model)[0][1].bias[:16] = -6.0
        last = {}
        config = FitConfig(
            epochs=200, patience=200, weight_decay=1e-3, optimizer=name, **options
        )
        fit(model, data, config=config, callback=keep_last(model, last))
        model.load_state_dict(last)
        found[name] = implicit_sparsity_report(model, data)
    assert found["adam"].layers[0].dead("scale")[:16].all()
    assert found["adam"].num_dead("activation") >= 16
    for other in ("adamw", "sgd"):
        assert found[other].num_dead("scale") == 0
        assert found[other].layers[0].dead("activation")[:16].all()


def keep_last(model, last):
    def keep(*_):
        last.update({k: v.clone() for k, v in model.state_dict().items()})

    return keep
