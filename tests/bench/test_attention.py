"""The attention benchmark compares equal computations and records its settings."""

import json

import pytest
import torch

from gsparse.bench import attention


@pytest.mark.parametrize("shape", ["2x3", "v2:2x3"])
def test_contenders_compute_the_same(shape):
    x, edge_index = torch.randn(20, 64), torch.randint(20, (2, 90))
    names = [c for c in attention.CONTENDERS if "v2" not in shape or c != "reference"]
    layers = [attention.make_contender(c, shape, 64, edge_index) for c in names]
    expected = layers[0](x)
    for layer in layers[1:]:
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_bytes_of_a_step_by_hand():
    """Per edge: a row of 6, 2 scores, an id; then a row, 6 scores, an id."""
    edge_index = torch.zeros(2, 10, dtype=torch.long)
    found = attention.gather_bytes(torch.zeros(5, 1), edge_index, 2, 3)
    assert found == 15 * 4 * ((6 + 2 + 1) + (6 + 6 + 1))


def test_rows_and_table(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(attention.SYNTHETIC, "tiny", (50, 300))
    out = tmp_path / "rows.jsonl"
    arguments = ["--graphs", "tiny", "--shapes", "2x3", "--rounds", "1"]
    assert attention.main([*arguments, "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["method"] for row in rows] == list(attention.CONTENDERS)
    assert all(row["train_step_seconds"] > 0 for row in rows)
    assert all(row["num_edges"] == 300 for row in rows)
    table = capsys.readouterr().out
    assert "a copy moves" in table
    assert table.count("tiny") == 3


def test_large_graphs_are_ours_alone(monkeypatch):
    monkeypatch.setattr(attention, "TOO_MANY", 10)
    x, edge_index = torch.randn(20, 4), torch.randint(20, (2, 90))
    rows = attention.compare("g", "2x3", x, edge_index, attention.CONTENDERS, 1)
    assert [row["method"] for row in rows] == ["ours"]
