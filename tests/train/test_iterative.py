"""Weights pruned and rewound in rounds, and fitting with a pruner."""

import copy
from functools import partial

import pytest
import torch

from gsparse.data import planted_partition, split
from gsparse.edges import budget
from gsparse.prune import CubicSchedule, Magnitude, Pruner, RandomWeight, RoundsSchedule
from gsparse.train import GCN, FitConfig, WeightLottery, fit

DATA = split(planted_partition(120, num_classes=2, seed=33107), "random", seed=33107)
SHORT = FitConfig(epochs=8, patience=8)


@pytest.fixture
def model():
    torch.manual_seed(71593)
    return GCN(DATA.num_features, 8, 2)


def first_weight(pruner):
    return pruner.masks.parameters()["layers.0.lin.weight"]


def test_rounds_reach_the_budget_and_rewind_to_the_first_weights(model, monkeypatch):
    seen = []
    before = copy.deepcopy(model.state_dict())

    def watched(module, *args, **kwargs):
        seen.append({k: v.clone() for k, v in module.state_dict().items()})
        return fit(module, *args, **kwargs)

    monkeypatch.setattr("gsparse.train.iterative.fit", watched)
    ticket = WeightLottery(0.8, num_rounds=3, config=SHORT)(model, DATA)
    total = first_weight(ticket.pruner).numel()
    assert ticket.pruner.report().num_kept == budget(total, 0.8)
    assert len(seen) == len(ticket.rounds) == 4
    for state in seen:  # every round begins with the same weights
        for name, value in before.items():
            assert state[name].equal(value)
    kept = [int(s["layers.0.lin.weight_masks.weight.keep"].sum()) for s in seen]
    part = 0.2 ** (1 / 3)
    assert kept == [round(total * part**k) for k in range(4)]


def test_without_rewinding_weights_train_on(model, monkeypatch):
    seen = []

    def watched(module, *args, **kwargs):
        history = fit(module, *args, **kwargs)
        seen.append(copy.deepcopy(module.state_dict()))
        return history

    monkeypatch.setattr("gsparse.train.iterative.fit", watched)
    WeightLottery(0.5, num_rounds=1, rewind=None, config=SHORT)(model, DATA)
    gone = ~seen[1]["layers.0.lin.weight_masks.weight.keep"]
    first, second = (state["layers.0.lin.weight"] for state in seen)
    assert not first.equal(second)
    assert first[~gone].abs().min() >= first[gone].abs().max()


def test_rewinding_to_early_weights(model, monkeypatch):
    start = []

    def watched(module, data, *, config, seed):
        start.append((config.epochs, copy.deepcopy(module.state_dict())))
        return fit(module, data, config=config, seed=seed)

    monkeypatch.setattr("gsparse.train.iterative.fit", watched)
    WeightLottery(0.5, num_rounds=1, rewind=3, config=SHORT)(model, DATA)
    assert [epochs for epochs, _ in start] == [3, 8, 8]
    first, last = start[0][1]["layers.0.lin.weight"], start[2][1]["layers.0.lin.weight"]
    assert not last.equal(first)


def test_other_criteria_and_schedules(model):
    prune = partial(Pruner, criterion=RandomWeight(seed=3))
    find = WeightLottery(
        0.6, num_rounds=2, config=SHORT, prune=prune, schedule=RoundsSchedule(2)
    )
    ticket = find(model, DATA)
    assert ticket.pruner.criterion == RandomWeight(seed=3)
    assert ticket.pruner.report().sparsity == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_rounds": 0}, r"'num_rounds' must be at least 1 \(got 0\)"),
        ({"rewind": 8}, r"below the epochs of a round, 8 \(got 8\)"),
        ({"sparsity": 1.0}, r"'sparsity' must be in \[0, 1\) \(got 1.0\)"),
    ],
)
def test_refusals(options, text):
    with pytest.raises(ValueError, match=text):
        WeightLottery(**{"sparsity": 0.5, "config": SHORT} | options)


class TestFitWithAPruner:
    def test_no_epoch_before_the_target_is_chosen(self, model):
        pruner = Pruner(
            model, Magnitude(), sparsity=0.9, schedule=CubicSchedule(start=1, end=6)
        )
        history = fit(model, DATA, config=SHORT, pruner=pruner)
        assert history.best_epoch >= 6
        assert pruner.report().sparsity == pytest.approx(0.9, abs=0.01)
        assert pruner.done

    def test_patience_waits_for_the_target(self, model):
        pruner = Pruner(
            model, Magnitude(), sparsity=0.9, schedule=CubicSchedule(start=1, end=6)
        )
        config = FitConfig(lr=1e-9, epochs=30, patience=1)
        history = fit(model, DATA, config=config, pruner=pruner)
        assert 6 <= history.num_epochs <= 12

    def test_a_schedule_that_is_too_long_is_an_error(self, model):
        pruner = Pruner(
            model, Magnitude(), sparsity=0.9, schedule=CubicSchedule(start=1, end=60)
        )
        text = (
            r"Pruner\(Magnitude\(\), sparsity=0.9\) has not reached its sparsity "
            "within 8 epochs"
        )
        with pytest.raises(RuntimeError, match=text):
            fit(model, DATA, config=SHORT, pruner=pruner)

    def test_the_penalty_and_the_samples_are_averaged(self, model):
        pruner, drawn = Pruner(model, Magnitude(), sparsity=0.5), []

        class Two(type(pruner)):
            num_samples = 2

            def penalty(self):
                drawn.append(1)
                return super().penalty() + 1.0

        pruner.__class__ = Two
        losses = []
        config = FitConfig(epochs=1, lr=1e-9)
        record = lambda epoch, loss, score: losses.append(loss)  # noqa: E731
        model.dropout = 0.0
        fit(model, DATA, config=config, pruner=pruner, callback=record)
        fit(model, DATA, config=config, callback=record)
        assert len(drawn) == 2
        assert losses[0] == pytest.approx(losses[1] + 1)


def test_a_criterion_alone_is_no_way_to_prune():
    with pytest.raises(TypeError, match=r"criterion, Magnitude\); use partial\(Pruner"):
        WeightLottery(0.9, prune=Magnitude)
