"""Plots of pruned weights."""

import pytest
from matplotlib.figure import Figure

from gsparse.bench.tables.plot import _spread_out, plot_rows
from gsparse.bench.tables.rows import KEYS

BASE = dict.fromkeys(KEYS, "x") | {"num_layers": 2, "hidden": 16, "metric": "accuracy"}


def test_nines_are_equally_far_apart():
    axes = Figure().subplots()
    axes.plot([50, 99.5], [0, 1])
    _spread_out(axes, [90.0, 99.0, 99.9, 0.0])
    place = [axes.transData.transform((x, 0))[0] for x in (90, 99, 99.9)]
    assert place[1] - place[0] == pytest.approx(place[2] - place[1])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["90", "99", "99.9"]


def test_a_picture_of_many_pruners_is_written(tmp_path):
    rows = [
        BASE
        | {
            "method": "Dense",
            "config_hash": f"{name} {sparsity}",
            "sparsity": 0.0,
            "seed": 0,
            "val_score": 0.5,
            "test_score": 0.9 - sparsity / 10,
            "teacher": "none",
            "pruner": name,
            "weight_sparsity": sparsity,
        }
        for name in [None, *(f"P{i}" for i in range(12))]
        for sparsity in ((0.0,) if name is None else (0.5, 0.9, 0.99))
    ]
    plot_rows(rows, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
