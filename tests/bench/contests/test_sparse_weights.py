"""All contenders compute the same product; rows and verdicts."""

import pytest
import torch

from gsparse.bench.contests import sparse_weights
from gsparse.bench.contests.compare import compare
from gsparse.bench.contests.contest import Problem
from gsparse.bench.contests.sparse_weights import (
    make_input,
    make_products,
    pays_from,
    verdict,
)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.98, 1.0])
def test_all_compute_the_same(sparsity):
    x, weight = make_input("70x50x24", sparsity)
    assert int((weight == 0).sum()) == round(sparsity * 1200)
    products, held = make_products(x, weight)
    found = {name: run() for name, run in products.items()}
    assert list(found) == list(held) == ["dense", "torch_csr", "ours"]
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


def test_rows_of_a_shape():
    problem = Problem("random", "300x40x8", repeats=2, quick=True)
    rows = compare(sparse_weights.CONTEST, problem)
    found = [(row["weight_sparsity"], row["method"]) for row in rows]
    methods = ("dense", "torch_csr", "ours")
    assert found == [(sparsity, it) for sparsity in (0.5, 0.95) for it in methods]
    assert all(row["infer_seconds"] > 0 for row in rows)
    assert rows[-1]["weight_bytes"] == 12 * 16 + 4 * 9 + 4 * 3  # 3 windows of 40 inputs
    assert "pay" in sparse_weights.summary(rows)
