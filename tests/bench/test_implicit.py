"""Units that optimisers switch off: the protocol, and verdicts."""

import math
from dataclasses import replace

import pytest
import torch

from gsparse.bench.experiment.grid import Task, grid_rows, run_grid
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.implicit import METHODS, DecayConfig, fit_to_the_end
from gsparse.bench.papers import implicit
from gsparse.bench.tables.measurement import is_measurement
from gsparse.bench.tables.rows import KEYS, append_row
from gsparse.data import load

SHARES = {
    "Adam": {0.0: 0.0, implicit.WEAK: 0.25, implicit.STRONG: 0.5},
    "AdamW": 0.125,
    "SGD": 0.0,
}


def write_rows(out, quick=False, shares=SHARES, cost=0.0, first=0.75):
    for task in implicit.runs(quick):
        config = task.config
        share = shares[config.method]
        share = share if isinstance(share, float) else share[config.decay]
        wobble = 4 * (task.seed % 2) * (config.method == "Adam") * (config.decay > 0)
        row = dict.fromkeys(KEYS, "x") | {
            "dataset": config.dataset,
            "method": config.method,
            "decay": config.decay,
            "seed": task.seed,
            "config_hash": config.hash,
            "num_units": 128,
            "num_dead_activation": 128 * share + wobble,
            "dead_activation_first": first,
            "dead_activation_last": 0.25,
            "test_score": 0.8,
            "test_removed_activation": 0.8 - cost * (config.method == "Adam"),
        }
        append_row(out / "implicit.jsonl", row)


def claims(out, quick=False):
    return {(it.dataset, it.claim): it for it in implicit.findings(out, quick)}


def test_the_whole_table():
    seeds = {}
    for task in implicit.runs(quick=False):
        config = task.config
        seeds.setdefault((config.dataset, config.method, config.decay), set()).add(
            task.seed
        )
    assert len(seeds) == 3 * (3 + 2 + 2)
    assert all(found == set(range(5)) for found in seeds.values())
    quick = implicit.runs(quick=True)
    assert {task.seed for task in quick} == {0, 1}
    assert set(quick) < set(implicit.runs(quick=False))


def test_differences_by_hand(tmp_path):
    write_rows(tmp_path)
    found = claims(tmp_path)
    assert len(found) == 3 * 6
    assert all(it.holds for it in found.values())
    strong, weak = implicit.STRONG, implicit.WEAK
    wobble = 100 * 4 / 128 * 2 / 5  # two of five seeds have it
    above = found["Physics", f"Adam - AdamW, both {strong:g}"]
    assert above.ours == pytest.approx(50 - 12.5 + wobble)
    more = found["PubMed", f"Adam {strong:g} - {weak:g}"]
    assert more.ours == pytest.approx(25)
    assert found["PubMed", "first - last layer, Adam"].ours == pytest.approx(50)
    assert found["PubMed", "most that removal changes"].ours == 0
    assert all(len(it.claim) <= 30 for it in found.values())


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        ({"shares": SHARES | {"SGD": 0.75}}, "Adam - SGD, both "),
        ({"shares": SHARES | {"AdamW": 0.75}}, "Adam - AdamW, both "),
        ({"shares": SHARES | {"Adam": 0.5}}, "Adam without a penalty"),
        ({"cost": 0.001}, "most that removal changes"),
        ({"first": 0.125}, "first - last layer, Adam"),
    ],
)
def test_claims_that_fail(tmp_path, change, claim):
    write_rows(tmp_path, **change)
    failed = {it.claim for it in claims(tmp_path).values() if not it.holds}
    assert any(it.startswith(claim) for it in failed)
    assert len(failed) < 6


def test_one_run_of_each_on_toy_data(tmp_path):
    """Rows have all that the findings read; a finished one is not run again."""
    path = tmp_path / "implicit.jsonl"
    cells = [DecayConfig("digits", name, 1e-3, epochs=6) for name in METHODS]
    grid = [Task(cell, 20411) for cell in cells]
    assert [outcome.error for outcome in run_grid(grid, path)] == [None] * 3
    rows = grid_rows(grid, path)
    assert not list(run_grid(grid, path))
    assert [row["method"] for row in rows] == list(METHODS)
    for row in rows:
        assert is_measurement(row)  # stands in no table of models
        assert row["num_units"] == 128
        assert row["num_epochs"] == 6
        assert row["num_units_after_activation"] == 128 - row["num_dead_activation"]
        assert row["test_removed_activation"] == row["test_score"]
        assert row["removal_error_activation"] <= 1e-4
        assert row["universality_first"] is None or row["universality_first"] > 0


def test_tuning_runs_look_at_no_test_node():
    config = DecayConfig("digits", "Adam", 1e-3, epochs=2, final=False)
    row = config.run(Workspace(), 20411)
    assert row["test_score"] is None
    assert not any(key.startswith("test_removed") for key in row)
    assert 0 < row["val_last"] <= row["val_best"]


def test_the_model_ends_with_its_last_weights():
    data, config = load("digits", seed=3), DecayConfig("digits", "SGD", 1e-3, epochs=5)
    chosen = config.recipe()
    model = chosen.build(data, 61511)
    history = fit_to_the_end(model, data, chosen.fit, 61511)
    assert history.num_epochs == 5
    longer = chosen.build(data, 61511)
    shorter = DecayConfig("digits", "SGD", 1e-3, epochs=4).recipe().fit
    fit_to_the_end(longer, data, shorter, 61511)
    seen = [p.detach().norm().item() for p in (model.layers[0].conv.lin.weight,)]
    other = [p.detach().norm().item() for p in (longer.layers[0].conv.lin.weight,)]
    assert seen != other


def test_decay_is_what_is_taken_of_a_weight_or_added_to_its_gradient():
    for name in METHODS:
        settings = DecayConfig("PubMed", name, 1e-3).recipe().fit
        assert not settings.decay_first_layer_only
        assert settings.patience == settings.epochs
        wanted = 1e-3 / settings.lr if name == "AdamW" else 1e-3
        assert math.isclose(settings.weight_decay, wanted)
    theta = torch.nn.Parameter(torch.ones(1))
    settings = DecayConfig("PubMed", "AdamW", 0.25).recipe().fit
    step = torch.optim.AdamW([theta], settings.lr, weight_decay=settings.weight_decay)
    theta.grad = torch.zeros(1)
    step.step()
    assert theta.item() == pytest.approx(0.75)


def test_what_enters_the_hash():
    base = DecayConfig("PubMed", "Adam", 1e-3)
    others = [
        replace(base, dataset="Computers"),
        replace(base, method="SGD"),
        replace(base, decay=1e-4),
        replace(base, epochs=7),
        replace(base, final=False),
    ]
    assert len({it.hash for it in [base, *others]}) == 6
    assert base.key.model == "gcn, 3 layers, batch-norm"
    with pytest.raises(ValueError, match=r"one of Adam, AdamW, SGD \(got Lion\)"):
        DecayConfig("PubMed", "Lion", 1e-3)
