"""Planted interactions: definitions, rows, and findings."""

import pytest
import torch

from gsparse.bench.papers import interactions as bench
from gsparse.bench.tables.measurement import is_measurement
from gsparse.bench.tables.rows import read_rows
from gsparse.explain.propagate import propagated


def stored(dataset, seed, **found):
    rows = []
    for method in next(iter(found.values())):
        values = {key: by_method[method] for key, by_method in found.items()}
        rows.append(bench._row(dataset, method, seed, **values))
    return rows


@pytest.fixture
def made(monkeypatch):
    """Rows without a training; what was asked for is listed."""
    calls = []

    def rows(seed):
        calls.append(("rows", seed))
        return stored("planted rows", seed, found={"AEH": 2, "GEH": 3, "Saliency": 0})

    def graph(seed):
        calls.append(("graph", seed))
        return stored("planted graph", seed, rank={"GEH": 1, "Saliency": 4})

    def pubmed(seed, root):
        calls.append(("PubMed", seed))
        return stored("PubMed", seed, seconds={"GEH": 30.0}, num_pairs={"GEH": 124750})

    monkeypatch.setattr(bench, "measure_rows", rows)
    monkeypatch.setattr(bench, "measure_graph", graph)
    monkeypatch.setattr(bench, "measure_pubmed", pubmed)
    return calls


def test_rows_are_made_once(tmp_path, made):
    assert bench.runs(quick=False) == []
    first = bench.findings(tmp_path, quick=True)
    assert made == [("graph", 0), ("graph", 1), ("rows", 0), ("rows", 1)]
    assert bench.findings(tmp_path, quick=True) == first
    assert len(made) == 4
    bench.findings(tmp_path, quick=False)
    assert len(made) == 4 + 8 + 3 + 1
    assert all(map(is_measurement, read_rows(tmp_path / "interactions.jsonl")))


def test_findings_hold_rows_against_the_targets(tmp_path, made):
    found = {it.claim: it for it in bench.findings(tmp_path, quick=False)}
    assert found["of 3 pairs in the top 3"].ours == 3
    assert found["first, in 10 seeds"].ours == 10
    assert found["ranks ahead of saliency"].ours == 3
    assert found["minutes, 124,750 pairs"].ours == 0.5
    assert all(it.holds for it in found.values())
    assert all(len(it.claim) <= 30 for it in found.values())


def test_a_pair_that_is_second_too_often_fails(tmp_path, made, monkeypatch):
    def second(seed):
        return stored("planted graph", seed, rank={"GEH": 1 + seed % 2, "Saliency": 1})

    monkeypatch.setattr(bench, "measure_graph", second)
    found = {it.claim: it for it in bench.findings(tmp_path, quick=True)}
    assert not found["first, in 2 seeds"].holds
    assert not found["ranks ahead of saliency"].holds


def test_planted_labels_depend_on_the_products():
    data = bench.planted_rows(53117)
    x, y = data.x, data.y.float()
    for a, b, sign in ((0, 1, 1), (2, 3, -1)):
        both = torch.corrcoef(torch.stack([x[:, a] * x[:, b], y]))[0, 1]
        assert sign * both > 0.2
        assert abs(torch.corrcoef(torch.stack([x[:, a], y]))[0, 1]) < 0.1
    third = (x[:, 4] ** 2 - 1) * x[:, 5]
    assert torch.corrcoef(torch.stack([third, y]))[0, 1] > 0.2
    assert abs(torch.corrcoef(torch.stack([x[:, 4] * x[:, 5], y]))[0, 1]) < 0.1
    graph = bench.planted_graph(53118)
    seen = propagated(graph.x, graph.edge_index)
    both = torch.corrcoef(torch.stack([seen[:, 0] * seen[:, 1], graph.y.float()]))[0, 1]
    assert both > 0.3
    assert torch.equal(bench.planted_graph(53118).y, graph.y)


def test_the_rank_by_saliency_counts_pairs_that_are_larger():
    alone = torch.tensor([3.0, 1.0, 2.0, 0.5])  # 6, 3, 2, 1.5, 1, 0.5
    assert [bench.saliency_rank(alone, *p) for p in ((0, 2), (0, 1), (1, 3))] == [
        1,
        2,
        6,
    ]
