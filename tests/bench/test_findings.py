"""Findings: differences, verdicts, and unknown papers."""

from pathlib import Path

import pytest

from gsparse.bench.experiment.recorded import RecordedSeconds
from gsparse.bench.findings import (
    Finding,
    exit_code,
    format_findings,
    format_listing,
    listing,
    paper,
    reproducible,
)
from gsparse.bench.papers import fastgat
from gsparse.bench.tables.measurement import append_rows, measurement
from gsparse.bench.tables.rows import KEYS, append_row, read_rows

LOST = {"Dense": 0.80, "EffectiveResistance": 0.797, "RandomEdge": 0.75, "MLP": 0.7}
EPOCHS = {
    "PyG": (4.0, 1000),
    "PyG compiled": (3.0, 800),
    "fused": (0.5, 80),
    "PyG, fewer edges": (0.5, 300),
    "ours, fewer edges": (0.1, 50),
    "no edges": (0.05, 40),
}


def write_rows(out, lost=LOST):
    for task in fastgat.runs(quick=True):
        method = task.config.method
        row = dict.fromkeys(KEYS, "x") | {
            "dataset": task.config.dataset,
            "method": method,
            "seed": task.seed,
            "config_hash": task.config.hash,
            "test_score": lost[method] + 0.01 * task.seed,
        }
        append_row(out / "fastgat.jsonl", row)
    for threads in (1, 2):  # those of one thread are slower
        for name, (time, size) in EPOCHS.items():
            facts = {"train_epoch_seconds": time * threads, "train_peak_bytes": size}
            facts |= {"is_peer": "PyG" in name, "model": "gat"}
            facts["sparsity"] = 1.0 if name == "no edges" else 0.0
            if name.endswith("fewer edges"):
                facts["sparsity"] = fastgat.SPARSITY["tolokers"]
            row = measurement("epoch", "tolokers", name, {}, **facts)
            row |= {"threads": threads, "config_hash": f"{name} {threads}"}
            append_rows(out / "epoch.jsonl", [row])


def test_every_claim_is_held_against_its_own_rows(tmp_path):
    write_rows(tmp_path)
    found = {it.claim: it for it in fastgat.findings(tmp_path, quick=True)}
    assert found["points of score lost"].ours == pytest.approx(0.3)
    assert found["points of score lost"].half == pytest.approx(0, abs=1e-9)
    assert found["epoch, eager PyG / ours"].ours == pytest.approx(8)
    assert found["epoch, compiled / ours"].ours == pytest.approx(6)
    assert found["epoch, PyG full / ours"].ours == pytest.approx(30)
    assert found["peak bytes, PyG full / ours"].ours == pytest.approx(16)
    assert found["epoch, PyG full / sparse"].ours == pytest.approx(8)
    assert not found["epoch, PyG full / sparse"].holds
    assert not found["peak bytes, PyG full / sparse"].holds
    held = [claim for claim, it in found.items() if it.holds]
    assert len(held) == len(found) - 2


def test_a_graph_without_edges_bounds_what_a_cut_can_gain(tmp_path, monkeypatch):
    """Where no cut can be 20x, four fifths of the speed without edges are enough."""
    for share, verdict in ((0.81, "holds"), (0.79, "fails")):
        folder = tmp_path / verdict
        time, size = EPOCHS["ours, fewer edges"]
        slow = {"ours, fewer edges": (2 * time, size)}  # 15x
        slow["no edges"] = (2 * time * share, size)
        monkeypatch.setitem(EPOCHS, "ours, fewer edges", slow["ours, fewer edges"])
        monkeypatch.setitem(EPOCHS, "no edges", slow["no edges"])
        write_rows(folder)
        found = {it.claim: it for it in fastgat.findings(folder, quick=True)}
        assert found["epoch, PyG full / ours"].verdict == verdict
        monkeypatch.undo()


def test_memory_that_was_not_measured_is_no_finding(tmp_path, monkeypatch):
    for name, (time, _) in EPOCHS.items():
        monkeypatch.setitem(EPOCHS, name, (time, None))
    write_rows(tmp_path)
    claims = {it.claim for it in fastgat.findings(tmp_path, quick=True)}
    assert not [claim for claim in claims if "peak" in claim]


