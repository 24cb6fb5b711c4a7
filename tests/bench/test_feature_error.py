"""Errors of features: zero on the full graph, larger with fewer edges."""

import pytest
import torch

from gsparse.bench import feature_error
from gsparse.bench.tables.rows import read_rows
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


def test_error_grows_with_epsilon(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    words = ["--graphs", "digits", "--epsilons", "0.1,0.9", "--seeds", "2"]
    assert feature_error.main([*words, "--out", str(out)]) == 0
    rows = read_rows(out)
    assert len(rows) == 6
    used = [row for row in rows if row["method"].endswith("used")]
    assert 0 < used[0]["output_error"] < used[1]["output_error"]
    assert used[0]["sparsity"] < used[1]["sparsity"]
    assert "eps 0.9" in capsys.readouterr().out
