"""Both loops fit the same model: the same accuracy, rows for each fit."""

from dataclasses import replace

import pytest
import torch

from gsparse.bench.contests import sparse_features
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.plain_pyg import PlainModel
from gsparse.data import load
from gsparse.train import recipe


@pytest.mark.parametrize("model", ["gcn", "gat"])
def test_the_plain_model_computes_what_ours_computes(model):
    data, chosen = load("digits"), recipe("digits", model)
    ours = chosen.build(data, 0).eval()
    plain = PlainModel(chosen, data.x.size(1), 10).eval()
    plain.load_state_dict(ours.state_dict())
    torch.testing.assert_close(
        plain(data.x, data.edge_index),
        ours(data.x, data.edge_index),
        rtol=1e-4,
        atol=1e-4,
    )


def test_both_learn():
    fits = sparse_features.fits(load("digits"), recipe("digits", "gcn"), epochs=40)
    contest = replace(sparse_features.CONTEST, contenders=lambda _: fits, toy=None)
    rows = compare(contest, Problem("digits", "gcn", repeats=2))
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("PyG", 0),
        ("PyG", 1),
        ("gsparse", 0),
        ("gsparse", 1),
    ]
    assert all(row["test_accuracy"] > 0.85 for row in rows)
    assert all(row["max_epochs"] == 40 for row in rows)