def test_points_lost_beyond_the_target_fail(tmp_path):
    write_rows(tmp_path, LOST | {"EffectiveResistance": 0.794})
    found = {it.claim: it for it in fastgat.findings(tmp_path, quick=True)}
    assert not found["points of score lost"].holds


def test_the_full_run_has_all_graphs_and_ten_seeds():
    full = fastgat.runs(quick=False)
    assert {task.config.dataset for task in full} == set(fastgat.GRAPHS)
    assert {task.seed for task in full} == set(range(10))


LONG = "peak bytes, PyG full / sparse"
FEW = Finding("GitHub", "points lost", 0.5, 0.7, "too few seeds", 0.2, "target")
FINDINGS = [
    FEW,
    Finding("best of all", "epoch, PyG full / sparse", 2.5, 2.47, "fails", unit="x"),
    Finding("best of all", LONG, 10, 54, "holds", unit="x"),
    Finding("PubMed", "first - second", 0, 0.1, "level", 0.4),
]


def test_table_fits_the_screen_and_marks_targets():
    lines = format_findings(FINDINGS).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert lines[1].endswith(" 0.5*    0.7 ± 0.2  too few seeds")
    assert "best of all peak bytes, PyG full / sparse " in lines[3]
    assert lines[2].endswith(" 2.5x        2.47x  FAILS")
    assert lines[3].endswith("holds")
    assert lines[4].endswith("level")
    assert lines[5].startswith("±: half of the 95 % interval of the mean difference")
    assert lines[6].startswith("* a target of ours")
    assert lines[7].startswith("1 of 4 claims undecided: fewer than 3 seeds")


def test_notes_are_only_printed_where_they_apply():
    assert len(format_findings(FINDINGS[1:3]).splitlines()) == 3


@pytest.mark.parametrize(
    ("verdict", "quick", "full"),
    [("holds", 0, 0), ("too few seeds", 0, 1), ("level", 1, 1), ("fails", 1, 1)],
)
def test_exit_codes(verdict, quick, full):
    found = [FINDINGS[2], Finding("a", "b", 0, 0, verdict)]
    assert (exit_code(found, quick=True), exit_code(found, quick=False)) == (
        quick,
        full,
    )


def test_one_seed_has_no_interval():
    one = Finding("a", "b", 0, 1, "too few seeds", float("inf"))
    assert "±" not in format_findings([one]).splitlines()[1]
    assert one.as_record()["half"] is None


def test_an_unknown_paper_is_refused():
    assert reproducible() == [
        "fastgat",
        "implicit",
        "incremental",
        "interactions",
        "kedge-citation",
        "kedge-depth",
        "kedge-graphs",
        "kedge-labels",
        "kedge-pubmed",
        "prune-citation",
        "structured",
    ]
    known = (
        "fastgat, implicit, incremental, interactions, kedge-citation, kedge-depth, "
    )
    known += "kedge-graphs, kedge-labels, kedge-pubmed, prune-citation, structured"
    with pytest.raises(ValueError, match=rf"must be one of {known} \(got gat\)"):
        paper("gat")


def test_the_list_fits_into_a_terminal():
    records = listing()
    text = format_listing(records)
    assert [it["name"] for it in records] == reproducible()
    assert all(f"\n{name} " in text for name in reproducible())
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", sorted({*reproducible()} - {"interactions"}))
def test_graphs_and_minutes_of_the_list_are_those_of_the_runs(name):
    module = paper(name)
    grid = module.runs(False)
    assert {task.config.key.dataset for task in grid} == {*module.DATA.split(", ")}
    rows = Path(__file__).parents[2] / "docs/results" / f"{module.TABLE}.jsonl"
    known = RecordedSeconds(read_rows(rows) if rows.exists() else [])
    for runs, minutes in zip((module.runs(True), grid), module.MINUTES, strict=True):
        seconds = [known.find(task.config) for task in runs]
        if None not in seconds:
            assert minutes / 2 <= max(sum(seconds) / 60, 1) <= 2 * minutes
