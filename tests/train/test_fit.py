"""The fit loop: weights, seeds, timing and refusals."""

import copy
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch_geometric.data import Data, HeteroData
from torch_geometric.nn import GCNConv

from gsparse.data import inductive
from gsparse.nn import FastGAT
from gsparse.train import (
    GAT,
    GCN,
    MLP,
    FitConfig,
    SparseFeatures,
    evaluate,
    fit,
    predict_logits,
)
from gsparse.train.fit import prepare, seeded
from gsparse.transforms import RandomEdge

SHORT = FitConfig(epochs=30, patience=30, lr=0.05)


@pytest.fixture(scope="module")
def data():
    """Three communities whose members share a feature."""
    generator = torch.Generator().manual_seed(33589)
    y = torch.randint(3, (150,), generator=generator)
    same = y.unsqueeze(0) == y.unsqueeze(1)
    edge = torch.rand(150, 150, generator=generator) < 0.02 + 0.1 * same
    edge = edge.triu(1)
    x = torch.rand(150, 30, generator=generator)
    x = x * (torch.rand(150, 30, generator=generator) < 0.1)
    x[torch.arange(150), y] += 0.3
    part = torch.arange(150) % 5
    return Data(
        x=x,
        y=y,
        edge_index=(edge | edge.t()).nonzero().t().contiguous(),
        train_mask=part == 0,
        val_mask=part == 1,
        test_mask=part >= 2,
    )


def model(seed=70207):
    with seeded(seed):
        return GCN(30, 16, 3)


def test_learns(data):
    net = model()
    history = fit(net, data, config=SHORT, seed=19417)
    assert evaluate(net, data, "test_mask") > 0.8
    assert len(history.train_seconds) == history.num_epochs == 30
    assert history.epoch_seconds > 0
    assert history.infer_seconds > 0


def test_ends_with_the_best_weights(data):
    """Score and loss of the weights at the end are the best that were seen."""
    net, seen = model(), []
    history = fit(
        net, data, config=SHORT, seed=52313, callback=lambda *args: seen.append(args)
    )
    scores = [score for _, _, score in seen]
    assert [epoch for epoch, _, _ in seen] == list(range(1, 31))
    assert history.val_score == max(scores) == scores[history.best_epoch - 1]
    assert evaluate(net, data, "val_mask") == history.val_score
    with torch.inference_mode():
        out = net.eval()(data.x, data.edge_index)
    loss = cross_entropy(out[data.val_mask], data.y[data.val_mask]).item()
    assert loss == pytest.approx(history.val_loss, rel=1e-5)


def test_ties_go_to_the_lower_loss(data, monkeypatch):
    """Score first, then loss; the rest of a plateau does not count as better."""
    seen = iter([(0.5, 0.8), (0.4, 0.8), (0.6, 0.8), (0.4, 0.8), (0.1, 0.7)])
    loop = import_module("gsparse.train.fit")  # the package's name is the function
    monkeypatch.setattr(loop, "_validate", lambda *_: next(seen))
    history = fit(model(), data, config=FitConfig(epochs=5), seed=87119)
    assert (history.best_epoch, history.val_score, history.val_loss) == (2, 0.8, 0.4)


def test_patience_counts_epochs_without_a_better_one(data):
    config = FitConfig(epochs=500, patience=7, lr=0.1)
    history = fit(model(), data, config=config, seed=60719)
    assert history.num_epochs == history.best_epoch + 7 < 500


def test_validating_seldom_changes_nothing_but_the_choice(data):
    """The same steps are taken; the best of the validated epochs is kept."""
    every, seldom = {}, {}
    for found, step in ((every, 1), (seldom, 4)):
        config = replace(SHORT, validate_every=step)
        net = model()
        note = lambda epoch, loss, score: found.update({epoch: (loss, score)})  # noqa: B023, E731
        history = fit(net, data, config=config, seed=70313, callback=note)
        assert evaluate(net, data, "val_mask") == history.val_score
    validated = [epoch for epoch, (_, score) in seldom.items() if score == score]
    assert validated == [4, 8, 12, 16, 20, 24, 28, 30]  # and the last one
    assert history.best_epoch in validated
    assert len(history.eval_seconds) == 8
    assert history.val_score == max(every[epoch][1] for epoch in validated)
    for epoch, (loss, _) in every.items():
        assert seldom[epoch][0] == pytest.approx(loss)


