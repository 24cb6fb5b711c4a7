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
    ("gcnii", "Dense"): 0.80,
    ("gcnii", "DropEdge"): 0.81,
    ("gcnii", "EdgeExchange"): 0.802,
    ("gcnii", "RandomEdge"): 0.70,
    ("identity", "EdgeExchange"): 0.715,
}
SHALLOW = 0.808
"""Of two layers on all edges."""


def write_rows(out, found=SCORES, quick=False):
    for task in kedge_depth.runs(quick):
        config = task.config
        score = found[config.backbone, config.method] + 0.01 * task.seed
        if config.num_layers < 16:
            # Nothing is asked of shallow models, but beside those at rest.
            score = SHALLOW + 0.01 * task.seed if config.num_layers == 2 else 0.1
        odd = config.method in ("KEdge", "EdgeExchange")
        wobble = 0.005 * (task.seed % 2) * odd
        row = dict.fromkeys(KEYS, "x") | {
            "dataset": config.dataset,
            "method": config.method,
            "num_layers": config.num_layers,
            "backbone": config.backbone,
            "seed": task.seed,
            "config_hash": config.hash,
            "sparsity": config.sparsity,
            "training": config.training,
            "val_score": score,
            "test_score": score + wobble,
        }
        append_row(out / "depth.jsonl", row)


def failed(out, quick=False):
    found = kedge_depth.findings(out, quick)
    return {it.claim for it in found if not it.holds}


def test_the_whole_table():
    cells, rested = {}, {}
    for task in kedge_depth.runs(quick=False):
        config = task.config
        key = (config.num_layers, config.backbone, config.method, config.sparsity)
        if config.training == "rest":
            rested.setdefault((config.dataset, *key), set()).add(task.seed)
            searched = config.method == "EdgeExchange"
            assert config.teacher == ("edges" if searched else "none")
            assert config.drop_edge == 0.7
            continue
        cells.setdefault((config.dataset, *key), set()).add(task.seed)
        assert config.teacher == ("edges" if config.method == "KEdge" else "none")
        cut = config.method in ("KEdge", "RandomEdge")
        assert config.drop_edge == (0.5 if cut else None)
    control = {key for key in cells if key[3] == "RandomEdge"}
    assert {key[1] for key in control} == {16, 32}
    beside = 2 * 2 * 2 + 1  # GCNII on all edges and with DropEdge, a shallow GCN
    assert len(cells) == 5 * 3 * 3 + 2 * 3 + beside
    for key, seeds in cells.items():
        assert seeds == set(range(3 if key in control else 5))
    assert ("PubMed", 32, "plain", "KEdge", 0.5) in cells
    assert ("PubMed", 16, "batch-norm", "DropEdge", 0.7) in cells
    assert ("CS", 2, "plain", "Dense", 0.0) in cells
    assert len(rested) == 2 * 2 * 2 * 2 + 2 * 2
    assert set.union(*rested.values()) == set(range(5))
    assert ("CS", 32, "gcnii", "RandomEdge", 0.8) in rested
    assert ("PubMed", 16, "identity", "EdgeExchange", 0.5) in rested


def test_differences_by_hand(tmp_path):
    write_rows(tmp_path)
    everything = kedge_depth.findings(tmp_path, quick=False)
    found = {(it.dataset, it.claim): it for it in everything}
    assert len(found) == 2 * (2 * 3 + 1) + 2 * 5 * 3
    wobble = 2 * 0.5 / 5  # of five seeds two have it
    by_hand = {
        "16, plain: less DropEdge": 1,
        "32, batch-norm: above Dense": 22,
        "16, plain: above Dense": 23,
        "16, gcnii, 50% cut: less 2 layers": -0.6,
        "32, gcnii, 80% cut: less DropEdge": -0.8,
        "32, gcnii, 80% cut: less RandomEdge": 10.2,
        "16, identity, 50% cut: less DropEdge": -0.5,
    }
    for claim, gap in by_hand.items():
        assert found["PubMed", claim].ours == pytest.approx(gap + wobble)
    failing = {it.claim for it in everything if not it.holds}
    assert failing == {f"{n}, identity, 50% cut: less 2 layers" for n in (16, 32)}
    published = found["PubMed", "32: beside DropEdge's paper"]
    assert (published.wanted, published.source) == (77.0, "paper")
    assert published.ours == pytest.approx(79 + 2 + wobble)  # the better backbone


@pytest.mark.parametrize(
    ("cell", "score", "claim"),
    [
        (("plain", "KEdge"), 0.610, "16, plain: less DropEdge"),
        (("batch-norm", "DropEdge"), 0.803, "32, batch-norm: less DropEdge"),
        (("plain", "Dense"), 0.433, "16, plain: above Dense"),
        (("batch-norm", "KEdge"), 0.755, "16: beside DropEdge's paper"),
        (("gcnii", "DropEdge"), 0.816, "32, gcnii, 50% cut: less DropEdge"),
        (("gcnii", "RandomEdge"), 0.803, "16, gcnii, 80% cut: less RandomEdge"),
        (("gcnii", "EdgeExchange"), 0.795, "16, gcnii, 80% cut: less 2 layers"),
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
