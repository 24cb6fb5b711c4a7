"""Plots of pruned weights."""

import pytest
from matplotlib.figure import Figure

from gsparse.bench.tables.plot import _draw, _labels, _spread_out, plot_rows
from gsparse.bench.tables.rows import KEYS
from gsparse.bench.tables.summary import summarise

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


def run(method, score, **changes):
    sparsity = {"Dense": 0.0, "MLP": 1.0}.get(method, 0.5)
    row = BASE | {"method": method, "sparsity": sparsity, "seed": 0, "reweight": None}
    row |= {"teacher": "none", "val_score": score, "test_score": score} | changes
    return row | {"config_hash": f"{method} {changes}"}


def drawn(rows):
    axes, blocks = Figure().subplots(), summarise(rows)
    _draw(axes, blocks[0], rows, _labels(blocks))
    return axes


def test_a_curve_has_the_dots_of_its_own_seeds():
    rows = [run("KEdge", 0.7), run("KEdge", 0.4, training="rest")]
    found = drawn(rows)
    dots = [it.get_offsets()[:, 1].tolist() for it in found.collections[1::2]]
    assert dots == [[70.0], [40.0]]


def test_distilled_models_have_names_of_their_own():
    rows = [
        run(name, 0.5, teacher=teacher)
        for name in ("Dense", "MLP")
        for teacher in ("none", "weights")
    ]
    labels = drawn(rows).get_legend_handles_labels()[1]
    assert sorted(labels) == ["Dense", "Dense d", "MLP", "MLP d"]
