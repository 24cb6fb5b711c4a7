"""Findings for learned masks: paired differences and verdicts."""

import pytest

from gsparse.bench.paired import paired_difference, scores
from gsparse.bench.papers import (
    kedge_citation,
    kedge_graphs,
    kedge_labels,
    kedge_pubmed,
)
from gsparse.bench.tables.rows import KEYS, append_row

SCORES = {
    "Dense": 0.80,
    "KEdge": 0.79,
    "EdgeExchange": 0.79,
    "PredictionAgreement": 0.77,
    "MLP": 0.72,
}


def row_of(task, **more):
    config = task.config
    return dict.fromkeys(KEYS, "x") | {
        "dataset": config.dataset,
        "model": config.model,
        "method": config.method,
        "seed": task.seed,
        "config_hash": config.hash,
        **more,
    }


def write_rows(out, found=SCORES, module=kedge_pubmed, quick=True):
    for task in module.runs(quick):
        config = task.config
        score = found.get(config.method, 0.75) + 0.01 * task.seed
        if config.teacher == "weights":
            score = 0.99  # distilled rows must not be mixed in
        if config.training == "scratch" and config.method != "Dense":
            score -= 0.3
        tuned = config.training == "finetune"
        if tuned:
            score -= 0.2  # and validation does not choose them
        wobble = 0.001 * (task.seed % 2) * (config.method == "KEdge")
        row = row_of(
            task,
            teacher=config.teacher,
            training=config.training,
            sparsity=config.sparsity + 1e-5,
            sparsity_target=config.sparsity,
            edge_terms=config.edge_terms,
            val_score=0.8 + 0.01 * tuned,
            num_val=500,
            test_score=score + wobble,
        )
        append_row(out / "kedge.jsonl", row)


def test_the_quick_claims(tmp_path):
    write_rows(tmp_path)
    found = {it.claim: it for it in kedge_pubmed.findings(tmp_path, quick=True)}
    assert len(found) == 3
    assert found["gcn, 80% cut: points lost"].ours == pytest.approx(1 - 0.1 / 3)
    assert found["gcn, 80% cut: above random"].ours == pytest.approx(4 + 0.1 / 3)
    assert found["gcn, 80% cut: above agreement"].ours == pytest.approx(2 + 0.1 / 3)
    assert all(it.holds for it in found.values())


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"KEdge": 0.779}, "points lost"),
        ({"KEdge": 0.749}, "above random"),
        ({"PredictionAgreement": 0.791}, "above agreement"),
    ],
)
def test_claims_that_fail(tmp_path, change, claim):
    write_rows(tmp_path, SCORES | change)
    found = kedge_pubmed.findings(tmp_path, quick=True)
    failed = [it.claim for it in found if not it.holds]
    assert f"gcn, 80% cut: {claim}" in failed


def test_the_full_table_has_ten_seeds_where_a_target_is_named():
    seeds = {}
    for task in kedge_pubmed.runs(quick=False):
        seeds.setdefault(task.config, set()).add(task.seed)
    for config, found in seeds.items():
        usual = config.teacher != "weights" and config.training != "joint"
        usual = usual and config.edge_terms is None
        named = config.method in (
            *("KEdge", "EdgeExchange", "RandomEdge", "PredictionAgreement"),
        )
        whole = (named and usual) or (
            config.method in ("Dense", "MLP") and config.teacher == "none"
        )
        assert len(found) == (10 if whole else 3), config


def test_the_citation_graphs(tmp_path):
    write_rows(tmp_path, module=kedge_citation, quick=False)
    found = kedge_citation.findings(tmp_path, quick=False)
    assert {it.dataset for it in found} == {"Cora", "CiteSeer", "PubMed"}
    assert len(found) == 3 * 2 * (2 * 2 + 2)
    assert sum("exchanged" in it.claim for it in found) == 3 * 2 * 2


def test_the_denser_graphs(tmp_path):
    write_rows(tmp_path, module=kedge_graphs, quick=False)
    found = kedge_graphs.findings(tmp_path, quick=False)
    assert len(found) == 2 * 3 * (5 + 2)
    assert {it.dataset for it in found} == set(kedge_graphs.GRAPHS)
    assert all(it.ours > 3.9 for it in found if "above random" in it.claim)
    assert sum("exchanged" in it.claim for it in found) == len(found) / 2


def test_labels_alone(tmp_path):
    found = {"Dense": 0.88, "KEdge": 0.87, "RandomEdge": 0.86}
    for task in kedge_labels.runs(quick=False):
        config = task.config
        assert config.teacher == "none"
        assert config.epochs == 2000
        score = found.get(config.method, 0.5) + 0.01 * task.seed
        row = row_of(task, test_score=score)
        append_row(tmp_path / "labels.jsonl", row)
    claims = kedge_labels.findings(tmp_path, quick=False)
    assert len(claims) == 2 * 4
    assert [it.source for it in claims[::2]] == ["paper", *["target"] * 3]
    assert all(it.ours == pytest.approx(1.0) and it.holds for it in claims)


def test_differences_are_taken_seed_by_seed():
    first, second = {0: 3.0, 1: 5.0, 2: 10.0}, {1: 2.0, 0: 1.0, 3: 99.0}
    mean, half = paired_difference(first, second)
    assert mean == pytest.approx(2.5)
    assert half == pytest.approx(12.706 * 0.5, rel=1e-3)  # t with one degree of freedom
    assert paired_difference({0: 2.0}, {0: 1.0}) == (1.0, float("inf"))
    with pytest.raises(ValueError, match="no seed in common"):
        paired_difference({0: 1.0}, {1: 1.0})


def test_scores_are_those_of_the_target_sparsity():
    row = {"seed": 4, "sparsity": 0.7999, "sparsity_target": 0.8, "test_score": 0.5}
    assert scores([row], sparsity=0.8) == {4: 50.0}
    with pytest.raises(ValueError, match="no rows with"):
        scores([row], sparsity=0.9)