def test_patience_may_end_between_two_validations(data):
    config = FitConfig(epochs=500, patience=7, lr=0.1, validate_every=3)
    history = fit(model(), data, config=config, seed=60719)
    assert history.best_epoch % 3 == 0
    assert history.num_epochs == history.best_epoch + 7 < 500


def test_seed_decides_and_the_global_stream_does_not_move(data):
    torch.manual_seed(1009)
    expected = torch.rand(3)
    torch.manual_seed(1009)
    runs = []
    for seed in (11411, 11411, 90901):
        net = model()
        fit(net, data, config=SHORT, seed=seed)
        runs.append(net.layers[0].lin.weight.detach())
    assert torch.rand(3).equal(expected)
    torch.testing.assert_close(runs[0], runs[1])
    assert not torch.allclose(runs[0], runs[2])


def test_test_nodes_are_never_looked_at(data):
    """Without labels of test nodes the outcome is the same."""
    blind = data.clone()
    blind.y = data.y.clone()
    blind.y[data.test_mask] = -1
    nets = model(), model()
    for net, graph in zip(nets, (data, blind), strict=True):
        fit(net, graph, config=SHORT, seed=23993)
    torch.testing.assert_close(nets[0].state_dict(), nets[1].state_dict())


def test_sparse_and_dense_features_learn_alike(data):
    """Without dropout both runs compute the same numbers."""
    assert isinstance(prepare(data, "train_mask").x, SparseFeatures)
    shifted = data.clone()
    shifted.x = data.x + 1e-12  # nothing is zero: stays dense
    assert type(prepare(shifted, "train_mask").x) is torch.Tensor
    nets = []
    for graph in (data, shifted):
        with seeded(40763):
            net = GCN(30, 16, 3, dropout=0.0)
        fit(net, graph, config=SHORT, seed=1)
        nets.append(net(data.x, data.edge_index))
    torch.testing.assert_close(*nets, rtol=1e-3, atol=1e-3)


def test_features_are_converted_once(data):
    first = prepare(data, "train_mask").x
    assert prepare(data.clone(), "train_mask").x is not first
    assert prepare(data, "val_mask").x is first
    assert type(data.x) is torch.Tensor


def test_inductive(data):
    """Fitted on the graph of the training and validation nodes, tested on all."""
    train, full = inductive(data, include_val=True)
    net = model()
    history = fit(net, train, config=SHORT, seed=50131)
    assert history.val_score > 0.5
    assert evaluate(net, full, "test_mask") > 0.7
    only, _ = inductive(data)
    other = model()
    history = fit(other, only, eval_data=full, config=SHORT, seed=50131)
    assert evaluate(other, full, "val_mask") == history.val_score


def test_weight_decay_of_the_first_layer_only(data):
    """With nothing to learn from, Adam's decay moves decayed parameters alone."""
    flat = data.clone()
    flat.x = torch.zeros(150, 30)
    net = MLP(30, 16, 3, dropout=0.0)
    for layer in net.layers:
        torch.nn.init.zeros_(layer.bias)
    before = [layer.weight.detach().clone() for layer in net.layers]
    config = FitConfig(epochs=3, lr=0.01, weight_decay=0.1, decay_first_layer_only=True)
    last = {}
    fit(
        net,
        flat,
        config=config,
        callback=lambda *_: last.update(
            {i: layer.weight.detach().clone() for i, layer in enumerate(net.layers)}
        ),
    )
    assert last[0].norm() < before[0].norm()
    assert last[1].equal(before[1])


def weights_after(data, epochs, **options):
    """The weights of an MLP after so many epochs without dropout."""
    with seeded(61331):
        net = MLP(30, 16, 3, dropout=0.0)
    after = []
    config = FitConfig(epochs=epochs, patience=epochs, **options)
    fit(
        net,
        data,
        config=config,
        callback=lambda *_: after.append(
            [p.detach().clone() for p in net.parameters()]
        ),
    )
    return after[-1]


