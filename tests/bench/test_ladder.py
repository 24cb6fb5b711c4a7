"""The ladder compares equal computations, and its last step has fewer edges."""

import json

import pytest
import torch

from gsparse.bench import ladder
from gsparse.bench.epoch_parts import epoch_parts


@pytest.fixture(scope="module")
def graphs():
    data, cut, _ = ladder.make_graphs("digits", "random-5-30", 0.8, None)
    return data, cut


def test_all_rungs_but_the_last_compute_the_same(graphs):
    rungs = [ladder.make_rung(name, *graphs) for name in ladder.RUNGS]
    weights = rungs[0].model.state_dict()
    found = []
    for rung in rungs:
        rung.model.load_state_dict(weights)
        found.append(rung.model.eval()(rung.data.x, rung.data.edge_index))
    for other in found[1:-1]:
        torch.testing.assert_close(other, found[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[-1], found[0], atol=1e-2)
    assert rungs[-1].data.num_edges == graphs[1].num_edges
    assert graphs[1].num_edges == round(0.2 * graphs[0].num_edges)


@pytest.mark.parametrize("name", [*ladder.RUNGS, ladder.BESIDE])
def test_epochs_learn(graphs, name):
    rung = ladder.make_rung(name, *graphs)
    mask, y = rung.data.train_mask, rung.data.y
    for _ in range(30):
        rung.epoch()
    out = rung.model.eval()(rung.data.x, rung.data.edge_index)
    assert (out.argmax(1) == y)[mask].double().mean() > 0.9


def test_shares_of_an_epoch_add_up(graphs):
    rung = ladder.make_rung("fused attention", *graphs)
    found = epoch_parts(rung.epoch, rounds=1)
    assert sum(found.values()) == pytest.approx(1)
    assert found["attention"] > 0
    assert found["products"] > 0


def test_rows_and_table(tmp_path, capsys):
    out = tmp_path / "rows.jsonl"
    words = ["--graphs", "digits", "--split", "random-5-30", "--rounds", "1"]
    assert ladder.main([*words, "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["method"] for row in rows] == [*ladder.RUNGS, ladder.BESIDE]
    assert [row["sparsity"] for row in rows] == [0.0, 0.0, 0.0, 0.9, 0.9]
    assert all(row["train_epoch_seconds"] > 0 for row in rows)
    table = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in table)
    assert "1.0x" in table[2]
    assert table[-1].startswith("  left of the last epoch: ")
