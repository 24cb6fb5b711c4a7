"""Distillation: the formula, and a model that learns from another one."""

import pytest
import torch

from gsparse.data import planted_partition, split
from gsparse.train import MLP, Distillation, FitConfig, fit, predict_logits


def test_the_term_is_the_divergence_times_the_squared_temperature():
    teacher, student = torch.randn(7, 3), torch.randn(7, 3, requires_grad=True)
    term = Distillation(teacher, weight=0.5, temperature=2.0).loss(student)
    p, q = (teacher / 2).softmax(1), (student / 2).softmax(1)
    expected = 0.5 * 4 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(term, expected)
    assert Distillation(teacher).loss(teacher).item() == pytest.approx(0, abs=1e-6)


def test_hard_targets_are_classes():
    teacher, student = torch.randn(7, 3), torch.randn(7, 3)
    term = Distillation(teacher, weight=0.3, hard=True).loss(student)
    own = student.log_softmax(1)
    expected = -0.3 * own[torch.arange(7), teacher.argmax(1)].mean()
    torch.testing.assert_close(term, expected)


def test_all_nodes_are_learned_from():
    data = planted_partition(300, num_classes=3, seed=29)
    data = split(data, "random", seed=29)
    torch.manual_seed(2)
    model = MLP(data.num_features, 32, 3, dropout=0.0)
    scores = torch.zeros(300, 3)
    scores[torch.arange(300), (data.y + 1) % 3] = 8.0  # not what the labels say
    config = FitConfig(lr=0.02, weight_decay=0.0, epochs=80, patience=80)
    fit(model, data, config=config, distill=Distillation(scores, weight=20.0))
    found = predict_logits(model, data).argmax(1)
    rest = ~(data.train_mask | data.val_mask)
    agree = (found[rest] == scores.argmax(1)[rest]).double().mean()
    assert agree > (found[rest] == data.y[rest]).double().mean()


def test_class_scores_leave_the_mode_alone():
    data = planted_partition(50, num_classes=2, seed=29)
    model = MLP(data.num_features, 8, 2, dropout=0.9).train()
    assert torch.equal(predict_logits(model, data), predict_logits(model, data))
    assert model.training


def test_refusals():
    scores = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r"'weight' must not be negative \(got -1\)"):
        Distillation(scores, weight=-1)
    with pytest.raises(ValueError, match="'temperature' must be positive"):
        Distillation(scores, temperature=0.0)
    with pytest.raises(ValueError, match=r"got \[4, 2\], expected \[5, 2\]"):
        Distillation(scores).loss(torch.zeros(5, 2))
