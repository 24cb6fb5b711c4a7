"""Validation chooses fine-tuned weights only where they are clearly better."""

import pytest

from gsparse.bench.chosen import chosen, with_training
from gsparse.bench.tables.rows import KEYS


def row(training, val, seed=0, method="KEdge", **more):
    return dict.fromkeys(KEYS, "x") | {
        "method": method,
        "seed": seed,
        "sparsity": 0.8,
        "teacher": "edges",
        "training": training,
        "val_score": val,
        "test_score": 0.9 if training == "finetune" else 0.5,
        "num_val": 100,
        **more,
    }


@pytest.mark.parametrize(
    ("tuned", "taken"), [(0.79, "rest"), (0.8399, "rest"), (0.8401, "finetune")]
)
def test_one_standard_error_decides(tuned, taken):
    """With 0.8 at 100 nodes it is 0.04."""
    both = [row("rest", 0.8), row("finetune", tuned, config_hash="y")]
    (found,) = chosen(both)
    assert found["config_hash"] == "x"
    assert found["taken"] == taken
    assert found["training"] == "chosen"
    assert found["val_score"] == (0.8 if taken == "rest" else tuned)
    assert found["test_score"] == (0.5 if taken == "rest" else 0.9)


def test_every_seed_and_experiment_for_itself():
    rows = [
        row("rest", 0.8, seed, method) | {"sparsity": sparsity}
        for seed in (0, 1)
        for method in ("KEdge", "DSpar")
        for sparsity in (0.5, 0.8)
    ]
    rows += [it | {"training": "finetune", "val_score": 0.9} for it in rows]
    found = chosen(rows)
    assert len(found) == len(rows) / 2
    assert all(it["taken"] == "finetune" for it in found)


def test_receptive_fields_are_the_whole_graph():
    assert len(chosen([row("rest", 0.8, hops=3), row("finetune", 0.9)])) == 1


def test_what_has_no_choice_is_left_out():
    both = [row("rest", 0.8), row("finetune", 0.9)]
    assert not chosen([row("rest", 0.8), row("scratch", 0.9)])
    assert not chosen([row("rest", 0.8, seed=1), row("finetune", 0.9)])
    assert not chosen([it | {"teacher": "weights"} for it in both])
    assert not chosen([{k: v for k, v in it.items() if k != "num_val"} for it in both])
    assert "taken" not in both[0]


def test_rows_of_one_way_of_training_and_baselines():
    dense = row("scratch", 0.9, method="Dense", teacher="none")
    taught = dense | {"teacher": "weights"}
    rows = [row("rest", 0.8), dense, taught, row("finetune", 0.7), row("scratch", 0.5)]
    assert with_training(rows, "rest") == [dense, rows[0]]
    assert with_training(rows, "scratch") == [dense, taught, rows[4]]
    assert [it["training"] for it in with_training(rows, "chosen")] == [
        "scratch",
        "chosen",
    ]
    known = "chosen, finetune, rest, scratch"
    with pytest.raises(ValueError, match=rf"one of {known} \(got joint\)"):
        with_training(rows, "joint")
