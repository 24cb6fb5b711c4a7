"""All contenders compute the same product; rows and verdicts."""

import pytest
import torch

from gsparse.bench import sparse_weights
from gsparse.bench.sparse_weights import make_contenders, make_input, pays_from, verdict
from gsparse.bench.tables.rows import read_rows


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.98, 1.0])
def test_all_compute_the_same(sparsity):
    x, weight = make_input("70x50x24", sparsity)
    assert int((weight == 0).sum()) == round(sparsity * 1200)
    found = {name: run() for name, run in make_contenders(x, weight).items()}
    assert list(found) == list(sparse_weights.CONTENDERS)
    for name in found:
        torch.testing.assert_close(found[name], x @ weight.t(), rtol=1e-5, atol=1e-5)


def rows_of(ratios):
    """Rows in which ours is so many times as fast as the dense layer."""
    return [
        {"weight_sparsity": sparsity, "method": method, "infer_seconds": seconds}
        for sparsity, ratio in ratios.items()
        for method, seconds in (("dense", ratio), ("ours", 1.0))
    ]


def test_the_verdict_names_where_it_does_not_pay():
    rows = rows_of({0.5: 0.6, 0.8: 1.2, 0.9: 1.05, 0.95: 1.1, 0.99: 2.0})
    assert pays_from(rows) == 0.95
    assert verdict("7x5x3", rows) == (
        "7x5x3: pays from 95% zeros on; does not pay at 90% and below"
    )
    assert verdict("7x5x3", rows_of({0.9: 1.2, 0.99: 1.05})) == (
        "7x5x3: does not pay at any sparsity up to 99%"
    )
    assert verdict("7x5x3", rows_of({0.9: 1.1})) == "7x5x3: pays from 90% zeros on"


def test_rows_and_report(tmp_path, capsys):
    out, before = tmp_path / "rows.jsonl", torch.get_num_threads()
    words = ["--shapes", "300x40x8", "--sparsity", "0.5,0.95", "--threads", "1,2"]
    sparse_weights.main([*words, "--rounds", "2", "--out", str(out)])
    assert torch.get_num_threads() == before
    rows = read_rows(out)
    found = sorted((r["threads"], r["weight_sparsity"], r["method"]) for r in rows)
    assert found == sorted(
        (threads, sparsity, method)
        for threads in (1, 2)
        for sparsity in (0.5, 0.95)
        for method in sparse_weights.CONTENDERS
    )
    assert all(row["infer_seconds"] > 0 for row in rows)
    ours = next(
        r for r in rows if r["method"] == "ours" and r["weight_sparsity"] == 0.95
    )
    assert ours["weight_bytes"] == 12 * 16 + 4 * 9 + 4 * 3  # 3 windows of 40 inputs
    printed = capsys.readouterr().out
    assert "dense/ours" in printed
    assert printed.count("pay") >= 2
