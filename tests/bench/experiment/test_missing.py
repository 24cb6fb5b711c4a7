"""Data sets that are not there are reported once, before anything runs."""

import pytest

from gsparse.bench.experiment.cells import configs
from gsparse.bench.experiment.grid import tasks
from gsparse.bench.experiment.missing import fetch_missing
from gsparse.bench.experiment.progress import run_with_progress
from gsparse.bench.incremental import TaskConfig
from gsparse.train.incremental.fit_tasks import METHODS


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("GSPARSE_OFFLINE", "1")
    monkeypatch.setenv("GSPARSE_DATA", str(tmp_path / "nothing"))


def test_every_missing_data_set_is_named_once(tmp_path):
    names = ["Computers", "digits", "Physics"]
    grid = tasks(configs(names, ["gcn", "gat"], ["RandomEdge"], [0.5, 0.8]), range(3))
    with pytest.raises(FileNotFoundError) as caught:
        run_with_progress(grid, tmp_path / "a.jsonl", 1, tmp_path, memory=False)
    text = str(caught.value)
    assert text.count("no raw files of Computers") == 1
    assert text.count("no raw files of Physics") == 1
    assert "digits" not in text
    assert "set GSPARSE_DATA or --data-root to the folder around Amazon/Comp" in text
    assert not (tmp_path / "a.jsonl").exists()


def test_sequences_name_all_of_their_graphs():
    graphs = TaskConfig("Twitch", METHODS[0]).datasets
    assert graphs == ("Twitch-DE", "Twitch-EN", "Twitch-FR")


def test_nothing_is_missing():
    fetch_missing(tasks(configs(["digits"], ["gcn"], [], []), range(2)))