def by_hand(data, step, epochs):
    """The same loop in plain torch."""
    with seeded(61331):
        net = MLP(30, 16, 3, dropout=0.0)
    optimizer = step(net.parameters())
    for _ in range(epochs):
        optimizer.zero_grad()
        out = net(data.x, data.edge_index)
        cross_entropy(out[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
    return [p.detach() for p in net.parameters()]


OPTIMIZERS = {
    "adam": (
        {"lr": 0.01, "weight_decay": 0.1},
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1),
    ),
    "adamw": (
        {"lr": 0.01, "weight_decay": 0.1},
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    ),
    "sgd": (
        {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9},
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1, momentum=0.9),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_is_that_of_torch(data, name):
    options, step = OPTIMIZERS[name]
    after = weights_after(data, 4, optimizer=name, **options)
    for found, wanted in zip(after, by_hand(data, step, 4), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_adam_is_the_default(data):
    named = weights_after(data, 3, optimizer="adam")
    default = weights_after(data, 3)
    assert all(a.equal(b) for a, b in zip(named, default, strict=True))


def test_later_settings_show_only_when_they_say_something():
    """Published rows are known by this text."""
    assert repr(FitConfig()) == (
        "FitConfig(lr=0.01, weight_decay=0.0005, decay_first_layer_only=False, "
        "epochs=300, patience=100, metric='accuracy')"
    )
    config = FitConfig(optimizer="sgd", momentum=0.9)
    assert repr(config).endswith("metric='accuracy', optimizer='sgd', momentum=0.9)")
    assert eval(repr(config)) == config


def test_first_layer_of_a_wrapped_model(data):
    config = FitConfig(epochs=2, decay_first_layer_only=True)
    net = FastGAT(GAT(30, 4, 3, heads=2), sparsity=0.3, seed=71)
    assert fit(net, data, config=config).num_epochs == 2
    with pytest.raises(ValueError, match=r"needs a model with a ModuleList 'layers'"):
        fit(torch.nn.Linear(30, 3), data, config=config)


def test_roc_auc_is_the_metric_if_asked(data):
    binary = data.clone()
    binary.y = (data.y == 0).long()
    net = GCN(30, 16, 2)
    history = fit(net, binary, config=FitConfig(epochs=5, metric="roc_auc"))
    assert evaluate(net, binary, "val_mask", "roc_auc") == history.val_score


class TestRefusals:
    def test_missing_mask(self, data):
        bare = data.clone()
        del bare.train_mask
        with pytest.raises(ValueError, match=r"'data' must have 'train_mask' \(got \["):
            fit(model(), bare)

    def test_empty_mask(self, data):
        empty = data.clone()
        empty.val_mask = torch.zeros(150, dtype=torch.bool)
        with pytest.raises(ValueError, match=r"'val_mask' must not be empty"):
            fit(model(), empty)

    def test_several_splits_at_once(self, data):
        many = data.clone()
        many.train_mask = data.train_mask.unsqueeze(1).expand(-1, 10)
        with pytest.raises(ValueError, match=r"bool vector .*\[150, 10\].*one split"):
            fit(model(), many)

    def test_unlabelled_training_nodes(self, data):
        some = data.clone()
        some.y = data.y.clone()
        some.y[0] = -1
        with pytest.raises(ValueError, match=r"'train_mask' must hold labelled nodes"):
            fit(model(), some)

    def test_several_labels_per_node(self, data):
        multi = data.clone()
        multi.y = torch.zeros(150, 4)
        with pytest.raises(ValueError, match=r"'y' must hold one class number"):
            fit(model(), multi)

    def test_loss_that_is_not_a_number(self, data):
        broken = data.clone()
        broken.x = data.x.clone()
        broken.x[3, 4] = float("nan")
        with pytest.raises(RuntimeError, match=r"loss is nan after 1 .*learning rate"):
            fit(model(), broken)

    def test_unknown_metric(self, data):
        with pytest.raises(ValueError, match=r"'metric' must be one of .*'f1'"):
            FitConfig(metric="f1")
        with pytest.raises(ValueError, match=r"'metric' must be one of .*'f1'"):
            evaluate(model(), data, "test_mask", "f1")

    @pytest.mark.parametrize("name", ["lr", "epochs", "patience"])
    def test_not_positive(self, name):
        with pytest.raises(ValueError, match=rf"'{name}' must be positive \(got 0\)"):
            FitConfig(**{name: 0})

    @pytest.mark.parametrize("lr", [float("inf"), float("nan")])
    def test_learning_rates_that_are_no_number(self, lr):
        with pytest.raises(ValueError, match=rf"'lr' must be positive.*\(got {lr}\)"):
            FitConfig(lr=lr)

    @pytest.mark.parametrize("decay", [-1e-3, float("inf"), float("nan")])
    def test_weight_decay(self, decay):
        with pytest.raises(ValueError, match=rf"'weight_decay' .*\(got {decay}\)"):
            FitConfig(weight_decay=decay)

    @pytest.mark.parametrize("step", [0, 8])
    def test_validate_every(self, step):
        with pytest.raises(ValueError, match=rf"at most 'pat.* is 7 \(got {step}\)"):
            FitConfig(patience=7, validate_every=step)

    def test_unknown_optimizer(self):
        with pytest.raises(ValueError, match=r"one of adam, adamw, sgd \(got 'lion'\)"):
            FitConfig(optimizer="lion")

    def test_momentum(self):
        with pytest.raises(ValueError, match=r"'momentum' must be in .*\(got 1.0\)"):
            FitConfig(optimizer="sgd", momentum=1.0)
        with pytest.raises(
            ValueError, match=r"needs optimizer='sgd' \(got 0.9 with 'ad"
        ):
            FitConfig(momentum=0.9)


class Plain(torch.nn.Module):
    """What most people write: two arguments, and a layer that keeps its graph."""

    def __init__(self, cached=False):
        super().__init__()
        torch.manual_seed(409)
        self.first = GCNConv(30, 16, cached=cached)
        self.second = GCNConv(16, 3, cached=cached)

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


def test_a_model_of_two_arguments_is_fitted(data):
    net = Plain()
    fit(net, data, config=SHORT)
    assert evaluate(net, data, "test_mask") > 0.8
    expected = net.eval()(data.x, data.edge_index)
    torch.testing.assert_close(predict_logits(net, data), expected)
    part = fit(Plain(), data, config=replace(SHORT, epochs=2, hops=3))
    assert part.num_epochs == 2


def test_edge_features_are_no_weights(data):
    class Net(Plain):
        def forward(self, x, edge_index, edge_attr=None):
            assert edge_attr is given.get("edge_attr")
            return super().forward(x, edge_index)

    given = copy.copy(data)
    given.edge_weight = torch.rand(data.num_edges)
    with pytest.warns(UserWarning, match="'edge_weight' of the data is not used: Net"):
        fit(Net(), given, config=replace(SHORT, epochs=2))
    given.edge_attr = torch.rand(data.num_edges, 2)
    with pytest.warns(UserWarning, match="is not used"):
        evaluate(Net(), given, "test_mask")


@pytest.mark.parametrize("with_another", [False, True])
def test_layers_that_keep_their_graph_do_as_those_that_do_not(data, with_another):
    cut = RandomEdge(0.8, seed=71)(data)
    found = []
    for cached in (False, True):
        net = Plain(cached)
        with torch.no_grad():
            net(data.x, cut.edge_index)  # of somebody who used it before
        other = cut if with_another else None
        history = fit(net, data, config=replace(SHORT, epochs=10), eval_data=other)
        found.append([predict_logits(net, it) for it in (data, cut, data)])
        found[-1].append(torch.tensor([history.val_loss, history.val_score]))
        found[-1].append(net.first.lin.weight.detach())
        with torch.no_grad():
            found[-1].append(net(data.x, cut.edge_index))  # nothing was left behind
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(found[0][0], found[0][1], atol=1e-2)


def test_what_cannot_be_trained_or_reached_is_refused(data):
    net = model()
    with pytest.raises(TypeError, match=r"one homogeneous graph, .*got HeteroData"):
        fit(net, HeteroData())
    net.requires_grad_(False)
    with pytest.raises(
        ValueError, match=r"trainable parameter \(got 4 in GCN, none of which"
    ):
        fit(net, data)
    with pytest.raises(
        ValueError, match=r"trainable parameter \(got 0 in Identity, none"
    ):
        fit(torch.nn.Identity(), data)
    with pytest.raises(ValueError, match=r"on one device \(got meta and 'x' on cpu\)"):
        evaluate(model().to("meta"), data, "test_mask")
