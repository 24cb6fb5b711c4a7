"""Contract tests of methods in experiments: a declaration is all that a run needs."""

import inspect
from typing import get_args

import pytest
import torch

from gsparse import nn, prune, transforms
from gsparse.bench import Config, Workspace, run_one
from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.methods import default_reweight, methods
from gsparse.edges import EdgeMethod, EdgeNeed, EdgeWhen
from gsparse.nn.by_name import edge_wrappers, learned_masks
from gsparse.nn.learned_mask import LearnedMask
from gsparse.train.by_name import lotteries, public_weight_methods, weight_methods
from gsparse.train.pruning_variants import VARIANTS
from gsparse.transforms.base import EdgeSparsifier
from gsparse.transforms.by_name import sparsifiers

EDGES, WEIGHTS = methods(), weight_methods()


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def workspace():
    return Workspace()


def run_edges(method, workspace):
    grid = configs(["digits"], ["gcn"], [method], [0.5], epochs=1)
    config = next(it for it in grid if it.method == method)
    return run_one(config, 3, workspace)


def run_weights(pruner, workspace):
    config = Config(
        "digits",
        "random-5-30",
        "gcn",
        "Dense",
        0.0,
        epochs=4,
        pruner=pruner,
        weight_sparsity_target=0.75,
    )
    return run_one(config, 3, workspace)


def test_families_of_edge_methods_share_no_name():
    families = (sparsifiers(), edge_wrappers(), lotteries("edges"))
    assert len(EDGES) == sum(map(len, families))
    assert set(learned_masks()) <= set(edge_wrappers())


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_method_declares_itself(name):
    method = EDGES[name]
    takes = set(inspect.signature(method).parameters)
    assert issubclass(method, EdgeMethod)
    assert isinstance(method.revision, int)
    assert method.revision >= 1
    assert method.when in get_args(EdgeWhen)
    assert isinstance(method.needs, tuple)
    assert set(method.needs) <= set(get_args(EdgeNeed))
    assert set(method.needs) - {"logits", "model"} <= takes
    reads = bool(set(method.needs) & {"logits", "model"})
    assert reads == (method.when == "trained")
    assert method.reweights == ("reweight" in takes)
    assert method.takes_scope == ("scope" in takes)
    assert {type(method.cuts), type(method.trains)} == {bool}


@pytest.mark.parametrize("name", EDGES)
def test_an_edge_method_runs_from_its_declaration(name, workspace):
    row = run_edges(name, workspace)
    removed = 0.5 if EDGES[name].cuts else 0.0
    assert row["sparsity"] == pytest.approx(removed, abs=1e-4)
    assert row["teacher"] == ("edges" if uses_a_teacher(EDGES[name]) else "none")
    assert 0 < row["test_score"] <= 1


def uses_a_teacher(method):
    learned = issubclass(method, LearnedMask)
    return learned or method.when == "trained"


def test_variants_are_no_public_methods_but_for_shorter_ones():
    assert set(WEIGHTS) == set(public_weight_methods()) | set(VARIANTS)
    assert set(public_weight_methods()) & set(VARIANTS) == {"WeightLottery"}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_weight_method_runs_from_its_declaration(name, workspace):
    row = run_weights(name, workspace)
    assert row["weight_sparsity"] == pytest.approx(0.75, abs=1e-3)
    assert ("val_score_untrained" in row) != WEIGHTS[name].trains_after
    assert 0 < row["test_score"] <= 1


def test_new_weights_follow_the_default_of_fast_gat():
    own = inspect.signature(nn.FastGAT).parameters["reweight"].default
    assert default_reweight("EffectiveResistance", "gat") is own
    assert default_reweight("EffectiveResistance", "gcn") is True
    assert default_reweight("RandomEdge", "gat") is None


class Parity(EdgeSparsifier):
    """Keeps edges between nodes of one parity; made up."""

    def pair_importance(self, data, pairs, weight):
        return ((pairs.row + pairs.col) % 2 == 0).double()


class LossTimesInput(prune.Criterion):
    """Uses several quantities of a run; made up."""

    when = "fresh"
    needs = ("loss", "example", "num_steps", "seed")

    def __init__(self, loss, example, num_steps, seed):
        assert num_steps == 4
        assert seed == 3
        self.loss, self.example = loss, example

    def importances(self, masks):
        scale = self.loss().detach() * self.example[0].size(1)
        return {name: it.abs() * scale for name, it in masks.weights().items()}


class HalfAtOnce(prune.WeightPruner):
    """Removes weights by position during training; made up."""

    when = "training"
    needs = ("num_steps",)
    done = False

    def __init__(self, model, *, sparsity, num_steps):
        super().__init__(model, sparsity=sparsity)
        self.end = num_steps

    def step(self):
        self.num_steps += 1
        if self.num_steps == self.end:
            self.finalize()

    def finalize(self):
        for name in self.masks.targets:
            keep = self.masks[name].flatten()
            keep[: round(self.sparsity * keep.numel())] = False
            self.masks[name] = keep.view_as(self.masks[name])
        self.done = True


def publish(monkeypatch, room, thing):
    monkeypatch.setattr(room, thing.__name__, thing, raising=False)
    monkeypatch.setattr(room, "__all__", [*room.__all__, thing.__name__])


def test_a_new_sparsifier_needs_no_list_but_all(monkeypatch, workspace):
    publish(monkeypatch, transforms, Parity)
    assert run_edges("Parity", workspace)["sparsity"] == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize("thing", [LossTimesInput, HalfAtOnce])
def test_a_new_weight_method_needs_no_list_but_all(thing, monkeypatch, workspace):
    publish(monkeypatch, prune, thing)
    row = run_weights(thing.__name__, workspace)
    assert row["weight_sparsity"] == pytest.approx(0.75, abs=1e-3)
    assert ("prune_epoch_seconds" in row) == (thing is HalfAtOnce)
