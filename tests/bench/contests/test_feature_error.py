"""Errors of features: zero on the full graph, larger with fewer edges."""

import pytest
import torch

from gsparse.bench.contests import feature_error
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.data import load
from gsparse.train import recipe


def test_outputs_are_those_of_the_first_layer_and_of_the_model():
    data = load("digits")
    model = recipe("digits", "gat").build(data, 0)
    first, last = feature_error.outputs(model, data)
    torch.testing.assert_close(first, model.layers[0](data.x, data.edge_index))
    torch.testing.assert_close(last, model.eval()(data.x, data.edge_index))


def test_distance_by_hand():
    found, expected = torch.tensor([[3.0, 0.0]]), torch.tensor([[3.0, 4.0]])
    assert feature_error.distance(found, expected) == pytest.approx(0.8)


def test_error_grows_with_epsilon():
    rows = compare(feature_error.CONTEST, Problem("digits", repeats=2, quick=True))
    assert [row["epsilon"] for row in rows] == [0.1, 0.1, 0.1, 0.9, 0.9, 0.9]
    used = [row for row in rows if row["method"].endswith("used")]
    assert 0 < used[0]["output_error"] < used[1]["output_error"]
    assert used[0]["sparsity"] < used[1]["sparsity"]
    assert 0 < used[1]["output_error_std"] < used[1]["output_error"]
    assert used[0]["num_samples"] == 2
