"""The attention contest compares like with like, and counts the bytes it says."""

import pytest
import torch

from gsparse.bench.contests import attention
from gsparse.bench.contests.contest import Problem

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", ["2x3", "v2:2x3"])
def test_contenders_compute_the_same(shape):
    x, edge_index = torch.randn(20, 64), torch.randint(20, (2, 90))
    layers = attention.make_layers(shape, 64, edge_index, CPU)
    assert len(layers) == (2 if "v2" in shape else 3)
    expected = layers["pyg"](x)
    for layer in layers.values():
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_bytes_of_a_step_by_hand():
    """Per edge: a row of 6, 2 scores, an id; then a row, 6 scores, an id."""
    edge_index = torch.zeros(2, 10, dtype=torch.long)
    found = attention.gather_bytes(torch.zeros(5, 1), edge_index, 2, 3)
    assert found == 15 * 4 * ((6 + 2 + 1) + (6 + 6 + 1))


def test_large_graphs_are_ours_alone(monkeypatch):
    problem = Problem("tiny", "2x3")
    found = attention.contenders(problem)
    names = ["pyg", "reference", "ours", "pyg compiled"]
    assert [c.method for c in found] == names
    assert [c.compiles for c in found] == [False, False, False, True]
    quick = attention.contenders(Problem("tiny", "2x3", quick=True))
    assert [c.method for c in quick] == names[:3]
    assert found[0].facts["num_edges"] == 4000
    monkeypatch.setattr(attention, "TOO_MANY", 10)
    assert [c.method for c in attention.contenders(problem)] == ["ours"]


def test_the_summary_compares_with_a_copy():
    row = {"method": "ours", "shape": "8x8", "train_step_seconds": 2.0}
    row |= {"gather_bytes": 10e9, "copy_bytes_per_second": 20e9}
    text = attention.summary([row])
    assert text == "a copy moves 20.0 GB/s; 8x8: ours 5.0 GB/s, 25%"
