"""Rows and findings of incremental tasks."""

import pytest
import torch
from torch_geometric.data import Data

from gsparse.bench import incremental
from gsparse.bench.experiment.grid import grid_rows, run_grid, tasks
from gsparse.bench.experiment.plan import make_plan
from gsparse.bench.experiment.workspace import Workspace
from gsparse.bench.incremental import SEQUENCES, TaskConfig, TaskSequence
from gsparse.bench.papers import incremental as paper
from gsparse.bench.tables.measurement import is_measurement, measurement
from gsparse.bench.tables.rows import append_row, read_rows
from gsparse.train.incremental.fit_tasks import METHODS


@pytest.fixture
def toy(monkeypatch):
    """The embedded digits as a sequence, so that no file is needed."""
    sequence = TaskSequence(("digits",), "classes", 3)
    monkeypatch.setitem(SEQUENCES, "digits", sequence)
    return sequence


class TestRows:
    def test_a_row_has_all_tasks_and_is_never_run_twice(self, toy, tmp_path):
        path = tmp_path / "incremental.jsonl"
        config = TaskConfig("digits", "RankUpdate", epochs=2)
        grid = tasks([config], [31, 32])
        assert all(outcome.row for outcome in run_grid(grid, path))
        assert list(run_grid(grid, path)) == []
        rows = read_rows(path)
        assert [row["seed"] for row in rows] == [31, 32]
        for row in rows:
            scores = [row[f"score_{i}"] for i in (1, 2, 3)]
            assert row["test_score"] == pytest.approx(sum(scores) / 3)
            assert row["forgetting"] == row["output_change"] == 0.0
            assert [row[f"score_{i}_learned"] for i in (1, 2, 3)] == scores
            assert (row["rank"], row["rank_per_task"]) == (32, 16)
            assert is_measurement(row)
            n, m, heads = 64, 64, 10 * 65
            columns = (n + m) * (32 + 2 * 16) + (32 + 48 + 64)
            assert row["storage"] == columns + heads + 3 * m
        text = incremental.format_rows(rows).splitlines()
        assert len(text) == 3
        assert text[1].startswith("digits        RankUpdate    31")

    def test_tuning_leaves_test_nodes_alone(self, toy, monkeypatch):
        monkeypatch.setattr(
            "gsparse.train.incremental.fit_tasks.evaluate",
            lambda model, data, mask, metric: {"val_mask": 0.5}[mask],
        )
        config = TaskConfig("digits", "Separate", epochs=1, final=False)
        row = config.run(Workspace(), 3)
        assert row["test_score"] is None
        assert row["score_1"] == row["val_mean"] == 0.5

    def test_the_hash_knows_what_matters(self, toy):
        base = TaskConfig("digits", "RankUpdate")
        same = TaskConfig("digits", "RankUpdate", rank=32, rank_per_task=16)
        assert base.hash == same.hash
        joint = TaskConfig("digits", "Joint")
        assert joint.hash == TaskConfig("digits", "Joint", 5).hash
        others = [
            joint,
            TaskConfig("digits", "RankUpdate", rank=8),
            TaskConfig("digits", "RankUpdate", lr=0.5),
            TaskConfig("digits", "RankUpdate", final=False),
            TaskConfig("digits", "RankUpdate", start="previous"),
            TaskConfig("Cora", "RankUpdate"),
        ]
        assert len({it.hash for it in (base, *others)}) == 7

    def test_hours_can_be_told_ahead(self, toy, tmp_path):
        grid = tasks([TaskConfig("digits", "FineTune", epochs=3)], [1, 2])
        (part,) = make_plan(grid, tmp_path / "none.jsonl")
        assert (part.runs, part.method, part.source) == (2, "FineTune", "sizes")
        assert part.seconds_per_run > 0

    def test_the_program_prints_its_rows(self, toy, tmp_path, capsys):
        options = ["--data", "digits", "--methods", "FrozenBody", "--epochs", "2"]
        options += ["--out", str(tmp_path), "--seeds", "7-7"]
        assert incremental.main(options) == 0
        assert "digits        FrozenBody     7" in capsys.readouterr().out

    def test_unknown_names_are_refused(self):
        with pytest.raises(
            ValueError, match=r"'dataset' must be one of Cora, .*PubMed"
        ):
            TaskConfig("PubMed", "Joint")
        with pytest.raises(ValueError, match=r"'method' must be one of .*got Replay"):
            TaskConfig("Cora", "Replay")


