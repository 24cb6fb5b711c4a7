"""Graph folders of growing size."""

import torch

from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.large import (
    CONTEST,
    METHODS,
    SPARSITY,
    _forms,
    finish,
    summary,
)
from gsparse.bench.contests.large_graphs import BLOCK, chung_lu_blocks
from gsparse.data import convert_graph
from gsparse.edges import budget


def test_rows_tell_the_budget_and_the_cuts():
    rows = compare(CONTEST, Problem("chung_lu", "3000", repeats=2))
    assert [row["method"] for row in rows] == ["convert", *METHODS]
    assert {row["outcome"] for row in rows} == {"ran"}
    for row in rows:
        assert row["edge_ns"] == 1e9 * row["seconds"] / row["num_pairs"]
        assert row["peak_bytes"] > 1e7
        if row["method"] != "convert":
            assert row["kept"] == budget(row["num_pairs"], SPARSITY)
    by = {row["method"]: row for row in rows}
    assert by["RandomEdge"]["form_error"] is None  # its weights do not change
    assert 0 < by["DSpar"]["form_error"] < 0.5
    assert abs(by["EffectiveResistance"]["foster"] - 1) < 0.05


def test_forms_are_the_weights_across_cuts(tmp_path):
    edges = torch.tensor([[0, 1, 2], [1, 2, 3]])
    folder = convert_graph([edges], tmp_path / "g", symmetrize=True)
    generator = torch.Generator().manual_seed(73009)
    side = torch.randint(2, (4, 8), generator=generator)
    expected = (side[edges[0]] != side[edges[1]]).double().sum(0)
    assert torch.equal(_forms(folder), expected)


def test_the_generator_has_the_degrees_of_its_model():
    blocks = list(chung_lu_blocks(1000, BLOCK + 5, seed=3))
    assert len(blocks) == 2
    edges = torch.cat(blocks, dim=1)
    assert (edges[0] != edges[1]).all()
    assert torch.equal(edges, torch.cat([*chung_lu_blocks(1000, BLOCK + 5, 3)], dim=1))
    degree = edges.view(-1).bincount(minlength=1000).sort(descending=True).values
    # Node i has a share of sqrt((i + 1) / N) - sqrt(i / N) of the ends.
    ranks = torch.arange(1001, dtype=torch.float64) / 1000
    share = ranks.sqrt().diff()
    assert torch.allclose(degree.double() / degree.sum(), share, rtol=0.1, atol=0.002)


def test_summary_compares_the_largest_with_the_smallest():
    rows = finish(
        [
            {"method": "DSpar", "num_pairs": pairs, "seconds": seconds}
            for pairs, seconds in ((1000, 1.0), (100_000, 150.0))
        ]
    )
    assert [row["edge_ns"] for row in rows] == [1e6, 1.5e6]
    assert summary(rows) == "DSpar: 1.50 times over 2 decades"
    assert summary(rows[:1]) == ""
