"""Incremental tasks: forgetting, kept scores, and storage."""

import copy

import pytest
import torch
from torch import nn
from torch_geometric.nn import GCNConv

from gsparse.data import planted_partition, split
from gsparse.nn.calling import Arguments
from gsparse.train import GCN, FitConfig, predict_logits
from gsparse.train.incremental.fit_tasks import METHODS, TaskScores, fit_tasks
from gsparse.train.incremental.rank_update import RankUpdate
from gsparse.train.incremental.task_heads import AllTasks, SeparateModels, TaskHeads
from gsparse.train.incremental.tasks import class_tasks

DATA = split(planted_partition(360, num_classes=6, seed=83203), "random", seed=83203)
TASKS = class_tasks(DATA, 3, seed=83203)
SHORT = FitConfig(epochs=12, patience=12)


def make(**options):
    torch.manual_seed(40127)
    return GCN(DATA.num_features, 16, 6, **options)


def run(method, callback=None, **options):
    if method == "RankUpdate":
        options = {"rank": 4} | options
    model = options.pop("model", None) or make()
    options = {"config": SHORT, "seed": 59441, "callback": callback} | options
    return fit_tasks(method, model, TASKS, **options)


@pytest.mark.parametrize("method", METHODS)
def test_shapes_and_ranges(method):
    found = run(method)
    rows = 1 if method == "Joint" else 3
    wanted = [3] if method == "Joint" else [1, 2, 3]
    assert [len(row) for row in found.scores] == wanted
    assert [len(row) for row in found.val_scores] == wanted
    assert len(found.best_epochs) == rows
    assert all(0 <= score <= 1 for row in found.scores for score in row)
    assert found.mean > 0.6


@pytest.mark.parametrize("method", ["RankUpdate", "Separate", "FrozenBody"])
def test_nothing_is_forgotten_where_nothing_changes(method):
    found = run(method)
    assert found.forgetting == 0.0
    assert found.output_change == 0.0
    for before, after in zip(found.scores, found.scores[1:], strict=False):
        assert after[: len(before)] == before


def test_fine_tuning_changes_what_earlier_tasks_say():
    found = run("FineTune")
    assert found.output_change > 0.1


def test_forgetting_by_hand():
    scores = [[0.9], [0.5, 0.8], [0.4, 0.7, 1.0]]
    found = TaskScores(scores, [], 0, [], 0.0, 0.0)
    assert found.final == [0.4, 0.7, 1.0]
    assert found.forgetting == pytest.approx((0.5 + 0.1) / 2)
    assert TaskScores([[0.9]], [], 0, [], 0.0, 0.0).forgetting == 0.0
    assert TaskScores([[0.9, 0.8]], [], 0, [], 0.0, 0.0).forgetting == 0.0


def test_storage_by_hand():
    n, m = DATA.num_features, 16
    heads = 3 * (m + 1) * 2
    assert run("Separate").storage == 3 * (n * m + m) + heads
    for method in ("FineTune", "FrozenBody", "Joint"):
        assert run(method).storage == n * m + m + heads
    ours = run("RankUpdate", rank=4, rank_per_task=2).storage
    assert ours == (n + m) * (4 + 2 * 2) + (4 + 6 + 8) + 3 * m + heads


def test_the_masks_named_are_scored():
    found = run("Separate", mask="val_mask")
    assert found.scores == found.val_scores


def test_the_learner_is_shown_after_each_task():
    seen = []
    run("RankUpdate", callback=lambda count, model: seen.append((count, model)))
    assert [count for count, _ in seen] == [1, 2, 3]
    assert all(isinstance(model, RankUpdate) for _, model in seen)


def test_the_model_is_not_changed_and_the_seed_decides():
    model = make()
    before = copy.deepcopy(model.state_dict())
    first, second = (run("RankUpdate", model=model) for _ in range(2))
    assert first.scores == second.scores
    for key, value in model.state_dict().items():
        assert value.equal(before[key])


