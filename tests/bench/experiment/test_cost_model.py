"""Seconds from sizes: monotone, and None where nothing is known."""

from dataclasses import replace

import pytest

from gsparse.bench import Config
from gsparse.bench.experiment import cost_model
from gsparse.bench.experiment.cost_model import (
    epoch_seconds,
    rough_seconds,
    times_dense,
)
from gsparse.bench.experiment.methods import methods
from gsparse.train.by_name import weight_methods

CONFIG = Config("PubMed", "public", "gat", "Dense", 0.0)


@pytest.mark.parametrize("place", range(3))
def test_larger_graphs_take_longer(place):
    sizes = [1000, 5000, 20]
    before = epoch_seconds(CONFIG, *sizes)
    sizes[place] *= 2
    assert epoch_seconds(CONFIG, *sizes) > before


def test_an_mlp_does_not_see_the_edges():
    mlp = replace(CONFIG, model="mlp", method="MLP", sparsity=1.0)
    assert epoch_seconds(mlp, 100, 10**9, 5) == epoch_seconds(mlp, 100, 0, 5)


def test_dense_runs_are_the_unit():
    assert times_dense(CONFIG) == 1
    cut = replace(CONFIG, method="RandomEdge", sparsity=0.5)
    assert rough_seconds(cut) == pytest.approx(rough_seconds(CONFIG) * times_dense(cut))
    assert times_dense(replace(cut, training="rest")) < 0.1


def test_fewer_epochs_take_less():
    assert rough_seconds(replace(CONFIG, epochs=3)) < rough_seconds(CONFIG) / 50


@pytest.mark.parametrize(
    "changes",
    [{"device": "cuda"}, {"graph_fingerprint": "x"}, {"model": "a:b"}, {"hops": 2}],
)
def test_nothing_is_guessed_about_what_is_not_known(changes):
    assert rough_seconds(replace(CONFIG, **changes)) is None


def test_every_slow_method_exists():
    assert cost_model.TIMES.keys() <= methods().keys() | weight_methods().keys()
