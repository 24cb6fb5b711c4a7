"""SynFlow: flow is conserved, and no layer collapses."""

from itertools import pairwise

import pytest
import torch
from torch.nn import LayerNorm, Linear, ReLU, Sequential
from torch_geometric.nn import GAT, GCN, GIN, BatchNorm

from gsparse.data import random_graph
from gsparse.nn import accelerate
from gsparse.prune import LinearSchedule as Ramp
from gsparse.prune import Magnitude, Pruner, RoundsSchedule, keep_best
from gsparse.prune.criteria.syn_flow import SynFlow, syn_flow_importances
from gsparse.train import sparse_features

DATA = random_graph(num_nodes=30, p=0.2, seed=60317)
IN = DATA.num_features
EXAMPLE = (DATA.x, DATA.edge_index)


def weights_of(model):
    return {n: p for n, p in model.named_parameters() if p.dim() == 2}


def mlp(*widths, bias=False):
    torch.manual_seed(41771)
    layers = [
        it for a, b in pairwise(widths) for it in (Linear(a, b, bias=bias), ReLU())
    ]
    return Sequential(*layers[:-1]).double()


MODELS = {
    "MLP": lambda: (mlp(7, 12, 5, 3), (torch.zeros(4, 7).double(),)),
    "GCN": lambda: (GCN(IN, 9, 3, out_channels=4, bias=False).double(), EXAMPLE),
    "GCN with biases": lambda: (GCN(IN, 9, 3, out_channels=4).double(), EXAMPLE),
    "GIN": lambda: (GIN(IN, 9, 2, out_channels=4, norm=None).double(), EXAMPLE),
    "GAT": lambda: (GAT(IN, 8, 3, out_channels=4, heads=2).double(), EXAMPLE),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_every_layer_carries_the_whole_flow(make):
    torch.manual_seed(29873)
    model, example = make()
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(p)
    example = tuple(e.double() if e.is_floating_point() else e for e in example)
    scores = syn_flow_importances(model, example, weights_of(model))
    flows = torch.stack([score.sum() for score in scores.values()])
    torch.testing.assert_close(flows, flows[:1].expand_as(flows))


def test_flow_in_and_out_of_a_hidden_unit_are_equal():
    model = mlp(7, 12, 5, 3)
    example = (torch.zeros(4, 7).double(),)
    first, second, third = syn_flow_importances(
        model, example, weights_of(model)
    ).values()
    torch.testing.assert_close(first.sum(1), second.sum(0))
    torch.testing.assert_close(second.sum(1), third.sum(0))


def test_scores_by_hand():
    model = mlp(2, 3, 1)
    a, b = (p.detach().abs() for p in model.parameters())
    scores = syn_flow_importances(
        model, (torch.zeros(1, 2).double(),), weights_of(model)
    )
    torch.testing.assert_close(scores["0.weight"], a * b.t())
    torch.testing.assert_close(scores["2.weight"], b * a.sum(1))


def test_data_does_not_matter_but_the_graph_does():
    torch.manual_seed(29873)
    model = GCN(IN, 9, 2, out_channels=4)
    weights = weights_of(model)
    scores = syn_flow_importances(model, EXAMPLE, weights)
    noise = (torch.full_like(DATA.x, torch.nan), DATA.edge_index)
    assert all(
        score.equal(scores[name])
        for name, score in syn_flow_importances(model, noise, weights).items()
    )
    sparse = (sparse_features((DATA.x > 1).float(), 1.0), DATA.edge_index)
    torch.testing.assert_close(syn_flow_importances(model, sparse, weights), scores)
    fewer = (DATA.x, DATA.edge_index[:, :20])
    other = syn_flow_importances(model, fewer, weights)["convs.0.lin.weight"]
    assert not torch.allclose(other, scores["convs.0.lin.weight"])


BOTTLENECK = (60, 100, 4, 100, 3)


def test_a_bottleneck_survives_what_magnitude_does_not():
    """Wide layers with larger weights: one ranking by magnitude cuts the others off."""

    def narrow():
        model = mlp(*BOTTLENECK)
        with torch.no_grad():
            model[2].weight.mul_(0.01)
            model[4].weight.mul_(0.01)
        return model

    x = torch.rand(5, 60, generator=torch.Generator().manual_seed(73303)).double()
    model = narrow()
    one_shot = Pruner(model, Magnitude(), sparsity=0.99, targets="weight").report()
    assert min(layer.num_kept for layer in one_shot.layers) == 0
    model = narrow()
    report = Pruner(model, SynFlow((x,)), sparsity=0.99, targets="weight").report()
    assert min(layer.num_kept for layer in report.layers) > 0
    assert report.num_kept == round(0.01 * report.num_weights)
    # What is left are whole paths: no weight leads nowhere.
    scores = syn_flow_importances(model, (x,), weights_of(model))
    for name, layer in zip(scores, report.layers, strict=True):
        assert int((scores[name] > 0).sum()) == layer.num_kept


def test_one_round_collapses_where_many_do_not():
    ones = torch.ones(1, 60).double()
    model = mlp(60, 100, 100, 100, 3)
    pruner = Pruner(
        model, SynFlow((ones,), num_rounds=1), sparsity=0.98, targets="weight"
    )
    with pytest.raises(ValueError, match="some flow must go through the targeted"):
        pruner.importances()
    model = mlp(60, 100, 100, 100, 3)
    pruner = Pruner(
        model, SynFlow((ones,), num_rounds=100), sparsity=0.98, targets="weight"
    )
    assert sum(score.sum() for score in pruner.importances().values()) > 0


def test_each_round_leaves_the_same_share_of_what_is_left(monkeypatch):
    """0.04 of the weights in 4 rounds: each leaves 0.04 ** (1 / 4) of them."""
    asked = []

    def watched(scores, sparsity, scope):
        asked.append(1 - sparsity)
        return keep_best(scores, sparsity, scope)

    monkeypatch.setattr("gsparse.prune.criteria.criterion.keep_best", watched)
    x, model = torch.ones(5, 7).double(), mlp(7, 12, 5, 3)
    Pruner(model, SynFlow((x,), num_rounds=4), sparsity=0.96, targets="weight").undo()
    assert asked == pytest.approx([0.04 ** (k / 4) for k in (1, 2, 3, 4)])
    del asked[:]
    ramp = Ramp(0, 2)
    pruner = Pruner(
        model,
        SynFlow((x,), num_rounds=2),
        sparsity=0.6,
        schedule=ramp,
        targets="weight",
        scope="local",
    )
    pruner.step()
    pruner.step()  # from 0.7 to 0.4
    assert asked == pytest.approx([0.7**0.5, 0.7, (0.7 * 0.4) ** 0.5, 0.4])


def test_biases_and_the_means_of_batch_norms_carry_no_flow():
    torch.manual_seed(29873)
    found = []
    for value in (0.0, 3.0):
        torch.manual_seed(29873)
        model = GCN(IN, 9, 2, out_channels=4, norm=BatchNorm(9))
        with torch.no_grad():
            model.norms[0].module.running_mean.fill_(value)
            for name, p in model.named_parameters():
                if name.endswith("bias"):
                    p.fill_(value)
        found.append(syn_flow_importances(model, EXAMPLE, weights_of(model)))
    torch.testing.assert_close(found[0], found[1])


def test_weights_signs_and_modes_are_as_before():
    torch.manual_seed(29873)
    model = GCN(IN, 9, 2, out_channels=4, dropout=0.5, norm=BatchNorm(9))
    model.train()
    model.norms[0].eval()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    versions = {name: p._version for name, p in model.named_parameters()}
    pruner = Pruner(model, SynFlow(EXAMPLE, num_rounds=5), sparsity=0.5)
    pruner.undo()
    assert all(value.equal(state[key]) for key, value in model.state_dict().items())
    assert versions == {name: p._version for name, p in model.named_parameters()}
    assert model.training
    assert not model.norms[0].training
    assert all(p.grad is None for p in model.parameters())


def test_fused_attention_carries_flow_too():
    torch.manual_seed(29873)
    model = GAT(IN, 8, 2, out_channels=4, heads=2)
    plain = syn_flow_importances(model, EXAMPLE, weights_of(model))
    fast = accelerate(model)
    torch.testing.assert_close(
        syn_flow_importances(fast, EXAMPLE, weights_of(fast)),
        plain,
        rtol=1e-4,
        atol=1e-3,
    )


def test_a_schedule_ends_at_the_budget():
    torch.manual_seed(29873)
    model = GCN(IN, 9, 2, out_channels=4)
    pruner = Pruner(
        model, SynFlow(EXAMPLE, num_rounds=3), sparsity=0.75, schedule=RoundsSchedule(2)
    )
    for _ in range(2):
        pruner.step()
    assert pruner.report().num_kept == round(0.25 * 9 * IN)


def test_refusals():
    model = mlp(7, 12, 3)
    x = torch.zeros(4, 7).double()
    with pytest.raises(ValueError, match=r"'num_rounds' must be at least 1 \(got 0\)"):
        Pruner(model, SynFlow((x,), num_rounds=0), sparsity=0.5)
    with pytest.raises(TypeError, match=r"'example' must be the tuple .*got Tensor"):
        Pruner(model, SynFlow(x), sparsity=0.5)
    normed = Sequential(Linear(7, 5), LayerNorm(5), ReLU(), Linear(5, 3)).double()
    with pytest.raises(ValueError, match="must grow with its weights"):
        Pruner(normed, SynFlow((x,)), sparsity=0.5, targets="weight")
    softmax = Sequential(Linear(7, 5), torch.nn.Softmax(dim=1)).double()
    with pytest.raises(ValueError, match="or it ends in a softmax"):
        Pruner(softmax, SynFlow((x,)), sparsity=0.5)
    huge = mlp(7, 12, 3)
    with torch.no_grad():
        for p in huge.parameters():
            p.mul_(1e200)
    with pytest.raises(ValueError, match=r"must be finite \(got inf\)"):
        Pruner(huge, SynFlow((x,)), sparsity=0.5)
    for each in (model, normed, softmax, huge):
        Pruner(each, Magnitude(), sparsity=0.5)  # no mask was left behind