class TestTaskHeads:
    def test_a_frozen_body_and_its_statistics_stand_still(self):
        model = TaskHeads(make(batch_norm=True), freeze=True)
        model.add_task(2)
        model.add_task(3)
        before = copy.deepcopy(model.model.layers[0].state_dict())
        trained = [p for p in model.parameters() if p.requires_grad]
        assert {id(p) for p in trained} == {id(p) for p in model.tasks[1].parameters()}
        model.train()
        model(DATA.x, DATA.edge_index)
        for key, value in model.model.layers[0].state_dict().items():
            assert value.equal(before[key])
        assert model.model.layers[1].training

    def test_a_shared_body_is_trained_with_the_newest_head(self):
        model = TaskHeads(make())
        model.add_task(2)
        model.add_task(3)
        frozen = {id(p) for p in model.parameters() if not p.requires_grad}
        assert frozen == {id(p) for p in model.tasks[0].parameters()}

    def test_selecting_brings_the_output_layer_back(self):
        model = TaskHeads(make()).eval()
        model.add_task(2)
        before = predict_logits(model, DATA)
        model.add_task(4)
        assert predict_logits(model, DATA).shape == (360, 4)
        assert predict_logits(model.select(0), DATA).equal(before)

    def test_refuses_a_task_that_is_not_there(self):
        with pytest.raises(ValueError, match=r"one of the 0 tasks .*\(got 0\)"):
            TaskHeads(make()).select(0)


def test_separate_models_share_nothing():
    model = SeparateModels(make())
    for _ in range(2):
        model.add_task(2)
    first, second = model.tasks
    shared = {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    assert not shared
    assert first.layers[0].lin.weight.equal(second.layers[0].lin.weight)
    assert all(p.requires_grad for p in second.parameters())
    assert not any(p.requires_grad for p in first.parameters())


def test_joint_scores_are_those_of_each_task_and_the_lowest_beside_them():
    heads = TaskHeads(make()).eval()
    for num_classes in (3, 2):
        heads.add_task(num_classes)
    arguments = Arguments((DATA.x, DATA.edge_index, None), {})
    out = AllTasks(heads, [arguments, arguments])(None)
    assert out.shape == (720, 3)
    assert out[:360].equal(heads.select(0)(*arguments.args))
    assert out[360:, :2].equal(heads.select(1)(*arguments.args))
    assert (out[360:, 2] == torch.finfo(torch.float32).min).all()
    loss = nn.functional.cross_entropy(out, torch.zeros(720, dtype=torch.long))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in heads.model.parameters())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "Replay"}, r"'method' must be one of .*\(got 'Replay'\)"),
        ({"method": "Joint", "rank": 3}, r"only RankUpdate takes .*\(got \['rank'\]\)"),
        ({"method": "Joint", "tasks": []}, r"'tasks' must not be empty"),
    ],
)
def test_refusals(options, text):
    options = {"tasks": TASKS} | options
    with pytest.raises(ValueError, match=text):
        fit_tasks(options.pop("method"), make(), **options)


@pytest.mark.parametrize("method", METHODS)
def test_models_of_two_arguments_that_keep_their_graph_learn_tasks(method):
    class Net(torch.nn.Module):
        def __init__(self, cached):
            super().__init__()
            torch.manual_seed(8)
            self.first = GCNConv(DATA.num_features, 8, cached=cached)
            self.last = GCNConv(8, 6, cached=cached)

        def forward(self, x, edge_index):
            return self.last(self.first(x, edge_index).relu(), edge_index)

    options = {"rank": 2} if method == "RankUpdate" else {}
    found = [
        fit_tasks(method, Net(cached), TASKS, config=FitConfig(epochs=4), **options)
        for cached in (False, True)
    ]
    assert found[0].scores == found[1].scores
    assert found[0].val_scores == found[1].val_scores
