"""Both loops fit the same model: the same accuracy, rows for each fit."""

import pytest
import torch

from gsparse.bench.contests import sparse_features
from gsparse.bench.contests.sparse_features import PlainModel, compare
from gsparse.bench.tables.rows import read_rows
from gsparse.data import load
from gsparse.train import recipe


@pytest.mark.parametrize("model", sparse_features.MODELS)
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
    found = compare(load("digits"), recipe("digits", "gcn"), epochs=40, seeds=[0, 1])
    assert [r.contender for r in found] == ["gsparse", "PyG", "PyG", "gsparse"]
    assert all(result.test_score > 0.85 for result in found)


def test_rows_and_report(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    words = ["--dataset", "digits", "--epochs", "2", "--seeds", "2", "--out", str(out)]
    sparse_features.main(words)
    rows = read_rows(out)
    assert sorted((r["method"], r["seed"]) for r in rows) == [
        ("PyG", 0),
        ("PyG", 1),
        ("gsparse", 0),
        ("gsparse", 1),
    ]
    assert "ratio" in capsys.readouterr().out
