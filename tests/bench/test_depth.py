"""The depth table: comparisons and verdicts."""

import pytest

from gsparse.bench.papers import kedge_depth
from gsparse.bench.tables.rows import KEYS, append_row

SCORES = {
    ("plain", "Dense"): 0.40,
    ("plain", "DropEdge"): 0.62,
    ("plain", "KEdge"): 0.63,
    ("plain", "RandomEdge"): 0.1,
    ("identity", "Dense"): 0.50,
    ("identity", "DropEdge"): 0.72,
    ("identity", "KEdge"): 0.72,
    ("identity", "RandomEdge"): 0.1,
    ("batch-norm", "Dense"): 0.57,
    ("batch-norm", "DropEdge"): 0.77,
    ("batch-norm", "KEdge"): 0.79,
    ("batch-norm", "RandomEdge"): 0.1,
}


def write_rows(out, found=SCORES, quick=False):
    for task in kedge_depth.runs(quick):
        config = task.config
        score = found[config.backbone, config.method] + 0.01 * task.seed
        if config.num_layers < 16:
            score = 0.1  # nothing is asked of shallow models
        wobble = 0.005 * (task.seed % 2) * (config.method == "KEdge")
        row = dict.fromkeys(KEYS, "x") | {
            "dataset": config.dataset,
            "method": config.method,
            "num_layers": config.num_layers,
            "backbone": config.backbone,
            "seed": task.seed,
            "config_hash": config.hash,
            "sparsity": config.sparsity,
            "val_score": score,
            "test_score": score + wobble,
        }
        append_row(out / "depth.jsonl", row)


def failed(out, quick=False):
    found = kedge_depth.findings(out, quick)
    return {it.claim for it in found if not it.holds}


def test_the_whole_table():
    cells = {}
    for task in kedge_depth.runs(quick=False):
        config = task.config
        key = (config.num_layers, config.backbone, config.method, config.sparsity)
        cells.setdefault(key, set()).add(task.seed)
        assert config.teacher == ("edges" if config.method == "KEdge" else "none")
        cut = config.method in ("KEdge", "RandomEdge")
        assert config.drop_edge == (0.5 if cut else None)
    control = {key for key in cells if key[2] == "RandomEdge"}
    assert {key[0] for key in control} == {16, 32}
    assert len(cells) == 5 * 3 * 3 + 2 * 3
    for key, seeds in cells.items():
        assert seeds == set(range(3 if key in control else 5))
    assert (32, "plain", "KEdge", 0.5) in cells
    assert (16, "batch-norm", "DropEdge", 0.7) in cells


def test_differences_by_hand(tmp_path):
    write_rows(tmp_path)
    found = {it.claim: it for it in kedge_depth.findings(tmp_path, quick=False)}
    assert len(found) == 2 * (2 * 3 + 1)
    assert all(it.holds for it in found.values())
    wobble = 2 * 0.5 / 5  # of five seeds two have it
    assert found["16, plain: less DropEdge"].ours == pytest.approx(1 + wobble)
    assert found["32, batch-norm: above Dense"].ours == pytest.approx(22 + wobble)
    assert found["16, plain: above Dense"].ours == pytest.approx(23 + wobble)
    published = found["32: beside DropEdge's paper"]
    assert (published.wanted, published.source) == (77.0, "paper")
    assert published.ours == pytest.approx(79 + 2 + wobble)  # the better backbone


@pytest.mark.parametrize(
    ("cell", "score", "claim"),
    [
        (("plain", "KEdge"), 0.610, "16, plain: less DropEdge"),
        (("batch-norm", "DropEdge"), 0.803, "32, batch-norm: less DropEdge"),
        (("plain", "Dense"), 0.433, "16, plain: above Dense"),
        (("batch-norm", "KEdge"), 0.755, "16: beside DropEdge's paper"),
    ],
)
def test_claims_that_fail(tmp_path, cell, score, claim):
    write_rows(tmp_path, SCORES | {cell: score})
    assert claim in failed(tmp_path)


@pytest.mark.parametrize(
    ("drop_edge", "verdict"),
    [(0.638, "holds"), (0.641, "too few seeds"), (0.650, "fails")],
)
def test_no_more_than_a_point_below_drop_edge(tmp_path, drop_edge, verdict):
    """The wobble of 0.5 points on two seeds of five has an interval of 0.2 +- 0.34."""
    write_rows(tmp_path, SCORES | {("plain", "DropEdge"): drop_edge})
    found = {it.claim: it for it in kedge_depth.findings(tmp_path, quick=False)}
    assert found["16, plain: less DropEdge"].verdict == verdict


def test_quick_asks_for_what_it_has_run(tmp_path):
    write_rows(tmp_path, quick=True)
    assert {task.seed for task in kedge_depth.runs(quick=True)} == {0}
    found = kedge_depth.findings(tmp_path, quick=True)
    assert {it.claim.partition(",")[0].partition(":")[0] for it in found} == {"16"}
    assert {it.verdict for it in found} == {"too few seeds"}