class TestSequences:
    def test_cora_has_five_binary_tasks_on_any_seed(self, real):
        real("Cora")
        tasks = SEQUENCES["Cora"].tasks(None, 80141)
        assert len(tasks) == SEQUENCES["Cora"].num_tasks == 5
        for task in tasks:
            assert task.y[task.train_mask].bincount().tolist() == [20, 20]
            assert task.x is tasks[0].x

    def test_disjoint_tasks_of_cora(self, real):
        real("Cora")
        tasks = SEQUENCES["Cora-disjoint"].tasks(None, 80141)
        assert [len(task.classes) for task in tasks] == [3, 2, 2]

    def test_twitch_is_three_graphs_of_the_same_features(self, monkeypatch):
        asked = []

        def load(name, root, **options):
            asked.append(name)
            mask = torch.ones(4, dtype=torch.bool)
            masks = {f"{it}_mask": mask for it in ("train", "val", "test")}
            y = torch.tensor([0, 1, 0, 1])
            return Data(x=torch.ones(4, 3), y=y, **masks)

        monkeypatch.setattr(incremental, "load", load)
        assert len(SEQUENCES["Twitch"].tasks(None, 5)) == 3
        assert asked == ["Twitch-DE", "Twitch-EN", "Twitch-FR"]


MEANS = {"RankUpdate": 0.9, "Separate": 0.905, "FineTune": 0.6, "FrozenBody": 0.7}


def write_rows(out, quick=True, means=MEANS, storage=35, change=0.0):
    for task in paper.runs(quick):
        config = task.config
        ours = config.method == "RankUpdate"
        row = measurement(
            "incremental",
            config.dataset,
            config.method,
            {},
            test_score=means.get(config.method, 0.8) + 0.01 * task.seed,
            forgetting=0.3 if config.method == "FineTune" else 0.0,
            output_change=change if ours else 0.0,
            storage=storage if ours else 100,
        )
        row |= {"seed": task.seed, "config_hash": config.hash}
        append_row(out / "incremental.jsonl", row)


def claims(out, quick=True):
    return {(it.dataset, it.claim): it for it in paper.findings(out, quick=quick)}


class TestFindings:
    def test_all_claims(self, tmp_path):
        write_rows(tmp_path, quick=False)
        found = claims(tmp_path, quick=False)
        assert all(it.holds for it in found.values())
        assert found["Cora", "lost to separate models"].ours == pytest.approx(0.5)
        assert found["Cora", "storage of separate models"].ours == pytest.approx(35)
        assert found["Cora", "forgotten"].ours == 0
        assert found["Cora", "RankUpdate - FineTune"].ours == pytest.approx(30)
        assert found["Cora", "RankUpdate - FrozenBody"].ours == pytest.approx(20)
        assert all(len(claim) <= 30 for _, claim in found)

    @pytest.mark.parametrize(
        ("change", "claim"),
        [
            ({"storage": 41}, "storage of separate models"),
            ({"change": 1e-7}, "forgotten"),
            ({"means": MEANS | {"Separate": 0.911}}, "lost to separate models"),
            ({"means": MEANS | {"FineTune": 0.9}}, "RankUpdate - FineTune"),
        ],
    )
    def test_each_can_fail(self, tmp_path, change, claim):
        write_rows(tmp_path, quick=False, **change)
        found = claims(tmp_path, quick=False)
        assert {name for (_, name), it in found.items() if not it.holds} == {claim}

    def test_two_seeds_decide_exact_claims_only(self, tmp_path):
        write_rows(tmp_path)
        verdicts = {claim: it.verdict for (_, claim), it in claims(tmp_path).items()}
        exact = {"forgotten", "storage of separate models"}
        assert {claim for claim, it in verdicts.items() if it == "holds"} == exact
        assert set(verdicts.values()) == {"holds", "too few seeds"}

    def test_the_full_run(self, tmp_path):
        full = paper.runs(quick=False)
        assert {task.config.dataset for task in full} == set(SEQUENCES)
        assert {task.config.method for task in full} == set(METHODS)
        assert {task.seed for task in full} == set(range(5))
        write_rows(tmp_path, quick=False)
        assert len(claims(tmp_path, quick=False)) == 5 * len(SEQUENCES)
        assert len(grid_rows(full, tmp_path / "incremental.jsonl")) == len(full)
